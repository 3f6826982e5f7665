"""What the KL weights of a run or a sweep mean, in a few lines for a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.theory.conventions import REDUCTIONS, Sizes, from_sum, to_sum
from vae_sweep.theory.covariance import Spectrum
from vae_sweep.theory.linear import linear_vae, optimal_sigma2
from vae_sweep.theory.weights import GREY_LEVELS, implied_sigma, likelihood_optimal_weight, squared_error_weight

MOST_ROWS = 12
_SIZE_NAMES = {"pixels": "image size", "latent_dim": "latent size", "batch_size": "batch size"}


def banner(
    kl_weights: Sequence[float],
    latent_dims: Sequence[int],
    pixels: int,
    batch_size: int,
    recon: str = "sse",
    reduction: str = "sum",
    scale: float = 1.0,
    preflight: Mapping[str, Any] | None = None,
) -> str:
    """Lines of at most 100 columns; empty without weights (autoencoders have none: leave them out).

    kl_weights, latent_dims: of the members, in the order to show. recon, reduction, scale: their config.loss; where the
    scale is learned, recon is optimal_sigma. preflight: of theory.preflight; without it the data's lines are left out.
    """
    if not kl_weights:
        return ""
    loss = _Loss(recon, reduction, scale, Sizes(pixels, latent_dims[0], batch_size))
    weights, dims = list(dict.fromkeys(kl_weights)), list(dict.fromkeys(latent_dims))
    spectrum = _spectrum(preflight) if preflight else None
    lines = [*_reduction(loss, weights)]
    if recon in ("sse", "gaussian"):
        lines += _table(loss, weights, dims, spectrum)
        lines += [
            "Each weight is the exact ELBO of a model with that much noise on its pixels: none leaves the KL out."
        ]
        lines += _collapse(loss, weights, preflight)
        lines += _likelihood_optimum(loss, dims, spectrum)
    elif recon == "optimal_sigma":
        lines += ["The pixel noise is fitted to the error: weight 1 is the exact ELBO, and needs no tuning."]
        lines += _likelihood_optimum(loss, dims, spectrum)
    elif recon == "bernoulli":
        lines += ["Bernoulli pixels have no noise to set: weight 1 is the exact ELBO, any other tempers it."]
        lines += _collapse(loss, weights, preflight)
    else:
        lines += [f"Laplace pixels: weight w is the exact ELBO at scale {scale:g} w. No weight leaves the KL out."]
    if recon == "sse" and reduction == "sum":
        lines += _elsewhere(weights, dims, loss.sizes)
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class _Loss:
    recon: str
    reduction: str
    scale: float
    sizes: Sizes

    def in_sse(self, weight: float, latent_dim: int) -> float:
        """The weight of SSE + w KL, for a Gaussian."""
        sizes = self.sizes._replace(latent_dim=latent_dim)
        converted = squared_error_weight(self.recon, weight, self.reduction, sizes, self.scale)
        assert converted is not None
        return converted


def _table(loss: _Loss, weights: Sequence[float], dims: Sequence[int], spectrum: Spectrum | None) -> Iterator[str]:
    linear = spectrum is not None
    yield "KL weight   pixel noise it assumes" + ("       best a linear VAE can do on these images" if linear else "")
    yield "              std   grey levels   " + (
        "      latents  active          KL       SSE      PSNR" if linear else ""
    )
    rows = [(weight, d) for d in (dims if linear else dims[:1]) for weight in weights]
    for weight, d in rows[:MOST_ROWS]:
        in_sse = loss.in_sse(weight, d)
        row = f"{weight:>9.4g}   {_noise(in_sse)}"
        if spectrum is not None and d <= len(spectrum.eigenvalues):
            best = linear_vae(spectrum, d, in_sse)
            row += (
                f"{d:>13}{best.active_units:>8}{best.rate:>7.3g} nats{best.distortion:>10.4g}{best.psnr_mean:>7.1f} dB"
            )
        yield row
    if len(rows) > MOST_ROWS:
        yield f"{'...':>9}   {len(rows) - MOST_ROWS} more"


def _noise(in_sse: float) -> str:
    sigma = implied_sigma(in_sse)
    return f"{sigma:5.3f}   {_level(GREY_LEVELS * sigma):>4} of {GREY_LEVELS}"


def _level(levels: float) -> str:
    return f"{levels:.0f}" if levels >= 10 else f"{levels:.1f}"


def _collapse(loss: _Loss, weights: Sequence[float], preflight: Mapping[str, Any] | None) -> Iterator[str]:
    gaussian = loss.recon != "bernoulli"
    threshold = (preflight or {}).get("collapse_threshold" if gaussian else "collapse_threshold_bernoulli")
    if not threshold:
        return
    formula = (
        "2 x largest eigenvalue of the pixel covariance" if gaussian else "largest eigenvalue of the pixel correlations"
    )
    yield f"Above weight {_own(loss, threshold):.3g} ({formula}) ignoring every latent is stable."
    if above := [weight for weight in weights if weight > _own(loss, threshold)]:
        yield f"  Expect collapse at weight {', '.join(f'{weight:g}' for weight in above)}."


def _own(loss: _Loss, in_sse: float) -> float:
    """The weight under the loss's own reduction and scale that stands for `in_sse`."""
    return in_sse / (loss.in_sse(1.0, loss.sizes.latent_dim) if loss.recon != "bernoulli" else 1.0)


def _likelihood_optimum(loss: _Loss, dims: Sequence[int], spectrum: Spectrum | None) -> Iterator[str]:
    if spectrum is None:
        return
    for d in dims:
        if d <= len(spectrum.eigenvalues) and d < spectrum.pixels and spectrum.tail(d) > 0:
            sigma2 = optimal_sigma2(spectrum, d)
            weight = likelihood_optimal_weight(sigma2)
            at = f" at weight {_own(loss, weight):.2g}," if loss.recon in ("sse", "gaussian") else ""
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
