"""Training curves from rows: thinned for the eye, and judged for whether they still fall."""

from itertools import pairwise
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def series(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one key, (k,) and (k,); rows without it or with null are left out."""
    pairs = [(row["step"], row[key]) for row in rows if _number(row.get(key)) and _number(row.get("step"))]
    steps, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(steps, float), np.array(values, float)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)


def thin(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` of them: from each equal stretch the lowest and the highest, so that spikes stay visible."""
    if len(steps) <= points:
        return steps, values
    edges = np.linspace(0, len(steps), max(2, points // 2) + 1).astype(int)
    kept = {0, len(steps) - 1}
    for low, high in pairwise(edges):
        if high > low:
            kept |= {low + int(values[low:high].argmin()), low + int(values[low:high].argmax())}
    index = sorted(kept)
    return steps[index], values[index]


def still_falling(rows: Rows, distortion: str, beta: float | None, arbitrary_zero: bool = False) -> float | None:
    """By which share the objective at the *target* weight fell from the third to the last quarter of the training.

    distortion (a key of the rows without its split) + beta * kl on training data, so that a schedule's moving weight
    does not pretend progress; the mean of each quarter's rows. beta None: the distortion alone. None with fewer than 3
    rows in a quarter, or if the fall is within two standard errors. arbitrary_zero: of a density in nats; the share is
    then of the whole fall since the first row.
    """
    steps, values = series(rows, f"train/{distortion}")
    if beta is not None:
        kl_steps, kl = series(rows, "train/kl")
        common, here, there = np.intersect1d(steps, kl_steps, return_indices=True)
        steps, values = common, values[here] + beta * kl[there]
    if not len(steps):
        return None
    progress = steps / steps[-1] if steps[-1] else steps
    third, last = values[(progress > 0.5) & (progress <= 0.75)], values[progress > 0.75]
    if min(len(third), len(last)) < 3:
        return None
    fall = third.mean() - last.mean()
    error = np.hypot(third.std(ddof=1) / np.sqrt(len(third)), last.std(ddof=1) / np.sqrt(len(last)))
    scale = values[0] - last.mean() if arbitrary_zero else abs(last.mean())
    return float(fall / scale) if fall > 2 * error and scale > 0 else None
