"""Which weight to take: the numbers behind the answer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from vae_sweep.analysis import frontier
from vae_sweep.analysis.frontier import Knee
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import Setting, Study
from vae_sweep.analysis.verdicts import Finding

STILL_STEEP = 0.5  # last_price above which the curve has not bent yet
TIE = 0.01  # objectives closer than this are equal: the smaller latent wins
UNCONVERGED = {"beaten", "slope", "stationary", "falling"}


@dataclass(frozen=True)
class Recommendation:
    """`kind`: take | smaller | train_longer | no_corner | one_weight, or without any finished VAE
    only_multi_rate | only_autoencoder | unfinished | all_failed | empty.

    `likelihood`: the weight whose beta equals 2 * MSE per pixel, and whether it lies within, below or above those
    tried.
    `unconverged`: weight -> what a rule says against its convergence; with the recommended weight among them, or a
    third of the curve, the answer is to train longer.
    `by_seed`, `by_family`: the knee of each seed of the curve, and of each curve, on its own.
    """

    kind: str
    spot: Spot | None = None
    knee: Knee | None = None
    curve: list[Spot] = field(default_factory=list)
    by_seed: dict[Any, float] = field(default_factory=dict)
    by_family: dict[tuple[Setting, ...], Spot] = field(default_factory=dict)
    likelihood: tuple[float | None, str] = (None, "within")
    unconverged: dict[float, str] = field(default_factory=dict)

    @property
    def weight(self) -> float | None:
        return self.spot.weight if self.spot else None


def recommend(study: Study, verdicts: Mapping[str, list[Finding]]) -> Recommendation:
    curves = _on_one_data_set(spots(study))
    if not curves:
        return Recommendation(_without_runs(study))
    knees = {family: _knee(curve, study.squared_error) for family, curve in curves.items()}
    corners = {family: curves[family][knee.index] for family, knee in knees.items() if knee}
    tried = [spot for curve in curves.values() for spot in curve]
    betas = [_price(spot) for spot in corners.values()]
    family = _best_family(curves, median(betas) if betas else min(_price(spot) for spot in tried))
    curve, knee = curves[family], knees[family]
    kind, spot = _pick(curve, knee)
    unconverged = _unconverged(curve, verdicts)
    if kind != "one_weight" and (spot.weight in unconverged or 3 * len(unconverged) >= len(curve)):
        kind = "train_longer"
    return Recommendation(
        kind, spot, knee, curve, _by_seed(curve, study.squared_error),
        corners, _likelihood(study, curve),
        unconverged,
    )  # fmt: skip


def _on_one_data_set(curves: dict[tuple[Setting, ...], list[Spot]]) -> dict[tuple[Setting, ...], list[Spot]]:
    """Of a sweep over the data's own settings, the curves on the data with most weights: errors of others differ."""
    sizes = Counter(curve[0].points[0].data for curve in curves.values() for _ in curve)
    chosen = max(sizes, key=lambda data: sizes[data], default=None)
    return {family: curve for family, curve in curves.items() if curve[0].points[0].data == chosen}


def _pick(curve: list[Spot], knee: Knee | None) -> tuple[str, Spot]:
    """The corner if the curve bends before its end, else the smallest weight."""
    if len(curve) == 1:
        return "one_weight", curve[0]
    if knee is None:
        return "no_corner", min(curve, key=lambda s: s.distortion)
    if knee.last_price > STILL_STEEP:
        return "smaller", curve[-1]
    return "take", curve[knee.index]


def _without_runs(study: Study) -> str:
    if not study.points:
        return "empty"
    if all(p.status == "failed" for p in study.points):
        return "all_failed"
    if study.multi_rate and all(p.multi_rate or p.autoencoder for p in study.done):
        return "only_multi_rate"
    return "only_autoencoder" if study.done and all(p.autoencoder for p in study.points) else "unfinished"


def _knee(curve: list[Spot], decibel: bool) -> Knee | None:
    return frontier.knee([s.rate for s in curve], [s.distortion for s in curve], decibel)


def _price(spot: Spot) -> float:
    """beta, or where the objective fixes none what was typed."""
    return spot.weight if spot.beta is None else spot.beta


def _best_family(curves: dict[tuple[Setting, ...], list[Spot]], beta: float) -> tuple[Setting, ...]:
    """The family with the lowest held-out objective at `beta` or the nearest to it; near ties: fewest latents."""

    def objective(family: tuple[Setting, ...]) -> float:
        spot = min(curves[family], key=lambda s: abs(_price(s) - beta))
        distortion, rate = spot.mean("val", spot.points[0].distortion_key), spot.mean("val", "kl")
        if distortion is None or rate is None:
            distortion, rate = spot.distortion, spot.rate
        return distortion + beta * rate

    loss = {family: objective(family) for family in curves}
    near = [family for family in curves if loss[family] <= min(loss.values()) + TIE * abs(min(loss.values()))]
    return min(near, key=lambda family: (curves[family][0].points[0].latent_dim or 0, loss[family]))


def _by_seed(curve: list[Spot], decibel: bool) -> dict[Any, float]:
    """Seed -> knee of that seed's runs alone, for the seeds that have every weight."""
    knees = {}
    for seed in dict.fromkeys(p.seed for s in curve for p in s.points):
        own = [(s, p) for s in curve for p in s.points if p.seed == seed]
        if len(own) == len(curve) and len(curve[0].points) > 1:
            split = "train" if own[0][1].rate("train") is not None else "val"
            rate, distortion = [p.rate(split) for _, p in own], [p.distortion(split) for _, p in own]
            found = frontier.knee(rate, distortion, decibel)
            if found:
                knees[seed] = own[found.index][0].weight
    return knees


def _unconverged(curve: list[Spot], verdicts: Mapping[str, list[Finding]]) -> dict[float, str]:
    found = {}
    for spot in curve:
        findings = (f for p in spot.points for f in verdicts.get(p.id, []))
        if first := next((f for f in findings if f.rule in UNCONVERGED), None):
            found[spot.weight] = first.words
    return found


def _likelihood(study: Study, curve: list[Spot]) -> tuple[float | None, str]:
    if not study.squared_error:
        return None, "within"
    known = [(s, 2 * mse) for s in curve if s.beta and (mse := s.mean(study.split, "mse"))]
    beta, where = frontier.crossing([s.beta for s, _ in known], [calibrated for _, calibrated in known])
    if beta is None:
        return None, where
    nearest = min((s for s, _ in known), key=lambda s: abs(np.log(beta / _price(s))))
    return beta * nearest.weight / _price(nearest), where  # in the user's own convention
