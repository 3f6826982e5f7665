"""Networks of other libraries by what they offer, not by their names: what encode gives as (mean, logvar), what decode
gives as pictures.

    diffusers   encode(x).latent_dist with mean and logvar; decode(z).sample
    pythae      encoder(x) with embedding and log_covariance; decoder(z).reconstruction
    a pair      (encoder, decoder), such as two nn.Sequential: the encoder's channels are means, then log variances
    torch       encode(x) a distributions.Normal, or Independent of one
"""

from typing import Any

from torch import Tensor, nn
from torch.distributions import Independent, Normal


class Parts(nn.Module):
    """A network of two modules, encoder and decoder, with the methods of one."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Any:
        encoded = self.encoder(x)
        if not isinstance(encoded, Tensor):
            return encoded
        if encoded.shape[1] % 2:
            raise ValueError(f"the encoder gives {tuple(encoded.shape)}: means and log variances are an even number")
        return encoded.chunk(2, dim=1)

    def decode(self, z: Tensor) -> Any:
        return self.decoder(z)


def with_methods(network: Any) -> Any:
    """`network` as it is if it has encode and decode, else made of its parts."""
    if isinstance(network, (tuple, list)) and len(network) == 2:
        return Parts(*network)
    if not callable(getattr(network, "encode", None)):
        encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
        if isinstance(encoder, nn.Module) and isinstance(decoder, nn.Module):
            return Parts(encoder, decoder)
    return network


def as_pair(encoded: Any) -> Any:
    """What encode gives as (mean, logvar), where it is known to mean that; else as it is."""
    encoded = getattr(encoded, "latent_dist", encoded)
    if isinstance(encoded, Independent):
        encoded = encoded.base_dist
    if isinstance(encoded, Normal):
        return encoded.mean, 2 * encoded.stddev.log()
    if hasattr(encoded, "log_prob_per_unit"):  # a posterior of ours, or one that does as they do
        return encoded
    for mean, logvar in (("mean", "logvar"), ("embedding", "log_covariance")):
        pair = getattr(encoded, mean, None), getattr(encoded, logvar, None)
        if all(isinstance(part, Tensor) for part in pair):
            return pair
    return encoded


def as_pictures(decoded: Any) -> Any:
    """What decode gives as a tensor, where it wraps one."""
    for name in ("sample", "reconstruction"):
        if not isinstance(decoded, Tensor) and isinstance(getattr(decoded, name, None), Tensor):
            return getattr(decoded, name)
    return decoded
