"""How other libraries weigh the two terms, and what their weight is in ours. Plain arithmetic, no torch.

Every convention minimises  a * recon + w * b * KL,  recon summed over the n pixels (channels counted), KL
summed over the d latents, both averaged over the B images of the batch. Only b / a matters to the optimum, so
with the squared error as recon the weight in ours, recon + beta * KL, is beta = w b / a.
"""

from collections.abc import Callable
from typing import NamedTuple


class Sizes(NamedTuple):
    """What a weight may depend on."""

    pixels: int  # n, channels counted
    latent_dim: int  # d
    batch_size: int  # B


class Convention(NamedTuple):
    """One way to write the objective."""

    recon: Callable[[Sizes], float]  # a
    kl: Callable[[Sizes], float]  # b
    formula: str
    used_by: str
    depends_on: tuple[str, ...]  # sizes that move the meaning of a weight


REDUCTIONS: dict[str, Convention] = {
    "sum": Convention(
        recon=lambda s: 1.0,
        kl=lambda s: 1.0,
        formula="SSE + w KL",
        used_by="vae-sweep; beta-VAE with summed squared error",
        depends_on=(),
    ),
    "half_sum": Convention(
        recon=lambda s: 0.5,
        kl=lambda s: 1.0,
        formula="SSE / 2 + w KL",
        used_by="pythae; unit-variance Gaussian decoders",
        depends_on=(),
    ),
    "mean_pixels": Convention(
        recon=lambda s: 1 / s.pixels,
        kl=lambda s: 1.0,
        formula="SSE / n + w KL",
        used_by="PyTorch-VAE",
        depends_on=("pixels",),
    ),
    "mean_pixels_latents": Convention(
        recon=lambda s: 1 / s.pixels,
        kl=lambda s: 1 / s.latent_dim,
        formula="SSE / n + w KL / d",
        used_by="Lightning Bolts",
        depends_on=("pixels", "latent_dim"),
    ),
    "mean_pixels_batch": Convention(
        recon=lambda s: 1 / s.pixels,
        kl=lambda s: float(s.batch_size),
        formula="SSE / n + w (KL summed over the batch)",
        used_by="programs that sum the KL over the batch beside a mean squared error",
        depends_on=("pixels", "batch_size"),
    ),
    "normalised": Convention(
        recon=lambda s: 1.0,
        kl=lambda s: s.pixels / s.latent_dim,
        formula="SSE + w (n / d) KL",
        used_by="beta_norm of Higgins et al. 2017",
        depends_on=("pixels", "latent_dim"),
    ),
}


def factors(reduction: str, sizes: Sizes) -> tuple[float, float]:
    """(a, b) of the objective a * recon + w * b * KL. Raises ValueError for an unknown reduction."""
    convention = _convention(reduction)
    return convention.recon(sizes), convention.kl(sizes)


def to_sum(weight: float, reduction: str, sizes: Sizes) -> float:
    """The weight in recon + beta * KL that has the same optimum as `weight` under `reduction`."""
    a, b = factors(reduction, sizes)
    return weight * b / a


def from_sum(weight: float, reduction: str, sizes: Sizes) -> float:
    """In a program that writes its objective as `reduction`: the weight with the optimum of our `weight`."""
    a, b = factors(reduction, sizes)
    return weight * a / b


def _convention(reduction: str) -> Convention:
    if reduction not in REDUCTIONS:
        raise ValueError(f"loss.reduction={reduction}: expected one of {', '.join(REDUCTIONS)}")
    return REDUCTIONS[reduction]
