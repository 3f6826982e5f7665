"""A model of all weights taken apart: its curve as if each weight were a run, for the rules that choose a weight."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vae_sweep.analysis.point import MULTI_RATE, RANGE, WEIGHT, Point, Setting
from vae_sweep.analysis.study import SPLITS, Study
from vae_sweep.runs.files import RecordError
from vae_sweep.theory.beta import beta
from vae_sweep.theory.weights import THE_SAME


@dataclass(frozen=True)
class AtWeight(Point):
    """A multi-rate run at one of its weights. Its rows and its pictures are the run's own, at another weight: it has
    none. Its id is the run's.
    """

    @property
    def rows(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return []

    @property
    def _per_image(self) -> dict[str, np.ndarray]:  # type: ignore[override]
        return {}

    def arrays(self, name: str = "evaluation.npz", prefix: str = "") -> dict[str, np.ndarray]:
        return {}


def taken_apart(study: Study, family: tuple[Setting, ...] | None = None) -> Study:
    """The study with its multi-rate runs (of one family) at each of their weights, and its autoencoders."""
    runs = [p for p in study.multi_rate if family is None or p.family == family]
    points = [at for point in runs for at in _at_weights(study, point)]
    return replace(study, points=points + [p for p in study.points if p.autoencoder])


def _at_weights(study: Study, point: Point) -> list[Point]:
    """Largest weight first, three digits of each, once where several are the same to THE_SAME; none where curve.json is
    missing or broken.
    """
    try:
        curve = point.run.curve()
        rows = {split: {float(row["kl_weight"]): row for row in curve.get(split, [])} for split in SPLITS}
        held_out = _apart(sorted(rows["val"], reverse=True))
        return [_at_weight(study, point, float(f"{weight:.3g}"), {split: rows[split].get(weight) for split in SPLITS})
                for weight in held_out]  # fmt: skip
    except (RecordError, KeyError, TypeError, AttributeError):
        return []  # Point.curve says so


def _apart(falling: list[float]) -> list[float]:
    """Without those that are the same as one before them: two weights of one run are no two seeds of one weight."""
    kept: list[float] = []
    for weight in falling:
        if not kept or weight < kept[-1] * (1 - THE_SAME):
            kept.append(weight)
    return kept


def _at_weight(study: Study, point: Point, weight: float, rows: dict[str, Any]) -> Point:
    config = point.run.config
    sizes = study.sizes(point)
    evaluation: dict[str, Any] = {split: dict(row) for split, row in rows.items() if row}
    for row in evaluation.values():
        if sizes is not None and "psnr_mean" not in row:  # of an earlier version: of noisy codes, and of their mean
            mse = row["mse"] = row["sse"] / sizes.pixels
            row |= {"psnr": float(-10 * np.log10(mse))} if mse > 0 else {}
    config = {
        **config,
        "loss": {**config["loss"], "kl_weight": weight},
        "model": {**config["model"], "multi_rate": False},
    }
    told = None if sizes is None else beta(config, sizes, point.run.result.get("says"))
    result = {**point.run.result, "metrics": {}, "beta": told, "config": config}
    settings = {k: v for k, v in point.settings.items() if k not in (MULTI_RATE, RANGE)} | {WEIGHT: weight}
    return AtWeight(replace(point.run, result=result), settings, evaluation, point.data)
