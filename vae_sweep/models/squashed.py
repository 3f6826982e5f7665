"""Whether a decoder squashes its outputs: by its last layer, or in its forward, which only its outputs tell."""

import torch
from torch import nn

FAR = (1.0, 30.0, 1000.0)  # standard deviations of the prior: what is not squashed leaves [0, 1] there
_FULL = 0.9  # of its range, which a tanh reaches far out; a normalised last layer may stay within [-1, 1] by itself


@torch.no_grad()
def squashed(vae: nn.Module, latent_dim: int) -> str | None:
    """ "sigmoid" if all outputs lie in [0, 1], "tanh" if in [-1, 1], both to their ends; else None."""
    training = vae.training
    vae.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            out = torch.cat([vae.decode(far * torch.randn(4, latent_dim)).flatten() for far in FAR])  # type: ignore[operator]
    finally:
        vae.train(training)
    low, high = out.min().item(), out.max().item()
    if low >= 0 and high <= 1 and high > low:
        return "sigmoid"
    if low >= -1 and high <= 1 and (low < -_FULL or high > _FULL):
        return "tanh"
    return None
