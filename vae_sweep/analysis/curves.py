"""Training curves from rows, thinned for the eye."""

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
