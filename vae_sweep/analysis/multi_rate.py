"""One model for all weights beside one run per weight: the objective D + beta R, at equal beta."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import Context
from vae_sweep.analysis.words import count, duration, percent

DEARER = 0.05  # of the separate run's held-out objective


@dataclass(frozen=True)
class Row:
    """Held-out objective at one weight. `difference`: of the one model, as a fraction; below 0: it is better."""

    weight: float
    separate: float
    one_model: float

    @property
    def difference(self) -> float:
        return self.one_model / self.separate - 1


@dataclass(frozen=True)
class Comparison:
    """A multi-rate run beside the separate runs of its network. rows: largest weight first."""

    point: Point
    rows: list[Row]
    words: str


def comparisons(study: Study) -> list[Comparison]:
    """One per multi-rate run with a curve; without rows where no separate run has a weight of that curve."""
    if "multi_rate" not in study.memory:
        seconds = {run: share for sweep in study.sweeps for run, share in sweep.seconds().items()}
        study.memory["multi_rate"] = [_compared(study, p, seconds) for p in study.multi_rate if p.curve("val")]
    found: list[Comparison] = study.memory["multi_rate"]
    return found


def _compared(study: Study, point: Point, seconds: Mapping[str, float]) -> Comparison:
    rows = [
        Row(spot.weight, spot.distortion + spot.price * spot.rate, distortion + spot.price * rate)
        for spot in spots(study, "val").get(point.family, [])
        for weight, rate, distortion in point.curve("val")
        if math.isclose(weight, spot.weight, rel_tol=1e-6)
    ]
    return Comparison(point, rows, _words(study, point, rows, seconds))


def behind_separate(point: Point, context: Context) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """A rule's check: a multi-rate model that is dearer than a separate run at that run's own weight."""
    if not (point.multi_rate and point.done):
        return None
    rows = [row for found in comparisons(context.study) if found.point.id == point.id for row in found.rows]
    worst = max(rows, key=lambda row: row.difference, default=None)
    if worst is None or worst.difference < DEARER:
        return None
    evidence = [(f"objective at {row.weight:g}", f"{_signed(row)} the separate run's") for row in rows]
    return f"behind separate runs: {_signed(worst)} at {worst.weight:g}", tuple(evidence)


def _words(study: Study, point: Point, rows: list[Row], seconds: Mapping[str, float]) -> str:
    own = seconds.get(point.run.id)
    trained = f"One run of {duration(own)}" if own else "One run"
    points = count(len(point.curve("val")), "weight")
    if not rows:
        return (
            f"{trained} measured at {points}. To judge it, train some of them separately "
            "(model.multi_rate=true,false loss.kl_weight=...)."
        )
    worst, best = max(rows, key=lambda row: row.difference), min(rows, key=lambda row: row.difference)
    weights = {row.weight for row in rows}
    apart = sum(seconds.get(p.run.id, 0.0) for p in study.families[point.family] if p.weight in weights)
    ends = f"from {_signed(best)} at {best.weight:g} to {_signed(worst)} at {worst.weight:g}"
    separate = f"separate runs of the {len(rows)} below took {duration(apart)}"
    return f"{trained}, measured at {points}; {separate}. Its objective against theirs: {ends}."


def _signed(row: Row) -> str:
    return f"{percent(abs(row.difference))} {'above' if row.difference > 0 else 'below'}"
