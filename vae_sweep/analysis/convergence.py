"""Whether a run has converged: everything that decides, and one word for it.

    converged     the objective is at rest at the full learning rate, gradients balance, no neighbour is better
    balanced      gradients balance and no neighbour is better; whether it is at rest cannot be told from its rows
    at rest       the objective is at rest; no gradients were measured
    unfinished    twice the length would take more than FALLING off the objective; or a check fails and it may yet move
    stuck         a check fails although the objective is at rest: longer training does not mend that
    overfitting   the held-out objective rises: longer training makes it worse
    unknown       nothing was measured that could tell

The page, the terminal and answer.json ask `convergence`. Held-out rows are judged where there are enough of them. No
check alone proves an optimum: see docs/report.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.survey import Context
from vae_sweep.analysis.trend import Trend, trend
from vae_sweep.analysis.words import figure, percent, times

SLOPE_FACTOR = 2.0  # a chord between two weights may miss them by this much before it counts
BEATEN = 0.02  # fraction of its own objective
ABOVE_HULL = 0.005  # the same
BETA_HAT = 1.5
MOMENT = 1.5  # of the mean second moment, which is 1 at a stationary point; costs 0.05 nats a unit
FALLING = 0.05  # of the objective, by a run of twice the length: 0.2 dB; ten times less weight has to gain 0.5
AT_REST = 0.003  # the same, for a run to end by itself (trainer.until=converged)
LEFT = 0.01  # what any length would gain, likewise
BEHIND = 0.015  # above the linear VAE's objective, likewise; noise at the full learning rate is worth half of it
RISING = 0.01

LATE = ("unfinished", "stuck")  # words that put an answer in doubt
Evidence = tuple[tuple[str, str], ...]  # (what, value), ...
Found = tuple[str, Evidence] | None


@dataclass(frozen=True)
class Convergence:
    """doubts: by the name of their rule, gravest first: (words, evidence)."""

    word: str
    doubts: dict[str, tuple[str, Evidence]] = field(default_factory=dict)
    trend: Trend | None = None


def convergence(point: Point, context: Context) -> Convergence:
    if point.id not in context.judged:
        context.judged[point.id] = _judge(point, context)
    found: Convergence = context.judged[point.id]
    return found


def _judge(point: Point, context: Context) -> Convergence:
    if not point.done or point.distortion(context.study.split) is None:
        return Convergence("unknown")
    heading = None if point.multi_rate else trend_of(point)
    still = heading is not None and heading.gain <= FALLING
    doubts = {}
    for name, check in CHECKS.items():
        if found := check(point, context):
            doubts[name] = (f"not converged: {found[0]}", found[1])
    stuck = (
        still and bool(doubts) and doubts.keys() <= {"beaten", "slope"}
    )  # gradients that do not balance still move it
    if stuck:
        doubts = {name: (f"stuck: {words.partition(': ')[2]}", evidence) for name, (words, evidence) in doubts.items()}
    if heading is not None and not still:
        doubts["falling"] = _falling(heading)
    if heading is not None and heading.rise > RISING and heading.split == "val":
        return Convergence("overfitting", doubts, heading)
    if doubts:
        return Convergence("stuck" if stuck else "unfinished", doubts, heading)
    balanced = point.get("train", "beta_hat") is not None and point.beta is not None
    if still:
        return Convergence("converged" if balanced or point.autoencoder else "at rest", {}, heading)
    return Convergence("balanced" if balanced else "unknown", {}, heading)


def trend_of(point: Point) -> Trend | None:
    """Of a run that has ended, from its rows."""
    priced = point.autoencoder or point.beta is not None
    steps, lr_schedule = point.run.result.get("total_steps"), point.flat.get("optimizer.lr_schedule", "constant")
    key = point.distortion_key if priced else "loss"
    return trend(point.rows, key, point.beta, lr_schedule, steps, arbitrary_zero=not point.zero_means_something)


def _falling(heading: Trend) -> tuple[str, Evidence]:
    images = {"val": "held-out", "train": "training"}[heading.split]
    evidence = ((f"{images} objective, by a run of twice the length", f"{percent(heading.gain)} lower"),)
    return f"not converged: twice the training would lower its objective by about {percent(heading.gain)}", evidence


def _beaten(point: Point, context: Context) -> Found:
    if point.autoencoder:
        return _beaten_autoencoder(point, context)
    spot, share, chance_share = context.beaten_by.get(point.id, (None, 0.0, 0.0))
    if spot is None or share < max(BEATEN, chance_share):
        return None
    evidence = (
        ("at this run's own beta", f"KL weight {spot.weight:g} reaches an objective {percent(share)} lower"),
        ("seeds may differ by", percent(chance_share)),
    )
    return f"beaten by KL weight {spot.weight:g} at its own objective", evidence


def _beaten_autoencoder(point: Point, context: Context) -> Found:
    """With nothing but the error to lower, it must not lose to a VAE that decodes its means with the same network."""
    own = point.get("train", "sse")
    families = [family for family in context.study.families if set(point.family) <= set(family)]
    rivals = [
        (error, p.weight)
        for family in families
        for p in context.study.families[family]
        if (error := p.get("train", "sse_mean")) is not None
    ]
    best, weight = min(rivals, default=(None, None))
    if own is None or best is None or weight is None or best > own * (1 - BEATEN):
        return None
    evidence = (("training error", figure(own)), (f"of KL weight {weight:g}, decoding the mean", figure(best)))
    return f"KL weight {weight:g} reconstructs better", evidence


def _slope(point: Point, context: Context) -> Found:
    """The run is blamed only if it is the one that lies above the hull of its neighbours."""
    missing = [(c, s) for c, s in context.chords.get(point.id, []) if not 1 / SLOPE_FACTOR <= c.factor <= SLOPE_FACTOR]
    if not missing or context.above_hull.get(point.id, 0.0) < ABOVE_HULL:
        return None
    chord, spot = max(missing, key=lambda pair: abs(np.log(max(pair[0].factor, 1e-3))))
    evidence = (
        (f"slope towards KL weight {spot.weight:g}", f"{figure(chord.slope)} per nat"),
        ("optima keep it within", f"{figure(chord.low)} to {figure(chord.high)}"),
        ("above the hull", percent(context.above_hull[point.id])),
    )
    return f"slope {times(chord.factor)} beta", evidence


def _stationary(point: Point, _: Context) -> Found:
    beta, beta_hat = point.beta, point.get("train", "beta_hat")
    if beta is None or beta_hat is None or beta < 0.01 or balances(beta_hat, beta):
        return None
    ratio = beta_hat / beta
    evidence = (("beta_hat / beta", f"{figure(beta_hat)} / {figure(beta)} = {figure(ratio)}"),
                ("cosine of the two gradients", figure(point.get("train", "grad_cosine"))))  # fmt: skip
    return f"gradients balance at {times(ratio)} beta", evidence


def balances(beta_hat: float, beta: float) -> bool:
    return 1 / BETA_HAT <= beta_hat / beta <= BETA_HAT


def _moments(point: Point, _: Context) -> Found:
    """Where the code enters and leaves by affine maps, scaling it is in the network's power (docs/metrics.md)."""
    second = point.get("train", "moment_second")
    if second is None or not point.affine_heads or 1 / MOMENT <= second <= MOMENT:
        return None
    return f"codes have a second moment of {figure(second)}, optima 1", (("E[mu² + sigma²]", figure(second)),)


CHECKS: dict[str, Callable[[Point, Context], Found]] = {
    "beaten": _beaten, "slope": _slope, "stationary": _stationary, "moments": _moments,
}  # fmt: skip
