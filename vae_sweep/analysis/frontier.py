"""The rate-distortion frontier: hull, knee, dominated runs, slopes. Arrays in, indices and numbers out.

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
    """Distortion of each point over the hull at its rate, as a fraction of the hull's value there. (k,) -> (k,)"""
    r, d = np.asarray(rate, float), np.asarray(distortion, float)
    hull = lower_hull(r, d)
    level = np.interp(r, r[hull], d[hull])
    return np.asarray(d / level - 1)


def dominated(rate: Values, distortion: Values, tolerance: float = 0.0) -> np.ndarray:
    """True where another point has no more rate nor distortion, and less of one by over `tolerance` (a fraction)."""
    r, d = np.asarray(rate, float), np.asarray(distortion, float)
    no_worse = (r[:, None] >= r) & (d[:, None] >= d)
    better = (r[:, None] * (1 - tolerance) > r) | (d[:, None] * (1 - tolerance) > d)
    return np.asarray((no_worse & better).any(1))


@dataclass(frozen=True)
class Knee:
    """`index` of the knee; there, `gain` of the whole reduction of the error was bought for `cost` of the whole rate.

    `last_price`: reduction per nat on the last leg of the hull over the average of the whole curve; near 1 the curve
    has not bent yet, near 0 it is flat.
    """

    index: int
    gain: float
    cost: float
    last_price: float


def knee(rate: Values, distortion: Values, decibel: bool = True) -> Knee | None:
    """The point that maximises gain - cost, Kneedle's difference curve (Satopaa et al. 2011), with

        gain = (E_first - E) / (E_first - E_last)     cost = (R - R_first) / (R_last - R_first)

    over the lower hull of (R, E), first to last. E is the error in decibels, 10 log10 D, the axes of every codec's
    rate-distortion plot: at a high rate a Gaussian source is a straight line there (6 dB per bit and dimension), so
    that a bend means that the network runs out. A distortion in nats is logarithmic already (`decibel=False`: E = D).
    Both are shares, so the units of the axes do not matter; the range of the weights tried does.
    None if the hull has fewer than three points, i.e. no corner.
    """
    r, e = np.asarray(rate, float), np.asarray(distortion, float)
    if decibel:
        e = 10 * np.log10(np.maximum(e, 1e-12))
    hull = lower_hull(r, e)
    if len(hull) < 3:
        return None
    gain = (e[hull[0]] - e[hull]) / (e[hull[0]] - e[hull[-1]])
    cost = (r[hull] - r[hull[0]]) / (r[hull[-1]] - r[hull[0]])
    best = int(np.argmax(gain - cost))
    last_price = (gain[-1] - gain[-2]) / (cost[-1] - cost[-2])
    return Knee(hull[best], float(gain[best]), float(cost[best]), float(last_price))


def beaten(beta: Values, rate: Values, distortion: Values) -> tuple[np.ndarray, np.ndarray]:
    """For each run, the one that does best at *its* objective D + beta R, and by which fraction it does better.

    An optimum is beaten by nobody (fraction 0): whoever is beaten has not converged. (k,) -> indices (k,), (k,)
    """
    b, r, d = np.asarray(beta, float), np.asarray(rate, float), np.asarray(distortion, float)
    loss = d[None, :] + b[:, None] * r[None, :]  # [i, j]: run j under the objective of run i
    own = np.diagonal(loss)
    best = loss.argmin(1)
    return best, 1 - loss.min(1) / own


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


def crossing(weight: Values, calibrated: Values) -> tuple[float | None, str]:
    """Where the weight equals 2 * MSE per pixel, the likelihood-optimal one (Rybkin et al. 2021), on log-log axes.

    Returns (weight, "within"), or (the calibrated weight at the nearer end, "below" | "above") outside the range tried.
    """
    w, c = np.asarray(weight, float), np.asarray(calibrated, float)
    if not len(w):
        return None, "within"
    order = np.argsort(w)
    w, c = w[order], c[order]
    ratio = np.log(c / w)
    if ratio[0] < 0:
        return float(c[0]), "below"
    if ratio[-1] > 0:
        return float(c[-1]), "above"
    i = int(np.flatnonzero(ratio >= 0)[-1])
    if i == len(w) - 1 or ratio[i] == ratio[i + 1]:
        return float(w[i]), "within"
    share = ratio[i] / (ratio[i] - ratio[i + 1])
    return float(np.exp(np.log(w[i]) + share * np.log(w[i + 1] / w[i]))), "within"
