"""What the KL weights of a run or a sweep mean, in a few lines for a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.theory.beta import beta_at
from vae_sweep.theory.conventions import REDUCTIONS, Sizes, from_sum, to_sum
from vae_sweep.theory.covariance import Spectrum
from vae_sweep.theory.linear import geco_weight, optimal_sigma2
from vae_sweep.theory.weights import (
    GREY_LEVELS,
    ROUNDING_SIGMA,
    ROUNDING_WEIGHT,
    implied_sigma,
    likelihood_optimal_weight,
)
from vae_sweep.traits import (
    DIVERGENCES,
    LIKELIHOODS,
    SCHEDULES,
    DivergenceTraits,
    LikelihoodTraits,
    ScheduleTraits,
)

MOST_ROWS = 12
_GREY = 0.02  # of 0 (black and white) to 1; some edges of digits are grey
# Of a likelihood's `collapse`: where the forecast keeps the threshold, and what it is.
_COLLAPSE = {
    "covariance": ("collapse_threshold", "2 x largest eigenvalue of the pixel covariance"),
    "correlation": ("collapse_threshold_bernoulli", "largest eigenvalue of the pixel correlations"),
}
_SIZE_NAMES = {"pixels": "image size", "latent_dim": "latent size", "batch_size": "batch size"}


@dataclass(frozen=True)
class Loss:
    """What the weights of a sweep multiply: what its parts say of themselves (traits.py), and their numbers.

    reduction, scale, free_bits, mi_weight: of config.loss. goal: of a controller or a capacity.
    """

    likelihood: LikelihoodTraits = LIKELIHOODS["sse"]
    reduction: str = "sum"
    scale: float = 1.0
    divergence: DivergenceTraits = DIVERGENCES["kl"]
    free_bits: float | None = None
    mi_weight: float = 1.0
    schedule: ScheduleTraits = SCHEDULES["vae_sweep.schedules.constant"]
    goal: float | None = None

    def beta(self, weight: float, sizes: Sizes) -> float:
        """Of SSE + beta KL; of other likelihoods, of their own term + beta KL."""
        return beta_at(self.likelihood, weight, self.reduction, sizes, self.scale)

    @property
    def fixes_noise(self) -> bool:
        """Whether a weight alone says how much Gaussian noise it stands for."""
        return self.likelihood.squared_error and self.likelihood.scale != "fitted"

    @property
    def steered(self) -> bool:
        """Whether something else than loss.kl_weight decides the weight in the end, or what it is."""
        return self.schedule.capacity or bool(self.schedule.aims)


def banner(
    kl_weights: Sequence[float],
    latent_dims: Sequence[int],
    pixels: int,
    batch_size: int,
    loss: Loss = Loss(),
    forecast: Mapping[str, Any] | None = None,
) -> str:
    """Lines of at most 100 columns; empty without weights (autoencoders have none: leave them out).

    kl_weights, latent_dims: of the members, in the order to show. forecast: of data_forecast; without it the data's
    lines are left out.
    """
    if not kl_weights:
        return ""
    weights, dims = list(dict.fromkeys(kl_weights)), list(dict.fromkeys(latent_dims))
    sizes = Sizes(pixels, dims[0], batch_size)
    about = _About(loss, sizes, weights, dims, forecast or {})
    if loss.steered:
        lines = list(_steered(about))
    else:
        lines = [
            *_reduction(about),
            *_meaning(about),
            *_collapse(about),
            *_likelihood_optimum(about),
            *_rounding(about),
            *_grey(about),
        ]
    if loss.likelihood.unit == "SSE" and loss.reduction == "sum" and loss.divergence.kl:
        lines += _elsewhere(weights, dims, sizes)
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class _About:
    loss: Loss
    sizes: Sizes  # with the first latent size
    weights: list[float]
    dims: list[int]
    forecast: Mapping[str, Any]

    def beta(self, weight: float, latent_dim: int) -> float:
        return self.loss.beta(weight, self.sizes._replace(latent_dim=latent_dim))

    def own(self, beta: float, latent_dim: int) -> float:
        """The weight, as the user writes it, that stands for `beta`."""
        return beta / self.beta(1.0, latent_dim)

    @property
    def moves_with_latents(self) -> bool:
        return "latent_dim" in REDUCTIONS[self.loss.reduction].depends_on

    def at(self, latent_dim: int, beta: float) -> Mapping[str, float] | None:
        """What the linear VAE does on the data at one weight: on held-out images where they are known."""
        curve = next((c for c in self.forecast.get("linear", []) if c["latent_dim"] == latent_dim), None)
        if curve is None or not curve["kl_weight"][0] <= beta <= curve["kl_weight"][-1]:
            return None
        values = curve | (curve.get("held_out") or {})
        u = np.log(curve["kl_weight"])
        keys = [key for key in ("rate", "distortion", "psnr_mean", "active_units") if key in values]
        return {key: float(np.interp(math.log(beta), u, values[key])) for key in keys}

    @property
    def held_out(self) -> bool:
        return any("held_out" in curve for curve in self.forecast.get("linear", []))


def _meaning(about: _About) -> Iterator[str]:
    """What a weight says of the pixels, or what else it does."""
    loss = about.loss
    if loss.fixes_noise:
        yield from _table(about)
    if loss.divergence.kl:
        noise = loss.likelihood.noise_at(about.beta(1.0, about.dims[0]), loss.scale)
        scale = loss.scale if loss.likelihood.squared_error or noise is None else noise
        yield loss.likelihood.words.format(scale=float(f"{scale:.3g}"), pixels=loss.likelihood.pixels)
        if loss.likelihood.squared_error and not loss.fixes_noise and about.weights != [1.0]:
            yield "  Another weight claims another noise than the one fitted: two knobs (Beta-Sigma VAE)."
    elif loss.free_bits:
        yield f"Free bits: {loss.free_bits:g} nats of each group cost nothing, so that no weight makes collapse stable,"
        yield "and the objective is no ELBO."
    else:
        yield f"Divergence {loss.divergence.name}: the objective is no ELBO."


def _steered(about: _About) -> Iterator[str]:
    loss, goal = about.loss, about.loss.goal
    if loss.schedule.capacity:
        shown = ", ".join(f"{weight:g}" for weight in about.weights[:MOST_ROWS])
        yield f"Capacity: the KL is pulled to {_known(goal)} nats."
        yield f"  kl_weight {shown} is the strength of the pull, not the price of a nat."
        return
    name, aims = loss.schedule.name, loss.schedule.aims
    yield f"{name}: the weight is steered until it holds {aims} of {_known(goal)}; kl_weight is where it begins."
    of_error = loss.schedule == SCHEDULES["vae_sweep.schedules.controllers.Geco"] and loss.likelihood.unit == "SSE"
    if of_error and goal is not None and about.forecast:
        for d in about.dims:
            spectrum = _spectrum(about.forecast)
            if d <= len(spectrum.eigenvalues):
                weight = geco_weight(spectrum, d, goal)
                at = "cannot reach it at any" if weight is None else f"comes to rest at weight {weight:.3g}"
                yield f"  On these images a linear VAE with {d} latents {at}{' weight' * (weight is None)}."


def _known(goal: float | None) -> str:
    return "its target" if goal is None else f"{goal:g}"


def _table(about: _About) -> Iterator[str]:
    known = bool(about.forecast.get("linear"))
    where = "on held-out images" if about.held_out else "on these images"
    yield "KL weight   pixel noise it assumes" + (f"       what the best linear VAE does {where}" if known else "")
    yield "              std   grey levels   " + (
        "      latents  active          KL       SSE      PSNR" if known else ""
    )
    rows = [(weight, d) for d in (about.dims if known or about.moves_with_latents else about.dims[:1])
            for weight in about.weights]  # fmt: skip
    for weight, d in rows[:MOST_ROWS]:
        beta = about.beta(weight, d)
        row = f"{weight:>9.4g}   {_noise(beta)}"
        if best := about.at(d, beta):
            decibels = f"{best['psnr_mean']:>7.1f} dB" if "psnr_mean" in best else ""
            row += f"{d:>13}{best['active_units']:>8.0f}{_nats(best['rate']):>7} nats"
            row += f"{best['distortion']:>10.4g}{decibels}"
        yield row
    if len(rows) > MOST_ROWS:
        yield f"{'...':>9}   {len(rows) - MOST_ROWS} more"


def _nats(rate: float) -> str:
    """Three digits, or all before the point, never a power of ten."""
    return f"{rate:,.0f}" if rate >= 999.5 else f"{rate:.3g}"


def _noise(in_sse: float) -> str:
    sigma = implied_sigma(in_sse)
    return f"{sigma:5.3f}   {_level(GREY_LEVELS * sigma):>4} of {GREY_LEVELS}"


def _level(levels: float) -> str:
    return f"{levels:.0f}" if levels >= 10 else f"{levels:.1f}"


def _collapse(about: _About) -> Iterator[str]:
    """For every latent size where the weight's meaning moves with it."""
    loss = about.loss
    split = loss.divergence == DIVERGENCES["tc"]
    if loss.likelihood.collapse is None or not (loss.divergence.kl or split):
        return
    key, formula = _COLLAPSE[loss.likelihood.collapse]
    threshold = about.forecast.get(key)
    if not threshold:
        return
    if split:
        threshold, formula = threshold / loss.mi_weight, f"{formula}, over mi_weight {loss.mi_weight:g}"
    for d in about.dims if about.moves_with_latents else about.dims[:1]:
        own = about.own(threshold, d)
        which = f" with {d} latents" if about.moves_with_latents else ""
        yield f"Above weight {own:.3g}{which} ({formula}) ignoring every latent is stable."
        if above := [weight for weight in about.weights if weight > own]:
            yield f"  Expect collapse at weight {', '.join(f'{weight:g}' for weight in above)}."


def _rounding(about: _About) -> Iterator[str]:
    """Images of 8 bits have an error of their own: who claims less claims to know them better than the file does."""
    loss = about.loss
    if loss.fixes_noise:
        below = [w for w in about.weights if any(about.beta(w, d) < ROUNDING_WEIGHT for d in about.dims)]
    elif loss.likelihood == LIKELIHOODS["laplace"]:
        least = ROUNDING_SIGMA / math.sqrt(2)
        below = [w for w in about.weights if any(loss.scale * about.beta(w, d) < least for d in about.dims)]
    else:
        return
    if below:
        shown = ", ".join(f"{weight:g}" for weight in below[:MOST_ROWS])
        level = f"{GREY_LEVELS * ROUNDING_SIGMA:.2f} grey levels"
        yield f"Below the rounding of 8 bits ({level}): weight {shown}."
        yield "  No such file has so little noise; there the KL only keeps the codes from growing without bound."


def _grey(about: _About) -> Iterator[str]:
    """A yes or no with probability x is another variable than a pixel of brightness x."""
    if (about.forecast.get("grey") or 0) > _GREY:
        yield "The pixels are grey, not black and white: a Bernoulli bound is that of draws x' of 0 and 1 with mean x,"
        yield "  not of these data, and no two losses of grey and binary images compare."


def _likelihood_optimum(about: _About) -> Iterator[str]:
    loss = about.loss
    if not about.forecast or not loss.divergence.kl or not loss.likelihood.squared_error:
        return
    spectrum = _spectrum(about.forecast)
    for d in about.dims:
        if d <= len(spectrum.eigenvalues) and d < spectrum.pixels and spectrum.tail(d) > 0:
            sigma2 = optimal_sigma2(spectrum, d)
            weight = likelihood_optimal_weight(sigma2)
            at = f" at weight {about.own(weight, d):.2g}," if loss.fixes_noise else ""
            noise = f"{math.sqrt(sigma2):.3f}, {_level(GREY_LEVELS * math.sqrt(sigma2))} grey levels"
            yield f"A linear VAE with {d} latents is likeliest{at} with pixel noise {noise}."


def _reduction(about: _About) -> Iterator[str]:
    loss, convention = about.loss, REDUCTIONS[about.loss.reduction]
    if loss.reduction == "sum":
        return
    fitted = loss.likelihood.squared_error and not loss.fixes_noise  # then no weight is one of SSE
    unit = "SSE" if loss.fixes_noise else loss.likelihood.unit
    for d in about.dims if about.moves_with_latents else about.dims[:1]:
        sizes = about.sizes._replace(latent_dim=d)
        worth = [to_sum(w, loss.reduction, sizes) if fitted else about.beta(w, d) for w in about.weights[:MOST_ROWS]]
        same = ", ".join(f"{w:g} = {beta:.4g}" for w, beta in zip(about.weights, worth, strict=False))
        which = f" with {d} latents" if about.moves_with_latents and len(about.dims) > 1 else ""
        yield f"loss.reduction={loss.reduction}, {convention.formula}. As the weight of {unit} + w KL{which}: {same}."
    if convention.depends_on:
        moves = " and the ".join(_SIZE_NAMES[size] for size in convention.depends_on)
        yield f"  WARNING: the meaning of this weight changes with the {moves}."


def _elsewhere(weights: Sequence[float], dims: Sequence[int], sizes: Sizes) -> Iterator[str]:
    """The weight to write in other libraries."""
    single = weights[0] if len(weights) == 1 else None
    yield "The same in other libraries:" if single else "The same in other libraries, for our weight b:"
    for name, convention in REDUCTIONS.items():
        if name == "sum":
            continue
        theirs = f"w = {from_sum(single or 1.0, name, sizes):.3g}" + ("" if single else " b")
        if len(dims) > 1 and "latent_dim" in convention.depends_on:
            theirs += f" (d = {sizes.latent_dim})"
        author = convention.used_by.split(";")[0]
        yield f"  {convention.formula:<40}{theirs:<26}{author if len(author) < 34 else ''}"
    yield "  with pixels in [-1, 1] instead of [0, 1]: four times these."


def _spectrum(forecast: Mapping[str, Any]) -> Spectrum:
    return Spectrum(
        np.array(forecast["eigenvalues"]),
        forecast["total_variance"],
        forecast["n"],
        forecast["images"],
        forecast["images_used"],
        forecast["exact"],
    )
