"""The runs of each curve compared with one another, once: what the rules know beside the run itself."""

from dataclasses import dataclass, field

import numpy as np

from vae_sweep.analysis import frontier
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import Point, Study


@dataclass(frozen=True)
class Context:
    """What the rules know beside the run itself."""

    study: Study
    beaten_by: dict[str, tuple[Spot, float]] = field(default_factory=dict)  # run id -> who, by which fraction
    chords: dict[str, list[tuple[frontier.Chord, Spot]]] = field(default_factory=dict)  # run id -> chord, neighbour
    above_hull: dict[str, float] = field(default_factory=dict)
    dominated: set[str] = field(default_factory=set)


def survey(study: Study) -> Context:
    """Compare the runs of each family with one another, once."""
    context = Context(study)
    for listed in spots(study).values():
        rate, distortion = [s.rate for s in listed], [s.distortion for s in listed]
        over, worse = frontier.above_hull(rate, distortion), frontier.dominated(rate, distortion, tolerance=0.01)
        for spot, excess, is_dominated in zip(listed, over, worse, strict=True):
            context.above_hull.update({p.id: float(excess) for p in spot.points})
            context.dominated.update(p.id for p in spot.points if is_dominated)
        known = [s for s in listed if s.beta is not None]
        betas = [s.beta for s in known]
        rate, distortion = [s.rate for s in known], [s.distortion for s in known]
        if len(known) > 1:
            for spot, j, fraction in zip(known, *frontier.beaten(betas, rate, distortion), strict=True):
                context.beaten_by.update({p.id: (known[j], float(fraction)) for p in spot.points})
        for chord in frontier.chords(betas, rate, distortion):
            for here, there in ((chord.first, chord.second), (chord.second, chord.first)):
                for p in known[here].points:
                    context.chords.setdefault(p.id, []).append((chord, known[there]))
    return context


def linear_objective(study: Study, point: Point) -> float | None:
    """D + beta R of the linear VAE of the point's size at its weight, from the pre-flight; None outside its range."""
    beta = point.beta
    curves = study.forecast(point).get("linear", []) if study.squared_error else []
    curve = next((c for c in curves if c.get("latent_dim") == point.latent_dim), None)
    if curve is None or not beta:
        return None
    weights = np.array(curve["kl_weight"], float)
    order = np.argsort(weights)
    if not weights.min() <= beta <= weights.max():
        return None
    distortion, rate = (
        np.interp(np.log(beta), np.log(weights[order]), np.array(curve[key], float)[order])
        for key in ("distortion", "rate")
    )
    return float(distortion + beta * rate)
