"""What the KL weights of a run or a sweep mean, in a few lines for a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.theory.conventions import REDUCTIONS, Sizes, from_sum, to_sum
from vae_sweep.theory.covariance import Spectrum
from vae_sweep.theory.linear import linear_vae, optimal_sigma2
from vae_sweep.theory.weights import GREY_LEVELS, implied_sigma, likelihood_optimal_weight
from vae_sweep.traits import LIKELIHOODS, LikelihoodTraits

MOST_ROWS = 12
# Of a likelihood's `collapse`: where the forecast keeps the threshold, and what it is.
_COLLAPSE = {
    "covariance": ("collapse_threshold", "2 x largest eigenvalue of the pixel covariance"),
    "correlation": ("collapse_threshold_bernoulli", "largest eigenvalue of the pixel correlations"),
}
_SIZE_NAMES = {"pixels": "image size", "latent_dim": "latent size", "batch_size": "batch size"}


def banner(
    kl_weights: Sequence[float],
    latent_dims: Sequence[int],
    pixels: int,
    batch_size: int,
    likelihood: LikelihoodTraits = LIKELIHOODS["sse"],
    reduction: str = "sum",
    scale: float = 1.0,
    preflight: Mapping[str, Any] | None = None,
) -> str:
    """Lines of at most 100 columns; empty without weights (autoencoders have none: leave them out).

    kl_weights, latent_dims: of the members, in the order to show. likelihood: what theirs says of itself (traits.py).
    reduction, scale: of their config.loss. preflight: of theory.preflight; without it the data's lines are left out.
    """
    if not kl_weights:
        return ""
    loss = _Loss(likelihood, reduction, scale, Sizes(pixels, latent_dims[0], batch_size))
    weights, dims = list(dict.fromkeys(kl_weights)), list(dict.fromkeys(latent_dims))
    spectrum = _spectrum(preflight) if preflight and likelihood.squared_error else None
    lines = [*_reduction(loss, weights)]
    if loss.fixes_noise:
        lines += _table(loss, weights, dims, spectrum)
    lines += [likelihood.words.format(scale=scale, pixels=likelihood.pixels)]
    lines += _collapse(loss, weights, preflight)
    lines += _likelihood_optimum(loss, dims, spectrum)
    if likelihood.unit == "SSE" and reduction == "sum":
        lines += _elsewhere(weights, dims, loss.sizes)
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class _Loss:
    likelihood: LikelihoodTraits
    reduction: str
    scale: float
    sizes: Sizes

    @property
    def fixes_noise(self) -> bool:
        """Whether a weight alone says how much Gaussian noise it stands for."""
        return self.likelihood.squared_error and self.likelihood.scale != "fitted"

    def beta(self, weight: float, latent_dim: int) -> float:
        """The weight of distortion + beta KL."""
        sizes = self.sizes._replace(latent_dim=latent_dim)
        return self.likelihood.beta(to_sum(weight, self.reduction, sizes), self.scale)


def _table(loss: _Loss, weights: Sequence[float], dims: Sequence[int], spectrum: Spectrum | None) -> Iterator[str]:
    linear = spectrum is not None
    yield "KL weight   pixel noise it assumes" + ("       best a linear VAE can do on these images" if linear else "")
    yield "              std   grey levels   " + (
        "      latents  active          KL       SSE      PSNR" if linear else ""
    )
    rows = [(weight, d) for d in (dims if linear else dims[:1]) for weight in weights]
    for weight, d in rows[:MOST_ROWS]:
        beta = loss.beta(weight, d)
        row = f"{weight:>9.4g}   {_noise(beta)}"
        if spectrum is not None and d <= len(spectrum.eigenvalues):
            best = linear_vae(spectrum, d, beta)
            row += (
                f"{d:>13}{best.active_units:>8}{best.rate:>7.3g} nats{best.distortion:>10.4g}{best.psnr_mean:>7.1f} dB"
            )
        yield row
    if len(rows) > MOST_ROWS:
        yield f"{'...':>9}   {len(rows) - MOST_ROWS} more"


def _noise(beta: float) -> str:
    sigma = implied_sigma(beta)
    return f"{sigma:5.3f}   {_level(GREY_LEVELS * sigma):>4} of {GREY_LEVELS}"


def _level(levels: float) -> str:
    return f"{levels:.0f}" if levels >= 10 else f"{levels:.1f}"


def _collapse(loss: _Loss, weights: Sequence[float], preflight: Mapping[str, Any] | None) -> Iterator[str]:
    if loss.likelihood.collapse is None:
        return
    key, formula = _COLLAPSE[loss.likelihood.collapse]
    threshold = (preflight or {}).get(key)
    if not threshold:
        return
    yield f"Above weight {_own(loss, threshold):.3g} ({formula}) ignoring every latent is stable."
    if above := [weight for weight in weights if weight > _own(loss, threshold)]:
        yield f"  Expect collapse at weight {', '.join(f'{weight:g}' for weight in above)}."


def _own(loss: _Loss, beta: float) -> float:
    """The weight under the loss's own reduction and scale that stands for `beta`."""
    return beta / loss.beta(1.0, loss.sizes.latent_dim)


def _likelihood_optimum(loss: _Loss, dims: Sequence[int], spectrum: Spectrum | None) -> Iterator[str]:
    if spectrum is None:
        return
    for d in dims:
        if d <= len(spectrum.eigenvalues) and d < spectrum.pixels and spectrum.tail(d) > 0:
            sigma2 = optimal_sigma2(spectrum, d)
            weight = likelihood_optimal_weight(sigma2)
            at = f" at weight {_own(loss, weight):.2g}," if loss.fixes_noise else ""
            noise = f"{math.sqrt(sigma2):.3f}, {_level(GREY_LEVELS * math.sqrt(sigma2))} grey levels"
            yield f"A linear VAE with {d} latents is likeliest{at} with pixel noise {noise}."


def _reduction(loss: _Loss, weights: Sequence[float]) -> Iterator[str]:
    if loss.reduction == "sum":
        return
    convention = REDUCTIONS[loss.reduction]
    same = ", ".join(f"{weight:g} = {to_sum(weight, loss.reduction, loss.sizes):.4g}" for weight in weights[:MOST_ROWS])
    yield f"loss.reduction={loss.reduction}, {convention.formula}. As the weight of SSE + w KL: {same}."
    if convention.depends_on:
        moves = " and the ".join(_SIZE_NAMES[size] for size in convention.depends_on)
        yield f"  WARNING: the meaning of this weight changes with the {moves}."


def _elsewhere(weights: Sequence[float], dims: Sequence[int], sizes: Sizes) -> Iterator[str]:
    """The weight to write in other codes."""
    single = weights[0] if len(weights) == 1 else None
    yield "The same in other codes:" if single else "The same in other codes, for our weight b:"
    for name, convention in REDUCTIONS.items():
        if name == "sum":
            continue
        theirs = f"w = {from_sum(single or 1.0, name, sizes):.3g}" + ("" if single else " b")
        if len(dims) > 1 and "latent_dim" in convention.depends_on:
            theirs += f" (d = {sizes.latent_dim})"
        author = convention.used_by.split(";")[0]
        yield f"  {convention.formula:<40}{theirs:<26}{author if len(author) < 34 else ''}"


def _spectrum(preflight: Mapping[str, Any]) -> Spectrum:
    return Spectrum(
        np.array(preflight["eigenvalues"]),
        preflight["total_variance"],
        preflight["n"],
        preflight["images"],
        preflight["images_used"],
        preflight["exact"],
    )
