"""The runs of each curve compared with one another, once: what the rules know beside the run itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vae_sweep.analysis import chance, frontier
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import Study


@dataclass(frozen=True)
class Context:
    """What the rules know beside the run itself."""

    study: Study
    # run id -> who, by which share of its objective, and the share that may be chance
    beaten_by: dict[str, tuple[Spot, float, float]] = field(default_factory=dict)
    chords: dict[str, list[tuple[frontier.Chord, Spot]]] = field(default_factory=dict)  # run id -> chord, neighbour
    above_hull: dict[str, float] = field(default_factory=dict)
    dominated: set[str] = field(default_factory=set)
    judged: dict[str, Any] = field(default_factory=dict)  # run id -> its Convergence, once it was asked for


def survey(study: Study) -> Context:
    """Compare the runs of each family with one another: once for a study, whoever asks."""
    if "survey" not in study.memory:
        study.memory["survey"] = _compared(study)
    found: Context = study.memory["survey"]
    return found


def _compared(study: Study) -> Context:
    context = Context(study)
    for listed in spots(study).values():
        _against_the_hull(context, listed)
        _at_their_own_objectives(context, [s for s in listed if s.beta is not None])
    return context


def _against_the_hull(context: Context, listed: list[Spot]) -> None:
    rate, distortion = [s.rate for s in listed], [s.distortion for s in listed]
    scale = [context.study.scale(s.points[0], s.distortion) or np.inf for s in listed]
    over = frontier.above_hull(rate, distortion) / scale
    worse = frontier.dominated(rate, distortion, 0.01, scale)
    for spot, excess, is_dominated in zip(listed, over, worse, strict=True):
        context.above_hull.update({p.id: float(excess) for p in spot.points})
        context.dominated.update(p.id for p in spot.points if is_dominated)


def _at_their_own_objectives(context: Context, known: list[Spot]) -> None:
    betas = [s.beta or 0.0 for s in known]
    rate, distortion = [s.rate for s in known], [s.distortion for s in known]
    if len(known) > 1:
        for spot, beta, j, better in zip(known, betas, *frontier.beaten(betas, rate, distortion), strict=True):
            scale = context.study.scale(spot.points[0], spot.distortion + beta * spot.rate)
            share = float(better) / scale if scale else 0.0
            seeds = min(len(spot.points), len(known[j].points))
            chance_share = chance.noticeable(seeds, len(known) - 1)
            context.beaten_by.update({p.id: (known[j], share, chance_share) for p in spot.points})
    for chord in frontier.chords(betas, rate, distortion):
        for here, there in ((chord.first, chord.second), (chord.second, chord.first)):
            for p in known[here].points:
                context.chords.setdefault(p.id, []).append((chord, known[there]))


def linear_objective(study: Study, point: Point, split: str = "train") -> float | None:
    """D + beta R of the linear VAE of the point's size at its weight on the images of `split`, from the forecast.

    None outside its range, and where the forecast does not know the split.
    """
    curves = study.forecast(point).get("linear", []) if point.likelihood.squared_error else []
    return objective_of(curves, point.latent_dim, point.beta, split)


def objective_of(
    curves: Sequence[Mapping[str, Any]], latent_dim: int | None, beta: float | None, split: str = "train"
) -> float | None:
    """The same from the forecast's `curves` of linear VAEs."""
    curve = next((c for c in curves if c.get("latent_dim") == latent_dim), None)
    if curve is None or not beta:
        return None
    measured = curve if split == "train" else curve.get("held_out")
    if not measured:
        return None
    weights = np.array(curve["kl_weight"], float)
    order = np.argsort(weights)
    if not weights.min() <= beta <= weights.max():
        return None
    distortion, rate = (
        np.interp(np.log(beta), np.log(weights[order]), np.array(measured[key], float)[order])
        for key in ("distortion", "rate")
    )
    return float(distortion + beta * rate)
