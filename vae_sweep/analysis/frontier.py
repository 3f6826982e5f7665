"""The rate-distortion frontier: hull, dominated runs, slopes. Arrays in, indices and numbers out.

Rate R in nats, distortion D in squared error (or nats), both per image; beta = -dD/dR along the optimal curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Values = Sequence[Any] | np.ndarray  # one number per run


def lower_hull(rate: Values, distortion: Values) -> list[int]:
    """Indices of the lower-left convex hull, by rising rate and falling distortion (Andrew's monotone chain).

    Any point above it is beaten by a mixture of two runs.
    """
    r, d = np.asarray(rate, float), np.asarray(distortion, float)
    hull: list[int] = []
    for i in np.lexsort((d, r)):
        if hull and d[i] >= d[hull[-1]]:  # beyond the lowest distortion a higher rate buys nothing
            continue
        while len(hull) > 1 and _turns_right(r, d, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(int(i))
    return hull


def _turns_right(r: np.ndarray, d: np.ndarray, a: int, b: int, c: int) -> bool:
    return (r[b] - r[a]) * (d[c] - d[a]) <= (d[b] - d[a]) * (r[c] - r[a])


def above_hull(rate: Values, distortion: Values) -> np.ndarray:
    """Distortion of each point over the hull at its rate, in the distortion's own unit. (k,) -> (k,)"""
    r, d = np.asarray(rate, float), np.asarray(distortion, float)
    hull = lower_hull(r, d)
    return np.asarray(d - np.interp(r, r[hull], d[hull]))


def dominated(rate: Values, distortion: Values, tolerance: float = 0.0, scale: Values | None = None) -> np.ndarray:
    """True where another point has no more rate nor distortion, and less of one by over `tolerance`.

    tolerance: a share of the rate, or of `scale` (k,): what a distortion is measured by, by default itself.
    """
    r, d = np.asarray(rate, float), np.asarray(distortion, float)
    least = tolerance * (d if scale is None else np.asarray(scale, float))
    no_worse = (r[:, None] >= r) & (d[:, None] >= d)
    better = (r[:, None] * (1 - tolerance) > r) | (d[:, None] - least[:, None] > d)
    return np.asarray((no_worse & better).any(1))


def beaten(beta: Values, rate: Values, distortion: Values) -> tuple[np.ndarray, np.ndarray]:
    """For each run, the one that does best at *its* objective D + beta R, and by how much it does better.

    An optimum is beaten by nobody (0): whoever is beaten has not converged. (k,) -> indices (k,), (k,) in D's unit
    """
    b, r, d = np.asarray(beta, float), np.asarray(rate, float), np.asarray(distortion, float)
    loss = d[None, :] + b[:, None] * r[None, :]  # [i, j]: run j under the objective of run i
    own = np.diagonal(loss)
    best = loss.argmin(1)
    return best, own - loss.min(1)


@dataclass(frozen=True)
class Chord:
    """Between two neighbours on the curve: `slope` = -dD/dR, which optima keep within [low, high], their two betas."""

    first: int
    second: int
    slope: float
    low: float
    high: float

    @property
    def factor(self) -> float:
        """1 if the slope is within; else by how much it misses the nearer bound (0.5: half of it, 3: three times)."""
        if self.slope < self.low:
            return max(self.slope, 0.0) / self.low
        return max(1.0, self.slope / self.high)


def chords(beta: Values, rate: Values, distortion: Values) -> list[Chord]:
    """Chords between runs of neighbouring beta, largest first; equal betas and equal rates give none.

    D1 + b1 R1 <= D2 + b1 R2 and the converse at b2 bound the slope: b2 <= (D1 - D2) / (R2 - R1) <= b1.
    """
    b, r, d = np.asarray(beta, float), np.asarray(rate, float), np.asarray(distortion, float)
    order = np.argsort(-b, kind="stable")
    found = []
    for i, j in pairwise(order):
        if b[i] > b[j] and r[j] != r[i]:
            found.append(Chord(int(i), int(j), float((d[i] - d[j]) / (r[j] - r[i])), float(b[j]), float(b[i])))
    return found
