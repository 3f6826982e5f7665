"""The three questions of everybody who sets a KL weight, answered from this sweep's own numbers."""

import math
from dataclasses import dataclass, field

from vae_sweep.analysis.frontier import Chord, chords
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.rules import CONSTANT_RATE
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.words import figure, listed, percent, times
from vae_sweep.theory.first_look import spread

GREY_LEVELS = 255
MOST_ROWS = 6


@dataclass(frozen=True)
class Question:
    """A question, its short answer, sentences, and the rows that show it."""

    asked: str
    short: str
    words: list[str]
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def questions(study: Study, found: Recommendation) -> list[Question]:
    """None without a curve."""
    return [negligible(study, found), gradients(found), bought(found)] if found.curve else []


# --- Is the KL left out, or too small to matter? ---------------------------------------------------------------------


def negligible(study: Study, found: Recommendation) -> Question:
    first, last, spot = found.curve[0], found.curve[-1], found.spot or found.curve[-1]
    words = [_not_excluded(spot)] if spot.beta is not None else []
    if (share := _kl_share(spot)) is not None:
        words.append(
            f"Too small: no. At {spot.weight:g} the weighted KL is {percent(share)} of the loss, "
            "but magnitudes do not decide, slopes do."
        )
    if len(found.curve) > 1:
        words.append(
            f"From {first.weight:g} to {last.weight:g} the code goes from {figure(first.rate)} to "
            f"{figure(last.rate)} nats and the error from {figure(first.distortion)} to {figure(last.distortion)} "
            f"({study.images_judged}): that is the weight at work."
        )
    short = "No. A smaller weight only makes information cheaper."
    if collapsed := [spot for spot in found.idle if spot.rate < CONSTANT_RATE]:
        weights = listed([f"{s.weight:g}" for s in collapsed])
        words.append(f"At {weights} it even won outright: no unit carries anything.")
    rows = [
        [f"{s.weight:g}", figure(s.rate), percent(_kl_share(s)), _units(s), _sigma(s)]
        for s in spread(found.curve, MOST_ROWS)
    ]
    columns = ["weight", "KL, nats", "share of loss", "units", "implied σ"]
    return Question("Is the KL left out, or too small to matter?", short, words, columns, rows)


def _not_excluded(spot: Spot) -> str:
    likelihood = spot.likelihood
    if not likelihood.squared_error and likelihood.exponent is not None:
        return (
            f"Left out: no. Every positive weight is an exact likelihood with its own pixel noise: {likelihood.pixels} "
            f"noise of {figure((spot.beta or 1.0) ** likelihood.exponent)} times the scale."
        )
    if not likelihood.squared_error:
        return (
            "Left out: no. With this likelihood a weight other than 1 is an exchange rate between nats of code and "
            "nats of error, not another noise level."
        )
    sigma = math.sqrt((spot.beta or 0.0) / 2)
    return (
        "Left out: no. Every positive weight is an exact bound of a model with its own pixel noise: "
        f"{spot.weight:g} claims a standard deviation of {figure(sigma)}, {GREY_LEVELS * sigma:.0f} of {GREY_LEVELS} "
        "grey levels. Whether that is believable the error tells that is left: see By likelihood."
    )


def _kl_share(spot: Spot) -> float | None:
    """Of the loss; None where its zero is arbitrary, as that of a density's nats is."""
    if spot.beta is None or not spot.likelihood.zero_means_something or spot.distortion + spot.beta * spot.rate <= 0:
        return None
    return spot.beta * spot.rate / (spot.distortion + spot.beta * spot.rate)


def _units(spot: Spot) -> str:
    active = spot.mean("val", "active_units")
    return "–" if active is None else f"{active:.0f}/{spot.points[0].latent_dim}"


def _sigma(spot: Spot) -> str:
    return figure(math.sqrt(spot.beta / 2)) if spot.beta and spot.likelihood.squared_error else "–"


# --- What does gradient descent see? ---------------------------------------------------------------------------------


def gradients(found: Recommendation) -> Question:
    asked = "What does gradient descent see?"
    known = [spot for spot in found.curve if spot.mean("train", "grad_norm_recon") is not None]
    if not known:
        return Question(asked, "Not measured in these runs.", ["The evaluation at a run's end writes gradient norms."])
    spot = found.spot if found.spot in known else known[-1]
    assert spot is not None
    words = [
        "On the encoder the error pulls codes apart and makes them sharp; the KL pulls them together and makes them "
        "wide. A larger weight widens every code, neighbours overlap, and the decoder can only return their average: "
        "that is the blur."
    ]
    short = "Two opposite pulls; balanced, they cancel."
    cosine, beta_hat = spot.mean("train", "grad_cosine"), spot.mean("train", "beta_hat")
    if cosine is not None and beta_hat is not None and spot.beta:
        ratio = beta_hat / spot.beta
        if 0.9 < ratio < 1.1:
            state = "balanced, as any optimum is, though not only optima are"
        elif 2 / 3 < ratio < 3 / 2:
            state = f"{times(ratio)} beta, nearly balanced"
        else:
            state = f"{times(ratio)} beta, not balanced yet"
            short = "Two opposite pulls that do not cancel yet."
        words.append(
            f"At {spot.weight:g} their cosine is {figure(cosine)} (opposite is -1) and they would cancel at a beta "
            f"of {figure(beta_hat)}: {state}."
            if beta_hat > 0
            else f"At {spot.weight:g} their cosine is {figure(cosine)} (opposite is -1): they do not oppose each other."
        )
    rows = [_gradient_row(spot) for spot in spread(known, MOST_ROWS)]
    return Question(asked, short, words, ["weight", "‖∇ error‖", "‖β ∇ KL‖", "cosine", "β̂"], rows)


def _gradient_row(spot: Spot) -> list[str]:
    kl = spot.mean("train", "grad_norm_kl")
    weighted = None if kl is None or spot.beta is None else spot.beta * kl
    return [
        f"{spot.weight:g}", figure(spot.mean("train", "grad_norm_recon")), figure(weighted),
        figure(spot.mean("train", "grad_cosine")), figure(spot.mean("train", "beta_hat")),
    ]  # fmt: skip


# --- Do we just value reconstruction more? ---------------------------------------------------------------------------


def bought(found: Recommendation) -> Question:
    asked = "Do we just value reconstruction more?"
    known = [spot for spot in found.curve if spot.beta is not None]
    prices = chords([s.beta for s in known], [s.rate for s in known], [s.distortion for s in known])
    if not prices:
        return Question(asked, "One point shows no price.", ["The price of a nat needs two weights or more."])
    fitting = sum(0.5 <= chord.factor <= 2.0 for chord in prices)
    fit = "fit" if fitting == len(prices) else "mostly fit" if fitting > len(prices) / 2 else "do not fit"
    short = f"Yes, and the prices {fit}: {fitting} of {len(prices)} lie between their weights, within a factor of 2."
    unit = "squared error" if found.curve[0].likelihood.squared_error else "error in nats"
    a, b, widest = _widest(prices, known)
    words = [
        f"The weight is a price: how much {unit} the model gives up to save one nat. Between two optima the price paid "
        "lies between their weights; where it does not, a run has not converged.",
        f"From {a.weight:g} to {b.weight:g}, {figure(b.rate - a.rate)} more nats bought "
        f"{figure(a.distortion - b.distortion)} less error: {figure(widest.slope)} per nat.",
    ]
    rows = [_price_row(known[c.first], known[c.second], c) for c in spread(prices, MOST_ROWS)]
    return Question(asked, short, words, ["weights", "nats spent", "error saved", "per nat"], rows)


def _widest(prices: list[Chord], known: list[Spot]) -> tuple[Spot, Spot, Chord]:
    """The step that spends most nats."""
    chord = max(prices, key=lambda c: known[c.second].rate - known[c.first].rate)
    return known[chord.first], known[chord.second], chord


def _price_row(a: Spot, b: Spot, chord: Chord) -> list[str]:
    return [
        f"{a.weight:g} → {b.weight:g}",
        figure(b.rate - a.rate),
        figure(a.distortion - b.distortion),
        figure(chord.slope),
    ]
