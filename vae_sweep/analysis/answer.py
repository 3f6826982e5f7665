"""The answer in words, and the three questions answered from this sweep's numbers."""

import math
from dataclasses import dataclass, field

from vae_sweep.analysis.frontier import chords
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study, name_of, short
from vae_sweep.analysis.words import count, figure, listed, percent, times

GREY_LEVELS = 255


@dataclass(frozen=True)
class Fact:
    """One figure beside the headline."""

    title: str
    value: str
    words: str


@dataclass(frozen=True)
class Question:
    """One of the three questions: a short answer, sentences, and the rows that show it."""

    asked: str
    short: str
    words: list[str]
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    headline: str
    lead: str
    facts: list[Fact]
    questions: list[Question]


def answer(study: Study, found: Recommendation) -> Answer:
    headline, lead = _HEADLINES[found.kind](study, found)
    questions = [_negligible(study, found), _gradients(study, found), _bought(study, found)] if found.curve else []
    return Answer(headline, lead, _facts(study, found), [q for q in questions if q])


# --- headline --------------------------------------------------------------------------------------------------------


def _empty(study: Study, _: Recommendation) -> tuple[str, str]:
    return "Nothing has been trained yet.", "The sweep has no run. This page fills as runs finish."


def _all_failed(study: Study, _: Recommendation) -> tuple[str, str]:
    errors = {(p.run.error or {}).get("message", "unknown error") for p in study.points}
    said = next(iter(errors)) if len(errors) == 1 else f"{len(errors)} different errors"
    many = len(study.points) > 1
    return (f"All {len(study.points)} runs failed." if many else "The run failed."), f"{said}. The tracebacks are below."


def _unfinished(study: Study, _: Recommendation) -> tuple[str, str]:
    return "No answer yet.", f"No VAE of the {count(len(study.points), 'run')} has finished with numbers to compare."


def _only_autoencoder(study: Study, _: Recommendation) -> tuple[str, str]:
    return "No weight to choose.", "Only autoencoders have finished: they have no KL term. Add loss.kl_weight=1,0.5,0.1."


def _one_weight(study: Study, found: Recommendation) -> tuple[str, str]:
    spot = _spot(found)
    lead = (
        f"One weight shows no trade-off. It spends {figure(spot.rate)} nats per image and leaves {_error(study, spot)}. "
        "Add weights three to ten times smaller and larger on the same sweep=NAME."
    )
    return f"Only kl_weight {spot.weight:g} has finished.", lead


def _no_corner(study: Study, found: Recommendation) -> tuple[str, str]:
    first, last = found.curve[0], found.curve[-1]
    lead = (
        f"{count(len(found.curve), 'weight')} show no corner: from {first.weight:g} to {last.weight:g} the rate goes from "
        f"{figure(first.rate)} to {figure(last.rate)} nats and the error from {figure(first.distortion)} to "
        f"{figure(last.distortion)}. Three weights or more, well apart, can show where the curve bends."
    )
    best = min(found.curve, key=lambda s: s.distortion)
    return f"So far {best.weight:g} reconstructs best.", lead


def _take(study: Study, found: Recommendation) -> tuple[str, str]:
    return f"Take kl_weight {_spot(found).weight:g}.", _why(study, found)


def _smaller(study: Study, found: Recommendation) -> tuple[str, str]:
    assert found.knee is not None
    spot = _spot(found)
    lead = (
        f"Of those tried take {spot.weight:g}, the smallest: its last step still bought {times(found.knee.last_price)} the "
        f"average error reduction per nat, so the curve has not bent yet. {_error(study, spot).capitalize()} at "
        f"{figure(spot.rate)} nats per image."
    )
    return f"Go below {spot.weight:g}, the smallest you tried.", lead


def _train_longer(study: Study, found: Recommendation) -> tuple[str, str]:
    spot = _spot(found)
    lead = (
        f"The runs have not converged, so their order can still change (the verdicts below say which and why). "
        f"As they stand, {spot.weight:g} looks best. {_why(study, found)}"
    )
    return "Train longer first.", lead


_HEADLINES = {
    "empty": _empty, "all_failed": _all_failed, "unfinished": _unfinished, "only_autoencoder": _only_autoencoder,
    "one_weight": _one_weight, "no_corner": _no_corner, "take": _take, "smaller": _smaller, "train_longer": _train_longer,
}  # fmt: skip


def _spot(found: Recommendation) -> Spot:
    assert found.spot is not None
    return found.spot


def _why(study: Study, found: Recommendation) -> str:
    spot, knee = _spot(found), found.knee
    where = f" ({_named(spot)})" if spot.family else ""
    if knee is None or knee.last_price > 0.5:
        return f"It leaves {_error(study, spot)} at {figure(spot.rate)} nats per image{where}."
    before, beyond = knee.gain / knee.cost, (1 - knee.gain) / (1 - knee.cost)
    return (
        f"It is the corner of the curve{where}: down to {spot.weight:g}, each extra nat of code buys {times(before)} the average "
        f"improvement, beyond it {times(beyond)}. It leaves {_error(study, spot)} at {figure(spot.rate)} nats per image."
    )


def _error(study: Study, spot: Spot) -> str:
    unit = "squared error" if study.squared_error else "reconstruction term"
    text = f"a {unit} of {figure(spot.distortion)}"
    psnr = spot.mean("val", "psnr_mean") or spot.mean("val", "psnr")
    return f"{text} ({figure(psnr)} dB on held-out images)" if psnr else text


def _named(spot: Spot) -> str:
    return ", ".join(f"{name_of(key)} {short(value)}" for key, value in spot.family)


# --- facts beside it ---------------------------------------------------------------------------------------------------


def _facts(study: Study, found: Recommendation) -> list[Fact]:
    if not found.curve:
        return []
    facts = [fact for fact in (_likelihood(found), _certainty(found), _anchors(study, found), _latent(study, found)) if fact]
    return facts


def _likelihood(found: Recommendation) -> Fact | None:
    weight, where = found.likelihood
    if weight is None:
        return None
    tried = found.curve[-1].weight if where == "below" else found.curve[0].weight
    words = {
        "within": "where the weight equals 2 × the squared error per pixel",
        "below": f"2 × the squared error per pixel: below {tried:g}, the smallest you tried",
        "above": f"2 × the squared error per pixel: above {tried:g}, the largest you tried",
    }[where]
    return Fact("Most likely pixels at", f"{'≈ ' if where == 'within' else '≲ ' if where == 'below' else '≳ '}{figure(weight, 2)}", words)


def _certainty(found: Recommendation) -> Fact | None:
    if found.kind not in ("take", "train_longer") or found.knee is None:
        return None
    knees = found.by_seed
    if not knees:
        weights = [s.weight for s in found.curve]
        i = found.knee.index
        around = [f"{w:g}" for w in (weights[i - 1 : i] + weights[i + 1 : i + 2])]
        return Fact("How sure", "1 seed", f"no spread known; the corner lies between its neighbours {listed(around)}")
    if len(set(knees.values())) == 1:
        return Fact("How sure", f"{len(knees)}/{len(knees)} seeds", "every seed on its own gives the same corner")
    spread = listed([f"{w:g}" for w in sorted(set(knees.values()))])
    return Fact("How sure", f"{len(knees)} seeds", f"on their own they give {spread}")


def _anchors(study: Study, found: Recommendation) -> Fact | None:
    limit = study.autoencoder_distortion(found.curve[0].family, study.split)
    if limit is None:
        return None
    spot = found.spot or found.curve[-1]
    words = f"error of the autoencoder, same network without KL; {spot.weight:g} leaves {figure(spot.distortion)}"
    if (zero := study.mean_image_distortion) is not None:
        words += f", the mean image {figure(zero)}"
    return Fact("Within reach", figure(limit), words)


def _latent(study: Study, found: Recommendation) -> Fact | None:
    spot = found.spot or found.curve[-1]
    active, d = spot.mean("val", "active_units"), spot.points[0].latent_dim
    if active is None or d is None:
        return None
    return Fact("Units in use", f"{active:.0f}/{d}", f"at {spot.weight:g}: {figure(spot.rate)} nats per image")


# --- the three questions -------------------------------------------------------------------------------------------------


def _sample(curve: list[Spot], most: int = 6) -> list[Spot]:
    """At most `most` spots, evenly through the curve, its ends included."""
    if len(curve) <= most:
        return curve
    return [curve[round(i * (len(curve) - 1) / (most - 1))] for i in range(most)]


def _negligible(study: Study, found: Recommendation) -> Question:
    first, last = found.curve[0], found.curve[-1]
    spot = found.spot or last
    words = []
    if spot.beta is not None and study.squared_error:
        sigma = math.sqrt(spot.beta / 2)
        words.append(
            f"Excluded: no. Any positive weight is an exact likelihood with another pixel noise; {spot.weight:g} says a standard "
            f"deviation of {figure(sigma)}, {GREY_LEVELS * sigma:.0f} of {GREY_LEVELS} grey levels."
        )
    share = _kl_share(spot)
    if share is not None:
        words.append(
            f"Negligible: no. At {spot.weight:g} the weighted KL is {percent(share)} of the loss, but magnitudes do not decide, slopes do."
        )
    if len(found.curve) > 1:
        words.append(
            f"From {first.weight:g} to {last.weight:g} the code grew from {figure(first.rate)} to {figure(last.rate)} nats"
            f" and the error went from {figure(first.distortion)} to {figure(last.distortion)}."
        )
    collapsed = [s for s in found.curve if s.mean("val", "active_units") == 0]
    answer = "No. A smaller weight changes its price, and the model pays."
    if len(collapsed) == len(found.curve):
        answer = "The other way round: the KL has won everywhere."
    elif collapsed:
        words.append(f"At {listed([f'{s.weight:g}' for s in collapsed])} the KL won outright: no unit carries anything.")
    rows = [
        [f"{s.weight:g}", figure(s.rate), percent(_kl_share(s)), _units(s), figure(math.sqrt(s.beta / 2)) if s.beta else "–"]
        for s in _sample(found.curve)
    ]  # fmt: skip
    columns = ["weight", "KL, nats", "share of loss", "units", "implied σ"]
    return Question("Is the KL left out, or too small to matter?", answer, words, columns, rows)


def _kl_share(spot: Spot) -> float | None:
    if spot.beta is None or spot.distortion + spot.beta * spot.rate <= 0:
        return None
    return spot.beta * spot.rate / (spot.distortion + spot.beta * spot.rate)


def _units(spot: Spot) -> str:
    active = spot.mean("val", "active_units")
    return "–" if active is None else f"{active:.0f}/{spot.points[0].latent_dim}"


def _gradients(study: Study, found: Recommendation) -> Question | None:
    asked = "What does gradient descent see?"
    known = [s for s in found.curve if s.mean("train", "grad_norm_recon") is not None]
    if not known:
        return Question(asked, "Not measured in these runs.", ["Gradient norms are written by the evaluation at a run's end."])
    spot = found.spot if found.spot in known else known[-1]
    assert spot is not None
    cosine, beta_hat = spot.mean("train", "grad_cosine"), spot.mean("train", "beta_hat")
    words = [
        "On the encoder the error pulls codes apart and sharp; the KL pulls them together and wide. A larger weight makes "
        "every code wider, neighbours overlap, and the decoder can only return their average: that is the blur."
    ]
    answer = "Two opposite pulls; at rest they cancel."
    if cosine is not None and beta_hat is not None and spot.beta:
        ratio = beta_hat / spot.beta
        balanced = abs(math.log(max(ratio, 1e-9))) < math.log(1.5)
        words.append(
            f"At {spot.weight:g} their cosine is {figure(cosine)} (opposite is -1) and they cancel at a weight of "
            f"{figure(beta_hat)}, {'as they should at rest' if balanced else f'{times(ratio)} the weight: not at rest yet'}."
        )
        if not balanced:
            answer = "Two opposite pulls that do not cancel yet."
    rows = [
        [f"{s.weight:g}", figure(s.mean("train", "grad_norm_recon")),
         figure(s.beta * norm if s.beta and (norm := s.mean("train", "grad_norm_kl")) is not None else None),
         figure(s.mean("train", "grad_cosine")), figure(s.mean("train", "beta_hat"))]
        for s in _sample(known)
    ]  # fmt: skip
    return Question(asked, answer, words, ["weight", "‖∇ error‖", "‖β ∇ KL‖", "cosine", "β̂"], rows)


def _bought(study: Study, found: Recommendation) -> Question | None:
    asked = "Do we just value reconstruction more?"
    known = [s for s in found.curve if s.beta is not None]
    if len(known) < 2:
        return Question(asked, "One point shows no price.", ["The price of a nat needs two weights or more."])
    found_chords = chords([s.beta for s in known], [s.rate for s in known], [s.distortion for s in known])
    off = [c for c in found_chords if not 0.5 <= c.factor <= 2.0]
    unit = "squared error" if study.squared_error else "nats of error"
    words = [
        f"Yes, at a stated price: the weight is the {unit} given up for one nat. Between two optima the price paid lies "
        "between their two weights; where it does not, a run has not converged."
    ]
    chord = max(found_chords, key=lambda c: known[c.second].rate - known[c.first].rate, default=None)
    if chord:
        a, b = known[chord.first], known[chord.second]
        words.append(
            f"From {a.weight:g} to {b.weight:g}: {figure(b.rate - a.rate)} more nats bought {figure(a.distortion - b.distortion)} less "
            f"error, {figure(chord.slope)} per nat."
        )
    fine = len(found_chords) - len(off)
    answer = f"Yes, and the prices {'fit' if not off else 'mostly fit' if fine > len(off) else 'do not fit'}: {fine} of {len(found_chords)} lie between their weights."
    spaced = _sample(list(range(len(found_chords))))  # type: ignore[arg-type, type-var]
    rows = []
    for i in spaced:
        c = found_chords[i]  # type: ignore[call-overload]
        a, b = known[c.first], known[c.second]
        rows.append([f"{a.weight:g} → {b.weight:g}", figure(b.rate - a.rate), figure(a.distortion - b.distortion), figure(c.slope)])
    return Question(asked, answer, words, ["weights", "nats spent", "error saved", "per nat"], rows)
