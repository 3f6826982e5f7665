"""Networks of other libraries by what they offer, not by their names: what encode gives as (mean, logvar), what decode
gives as pictures.

    diffusers   encode(x).latent_dist with mean and logvar; decode(z).sample
    pythae      encoder(x) with embedding and log_covariance; decoder(z).reconstruction
    a pair      (encoder, decoder), such as two nn.Sequential: the encoder's channels are means, then log variances
    torch       encode(x) a distributions.Normal, or Independent of one
    named       encode(x) a dict or an object with `mean` or `mu`, `logvar` or `log_var`; decode(z) one with `recon`
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributions import Independent, Normal

_MEANS = ("mean", "mu", "embedding", "z_mean", "loc")
_LOG_VARIANCES = ("logvar", "log_var", "log_variance", "log_covariance", "z_logvar", "z_log_var")
_PICTURES = ("sample", "reconstruction", "recon", "recon_x", "x_recon", "x_hat", "xhat")


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
    pair = _named(encoded, _MEANS), _named(encoded, _LOG_VARIANCES)
    return encoded if None in pair else pair


def as_pictures(decoded: Any) -> Any:
    """What decode gives as a tensor, where it wraps one."""
    found = None if isinstance(decoded, Tensor) else _named(decoded, _PICTURES)
    return decoded if found is None else found


def _named(given: Any, names: Sequence[str]) -> Tensor | None:
    """The first tensor of one of these names that a mapping or an object has."""
    for name in names:
        found = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
        if isinstance(found, Tensor):
            return found
    return None
