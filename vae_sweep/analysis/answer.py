"""The answer in words: a headline, why, and the figures beside it."""

from collections.abc import Iterable
from dataclasses import dataclass

from vae_sweep.analysis.questions import Question, questions
from vae_sweep.analysis.recommend import STILL_STEEP, Recommendation
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study, name_of, short
from vae_sweep.analysis.words import count, figure, listed, times


@dataclass(frozen=True)
class Fact:
    """One figure beside the headline."""

    title: str
    value: str
    words: str


@dataclass(frozen=True)
class Answer:
    headline: str
    lead: str
    facts: list[Fact]
    questions: list[Question]


def answer(study: Study, found: Recommendation) -> Answer:
    headline, lead = _HEADLINES[found.kind](study, found)
    facts = (_likelihood(found), _certainty(found), _anchors(study, found), _latent(found)) if found.curve else ()
    return Answer(headline, lead, [fact for fact in facts if fact], questions(study, found))


# --- headline --------------------------------------------------------------------------------------------------------


def _empty(study: Study, _: Recommendation) -> tuple[str, str]:
    return "Nothing has been trained yet.", "The sweep has no run. This page fills as runs finish."


def _all_failed(study: Study, _: Recommendation) -> tuple[str, str]:
    errors = {(p.run.error or {}).get("message", "unknown error") for p in study.points}
    said = next(iter(errors)) if len(errors) == 1 else f"{len(errors)} different errors"
    total = len(study.points)
    return f"All {total} runs failed." if total > 1 else "The run failed.", f"{said}. The tracebacks are below."


def _unfinished(study: Study, _: Recommendation) -> tuple[str, str]:
    return "No answer yet.", f"No VAE of the {count(len(study.points), 'run')} has finished with numbers to compare."


def _only_multi_rate(study: Study, _: Recommendation) -> tuple[str, str]:
    return (
        "One model for all weights has finished.",
        "Its curve is in the plane below. A recommendation wants runs of their own at the weights that matter: "
        "add model.multi_rate=true,false loss.kl_weight=1,0.3,0.1.",
    )


def _only_autoencoder(study: Study, _: Recommendation) -> tuple[str, str]:
    return (
        "No weight to choose.",
        "Only autoencoders have finished; they have no KL. Add objective=vae,autoencoder loss.kl_weight=1,0.5,0.1.",
    )


def _one_weight(study: Study, found: Recommendation) -> tuple[str, str]:
    spot = _spot(found)
    return (
        f"Only kl_weight {spot.weight:g} has finished.",
        f"One weight shows no trade-off. It spends {_nats(spot)} and leaves {_error(study, spot)}. "
        "Add weights three to ten times smaller and larger under the same sweep=NAME.",
    )


def _no_corner(study: Study, found: Recommendation) -> tuple[str, str]:
    first, last = found.curve[0], found.curve[-1]
    return (
        f"So far {_spot(found).weight:g} reconstructs best.",
        f"{count(len(found.curve), 'weight')} show no corner: from {first.weight:g} to {last.weight:g} the rate goes "
        f"from {figure(first.rate)} to {figure(last.rate)} nats and the error from {figure(first.distortion)} to "
        f"{figure(last.distortion)} ({study.images_judged}). "
        "Three weights or more, well apart, can show where the curve bends.",
    )


def _take(study: Study, found: Recommendation) -> tuple[str, str]:
    return f"Take kl_weight {_spot(found).weight:g}.", _why(study, found)


def _smaller(study: Study, found: Recommendation) -> tuple[str, str]:
    assert found.knee is not None
    spot = _spot(found)
    return (
        f"Go below {spot.weight:g}, the smallest you tried.",
        f"Of those tried, take {spot.weight:g}: the last step still bought {times(found.knee.last_price)} the average "
        f"error reduction per nat, so the curve has not bent yet. It leaves {_error(study, spot)} at {_nats(spot)}.",
    )


def _train_longer(study: Study, found: Recommendation) -> tuple[str, str]:
    weight, late = _spot(found).weight, found.unconverged
    example = weight if weight in late else next(iter(late))
    few = len(late) < len(found.curve)
    return (
        f"So far kl_weight {weight:g}; train longer to be sure.",
        f"{f'{len(late)} of the' if few else 'None of the'} {count(len(found.curve), 'weight')} "
        f"{'have not' if few and len(late) > 1 else 'has not' if few else 'has'} converged (at {example:g}: "
        f"{late[example]}), so their order can still change. {_why(study, found, f'{weight:g}')}",
    )


_HEADLINES = {
    "empty": _empty, "all_failed": _all_failed, "unfinished": _unfinished, "only_autoencoder": _only_autoencoder,
    "only_multi_rate": _only_multi_rate,
    "one_weight": _one_weight, "no_corner": _no_corner, "take": _take, "smaller": _smaller,
    "train_longer": _train_longer,
}  # fmt: skip


def _spot(found: Recommendation) -> Spot:
    assert found.spot is not None
    return found.spot


def _why(study: Study, found: Recommendation, subject: str = "It") -> str:
    spot, knee = _spot(found), found.knee
    settings = ", ".join(f"{name_of(key)} {short(value)}" for key, value in spot.family)
    where = f" ({settings})" if settings else ""
    leaves = f"leaves {_error(study, spot)} at {_nats(spot)}"
    if knee is None:
        return f"{subject} {leaves}{where}."
    if knee.last_price > STILL_STEEP:
        return f"{subject} {leaves}{where}; the curve has not bent there yet, so smaller weights are worth trying."
    before, beyond = knee.gain / knee.cost, (1 - knee.gain) / (1 - knee.cost)
    return (
        f"{subject} is the corner of the curve{where}: down to {spot.weight:g}, each extra nat of code buys "
        f"{times(before)} the average improvement; beyond it, {times(beyond)}. It {leaves}."
    )


def _error(study: Study, spot: Spot) -> str:
    term = "squared error" if study.squared_error else "reconstruction term"
    text = f"a {term} of {figure(spot.distortion)} on {study.images_judged}"
    psnr = spot.mean("val", "psnr_mean") or spot.mean("val", "psnr")
    return f"{text} ({figure(psnr)} dB held out)" if psnr else text


def _nats(spot: Spot) -> str:
    return f"{figure(spot.rate)} nats per image"


# --- facts beside it -------------------------------------------------------------------------------------------------


def _likelihood(found: Recommendation) -> Fact | None:
    weight, where = found.likelihood
    if weight is None:
        return None
    sign, tail = {
        "within": ("≈", "where the weight equals that"),
        "below": ("≲", f"below {found.curve[-1].weight:g}, the smallest you tried"),
        "above": ("≳", f"above {found.curve[0].weight:g}, the largest you tried"),
    }[where]
    return Fact("Most likely pixels at", f"{sign} {figure(weight, 2)}", f"2 × the squared error per pixel: {tail}")


def _certainty(found: Recommendation) -> Fact | None:
    if found.kind not in ("take", "train_longer") or found.knee is None:
        return None
    knees, i = found.by_seed, found.knee.index
    if not knees:
        around = [f"{s.weight:g}" for s in found.curve[max(0, i - 1) : i] + found.curve[i + 1 : i + 2]]
        value, words = "1 seed", f"no spread known; the neighbours tried are {listed(around)}"
    elif len(set(knees.values())) == 1:
        value, words = f"{len(knees)}/{len(knees)} seeds", "every seed on its own gives the same corner"
    else:
        value, words = f"{len(knees)} seeds", f"on their own they give {_weights(knees.values())}"
    if len(found.by_family) > 1:
        corners = found.by_family.values()
        same = len({f"{spot.weight if spot.beta is None else spot.beta:.6g}" for spot in corners}) == 1
        others = "the same" if same else _weights(spot.weight for spot in corners)
        words += f"; the corners of the {len(found.by_family)} curves are {others}"
    return Fact("How sure", value, words)


def _weights(weights: Iterable[float]) -> str:
    return listed([f"{w:g}" for w in sorted(set(weights))])


def _anchors(study: Study, found: Recommendation) -> Fact | None:
    limit = study.autoencoder_distortion(found.curve[0].family, study.split)
    if limit is None:
        return None
    spot = found.spot or found.curve[-1]
    words = f"error of the autoencoder, the same network without KL; {spot.weight:g} leaves {figure(spot.distortion)}"
    if (zero := study.mean_image_distortion(spot.points[0])) is not None:
        words += f", the mean image {figure(zero)}"
    return Fact("Within reach", figure(limit), words)


def _latent(found: Recommendation) -> Fact | None:
    spot = found.spot or found.curve[-1]
    active, d = spot.mean("val", "active_units"), spot.points[0].latent_dim
    return Fact("Units in use", f"{active:.0f}/{d}", f"at {spot.weight:g}") if active is not None and d else None
