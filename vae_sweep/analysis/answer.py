"""The answer in words and as data: which weight, for what, how sure, what next.

One object, from which the page, the terminal, the Markdown summary and `runs.answer` are made, so that they cannot
disagree; report/answer.json is `as_data` of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from vae_sweep.analysis.convergence import LATE
from vae_sweep.analysis.next_step import Next, collapse_threshold, next_step
from vae_sweep.analysis.point import name_of, short
from vae_sweep.analysis.purposes import NAMES, Purpose, alike, autoencoder_quality, quality, reconstructing
from vae_sweep.analysis.questions import Question, questions
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.sampling import from_codes, sampling
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.analysis.words import count, figure, listed
from vae_sweep.runs.alike import grouped

SCHEMA = 1
TITLES = {
    "reconstruct": "To reconstruct", "sample": "To sample", "likelihood": "By likelihood",
    "code": "For a code to work on",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One purpose: its name, the weight, where that lies, why; and whatever else is known of it."""

    name: str
    title: str
    value: str
    sure: str
    words: str
    rest: tuple[str, ...] = ()

    @property
    def in_full(self) -> str:
        return " ".join((self.words, *self.rest))


@dataclass(frozen=True)
class Answer:
    """`sure`: how sure the headline is, and what qualifies it as a whole. `notes`: what is known of its purposes, which
    `facts` have, too, each in its place.
    """

    headline: str
    sure: tuple[str, ...]
    notes: tuple[str, ...]
    facts: list[Fact]
    next: Next
    questions: list[Question]
    found: Recommendation

    @property
    def points(self) -> tuple[str, ...]:
        """Each statement below the headline, how sure it is first."""
        return (*self.sure, *self.notes)

    @property
    def brief(self) -> tuple[str, ...]:
        """Those that a terminal has room for: how sure the headline is; of one that says it itself, the first."""
        return self.sure or self.points[:1]

    @property
    def lead(self) -> str:
        return " ".join(self.points)


def answer(study: Study, found: Recommendation, verdicts: Mapping[str, list[Finding]]) -> Answer:
    headline, *sure = _HEADLINES[found.kind](study, found)
    known = _known(study, found) if found.kind == "curve" else {}
    ordered = [found.front, *(name for name in NAMES if name != found.front)] if found.purposes else []
    return Answer(
        headline, tuple(sure), tuple(dict.fromkeys(sentence for said in known.values() for sentence in said)),
        [_fact(found, name, known.get(name, ())) for name in ordered],
        next_step(study, found, dict(verdicts)), questions(study, found), found,
    )  # fmt: skip


def as_data(study: Study, said: Answer) -> dict[str, Any]:
    """What report/answer.json holds. docs/report.md says what each key is."""
    found = said.found
    told = [field.name for field in fields(Purpose) if field.name not in ("name", "spot")]
    purposes = {name: {key: getattr(purpose, key) for key in told} for name, purpose in found.purposes.items()}
    return {
        "schema": SCHEMA, "sweep": study.name, "kind": found.kind, "front": found.front,
        "headline": said.headline, "lead": said.lead, "points": list(said.points), "brief": list(said.brief),
        "purposes": purposes,
        "samplers": {name: one.as_data() for name, one in sampling(found.curve).items()},
        "runs": [p.id for p in found.spot.points] if found.spot else [],
        "convergence": {member: known.word for member, known in found.convergence.items()},
        "next": {"words": said.next.words, "command": said.next.command, "elsewhere": dict(said.next.elsewhere)},
    }  # fmt: skip


def _weight(purpose: Purpose, weight: float | None) -> str:
    """As the user typed it where it was tried; an estimate has two digits."""
    return figure(weight, 2) if purpose.name == "likelihood" or weight is None else f"{weight:g}"


def _value(purpose: Purpose) -> str:
    """'0.1', 'below 0.03', 'any', or a dash."""
    if purpose.kl_weight is None:
        return "–"
    if purpose.beyond == "indifferent":
        return "any"
    sign = {"below": "≤ ", "above": "≥ "}.get(purpose.beyond or "", "")
    return f"{sign}{_weight(purpose, purpose.kl_weight)}"


_OPEN = {"below": "open below: none smaller was tried", "above": "open above: none larger was tried"}


def _fact(found: Recommendation, name: str, known: Sequence[str]) -> Fact:
    """The first of what is `known`, or else of why, is shown; the rest is for whoever asks."""
    purpose = found.purposes[name]
    first, _, rest = purpose.why.partition(". ")
    shown, more = (known[0], [purpose.why]) if known else (f"{first.rstrip('.')}.", [rest] if rest else [])
    more = [sentence for sentence in (*more, *known[1:]) if sentence.lower() not in shown.lower()]
    return Fact(name, TITLES[name], _value(purpose), _range(found, purpose), shown, tuple(more))


def _range(found: Recommendation, purpose: Purpose) -> str:
    """'between 0.01 and 0.1', 'open below: ...': where the weight of a purpose lies; '' where that cannot be told."""
    if purpose.kl_weight is None:
        return ""
    if found.in_doubt:
        return "so far"
    if purpose.beyond == "indifferent":
        return "any of those tried"
    return _OPEN.get(purpose.beyond or "") or _interval(purpose) or "open"


def _interval(purpose: Purpose) -> str:
    low, high = (None if end is None else _weight(purpose, end) for end in (purpose.low, purpose.high))
    if low and high:
        return f"between {low} and {high}" if low != high else f"at {low}"
    return f"above {low}" if low else f"below {high}" if high else ""


# --- without a curve -------------------------------------------------------------------------------------------------


def _empty(study: Study, _: Recommendation) -> tuple[str, str]:
    return "Nothing has been trained yet.", "The sweep has no run. This page fills as runs finish."


def _all_failed(study: Study, _: Recommendation) -> tuple[str, str]:
    groups = grouped((p.run.error or {}, p.run.error or {}) for p in study.points)
    said = groups[0][0].get("message", "unknown error") if len(groups) == 1 else f"{len(groups)} different errors"
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


def _only_controllers(study: Study, _: Recommendation) -> tuple[str, str]:
    names = listed(list(dict.fromkeys(p.schedule for p in study.vaes if p.weight_moves)))
    return (
        "No weight to choose: a target is given instead.",
        f"With {names} the weight follows from the target that you set, and loss.kl_weight is not the weight in the "
        "end; what is in the plane below is what each target costs. To compare weights, sweep loss.kl_weight with "
        "kl_schedule=constant.",
    )


def _only_autoencoder(study: Study, _: Recommendation) -> tuple[str, str]:
    return (
        "No weight to choose.",
        "Only autoencoders have finished; they have no KL. Add objective=vae,autoencoder loss.kl_weight=1,0.5,0.1.",
    )


def _collapsed(study: Study, found: Recommendation) -> tuple[str, str]:
    which = listed([f"{spot.weight:g}" for spot in found.idle])
    known = collapse_threshold(study, found.idle[0])
    where = f" Ignoring the code is a stable solution above {figure(known)} on these images." if known else ""
    return (
        "Nothing was learned: every code is ignored.",
        f"At {which} no unit carries anything and the KL is near zero: only the mean image is left.{where} "
        "No weight is recommended on such runs.",
    )


def _constant(study: Study, found: Recommendation) -> tuple[str, str]:
    rates = [spot.rate for spot in found.idle]
    return (
        "Nothing was learned yet: every code is constant.",
        f"No unit carries anything about its image, although the KL is {figure(min(rates))} to {figure(max(rates))} "
        "nats: every image has the same code, away from the prior, and its nats buy nothing. That is not collapse, "
        "which costs none. Train longer or start otherwise; no weight is recommended on such runs.",
    )


# --- on a curve ------------------------------------------------------------------------------------------------------


def _one_weight(study: Study, found: Recommendation) -> tuple[str, str]:
    [spot] = found.curve
    leaves = _leaves(study, found, spot, " and ", study.held_out_words)
    which = f"Only KL weight {spot.weight:g} has {'learned something' if found.idle else 'finished'}."
    if found.families > 1:
        which = f"No network has finished more than one KL weight; the best one {spot.weight:g}."
    return (
        which,
        f"One weight shows no trade-off. It spends {_nats(spot)}{leaves}. "
        "Add weights three to ten times smaller and larger under the same sweep=NAME.",
    )


def _curve(study: Study, found: Recommendation) -> tuple[str, ...]:
    headline = _headline(study, found)
    if found.in_doubt:
        what = "train longer" if found.train_longer else "some runs are stuck, try other seeds"
        headline = f"So far: {headline[0].lower()}{headline[1:-1]}; {what} to be sure."
    said = (_by_one_model(found), _sure(found), _late(found), _against(found), _about(found), _idle(found))
    return headline, *filter(None, said)


def _known(study: Study, found: Recommendation) -> dict[str, list[str]]:
    """What is known of a purpose beyond its rule: the pictures, what is at stake, whether one weight does both."""
    pictures = [*_pictures(study, found), _stake(found)]
    return {"reconstruct": list(filter(None, pictures)), "sample": list(filter(None, _draws(found)))}


def _headline(study: Study, found: Recommendation) -> str:
    purpose = found.chosen
    title = TITLES[found.front]
    if purpose is None:
        return f"{title}: no weight can be named yet."
    weight = _weight(purpose, purpose.kl_weight)
    smallest, largest = found.curve[-1].weight, found.curve[0].weight
    largest_what = "that learned something" if any(s.weight > largest for s in found.idle) else "you tried"
    if purpose.beyond == "indifferent":
        return f"{title}, the weight does not matter here."
    if purpose.beyond == "below":
        if purpose.name == "reconstruct" and purpose.kl_weight != smallest:
            return f"{title}, KL weight {weight} or less."
        left = [
            p.weight for p in study.points if p.weight is not None and p.status in ("queued", "running", "interrupted")
        ]
        what = "that has finished" if min(left, default=smallest) < smallest else "you tried"
        return f"{title}, go below KL weight {smallest:g}, the smallest {what}."
    if purpose.beyond == "above":
        if purpose.name == "reconstruct":
            return f"{title}, KL weight {weight} is enough, the largest {largest_what}."
        return f"{title}, go above KL weight {largest:g}, the largest {largest_what}."
    return f"{title}, take KL weight {weight}."


def _about(found: Recommendation) -> str:
    """Which of several curves was judged."""
    settings = ", ".join(f"{name_of(key)} {short(value)}" for key, value in found.curve[0].family)
    if found.families < 2 or not settings:
        return ""
    return f"It is about {settings}, chosen of {found.families} curves by its reconstructions."


def _pictures(study: Study, found: Recommendation) -> list[str]:
    """From where on the pictures are alike, and why; what they leave."""
    purpose = found.purposes["reconstruct"]
    spot = purpose.spot
    if spot is None or purpose.kl_weight is None:
        return [purpose.why]
    settings = ", ".join(f"{name_of(key)} {short(value)}" for key, value in spot.family)
    where = f" ({settings})" if settings else ""
    same, why = alike(found.curve, purpose), purpose.why
    if purpose.beyond in ("within", "above") and len(same) > 1:
        why = f"From {same[-1]:g} to {same[0]:g} the pictures are alike; {why[0].lower()}{why[1:]}"
    return [why, f"{_leaves(study, found, spot, f'{spot.weight:g} ')}, at {_nats(spot)}{where}."]


def _draws(found: Recommendation) -> list[str]:
    """Whether a weight serves both to reconstruct and to draw from the prior; where none does, what drawing costs."""
    reconstruct, sample = found.purposes["reconstruct"], found.purposes["sample"]
    judged, good = sampling(found.curve), reconstructing(found.curve, reconstruct)
    fitted, prior = from_codes(judged, good), judged.get("prior")
    if prior and not prior.whole:
        return ["Draws from the prior fall into holes at every weight tried.", fitted]
    if not prior or not prior.serves or not good:
        return [fitted]
    if both := [weight for weight in prior.serves if weight in good]:
        near = "as near to pictures as any run's, by textures, edges and layout"
        return [f"At {prior.named(both)} the prior's draws, too, are {near}."]
    own, other = reconstruct.spot, sample.spot
    lost = (quality(own) or 0.0) - (quality(other) or 0.0) if own and other else 0.0
    at = f"{sample.kl_weight:g}, where reconstructions are {lost:.1f} dB worse"
    return [f"No weight both reconstructs and samples: draws from the prior come nearest to pictures at {at}.", fitted]


def _leaves(study: Study, found: Recommendation, spot: Spot, who: str, images: str = "") -> str:
    """' 0.1 leaves 22.1 dB held out, 0.9 dB short of the autoencoder'"""
    own = quality(spot)
    if own is None:
        return who
    anchor = autoencoder_quality(study, spot)
    short_of = ""
    if anchor is not None:
        side = "short of" if anchor > own else "better than"
        apart = abs(anchor - own)
        short_of = f", {apart:.1f} dB {side} the autoencoder" if apart >= 0.05 else ", as the autoencoder"
        words = {found.convergence[p.id].word for p in study.autoencoders(spot.family)}
        if words & set(LATE):
            short_of += " so far, which has not converged"
        elif "unknown" in words:
            short_of += " so far, whose run is too short to tell whether it has converged"
    return f"{who}leaves {own:.1f} dB{' ' * bool(images)}{images}{short_of}"


def _by_one_model(found: Recommendation) -> str:
    if not found.one_model:
        return ""
    return f"By the curve of one model for all weights, {len(found.curve)} of them; no weight has a run of its own yet."


def _sure(found: Recommendation) -> str:
    """The interval, and what it rests on."""
    purpose = found.chosen
    if found.in_doubt or purpose is None:
        return ""
    seeds = {len(s.points) for s in found.curve}
    known = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else count(seeds.pop(), "seed")
    by = f"as far as {known}, these images and the weights tried can tell"
    if purpose.beyond == "indifferent":
        return f"How sure: {by}."
    known = _interval(purpose)
    return f"How sure: the best weight lies {known}, {by}." if known and purpose.beyond not in _OPEN else ""


def _stake(found: Recommendation) -> str:
    purpose = found.purposes["reconstruct"]
    if found.in_doubt or purpose.gain_db is None or purpose.beyond == "indifferent":
        return ""
    nats = f" and {figure(purpose.gain_nats)} nats of likelihood" if purpose.gain_nats is not None else ""
    ends = f"between {found.curve[0].weight:g} and {found.curve[-1].weight:g}"
    return f"At stake {ends}: {purpose.gain_db:.2g} dB{nats}."


def _against(found: Recommendation) -> str:
    if 2 * found.behind < len(found.curve) or not found.behind:
        return ""
    all_of = (
        "All weights are" if found.behind == len(found.curve) else f"{found.behind} of {len(found.curve)} weights are"
    )
    return f"{all_of} behind a linear model: more training or another network changes more than the weight does."


def _late(found: Recommendation) -> str:
    late = found.unconverged
    if not late or not (found.in_doubt or found.harmless):
        return ""
    many = f"{len(late)} of {len(found.curve)} weights {'have' if len(late) > 1 else 'has'} not converged"
    if not found.in_doubt:
        return f"{many}; the most that twice the training may gain there does not change the weight named."
    weight = found.weight if found.weight in late else next(iter(late))
    return f"{many} (at {weight:g}: {late[weight].removeprefix('not converged: ')})."


def _idle(found: Recommendation) -> str:
    if not found.idle:
        return ""
    return f"Left out, for their code carries nothing: {listed([f'{s.weight:g}' for s in found.idle])}."


def _nats(spot: Spot) -> str:
    return f"{figure(spot.nats)} nats per image"


_HEADLINES = {
    "empty": _empty, "all_failed": _all_failed, "unfinished": _unfinished, "only_autoencoder": _only_autoencoder,
    "only_multi_rate": _only_multi_rate, "only_controllers": _only_controllers, "collapsed": _collapsed,
    "constant": _constant, "one_weight": _one_weight, "curve": _curve,
}  # fmt: skip
