"""Which weight to try next, where a grid is not wanted. Pure: weights and what they gave in, weights out.

Both work in u = ln(kl_weight), are asked again after every round with all that is known, and answer the same to the
same: so the same command goes on with a search as it goes on with a grid.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import stdtrit

DIGITS = 5  # of a weight, as it is written into overrides and names
_MARGIN = 0.1  # of the bracket: how far beside the predicted place it is cut
_NEAREST = 6  # visits that the line through a noisy curve is fitted to


def rounded(weight: float) -> float:
    return float(f"{weight:.{DIGITS}g}")


@dataclass(frozen=True)
class Found:
    """Where a target is crossed: at `weight`, between `low` and `high`. None: it is not, and `why` says so."""

    weight: float | None
    low: float | None
    high: float | None
    why: str = ""


@dataclass(frozen=True)
class Target:
    """The weight at which a metric has a value; it may rise or fall with the weight, but is to do one of them.

    low, high: weights between which is looked. tolerance: of the weight, as a share; within: of the value, which is
    near enough (None: the weight alone decides). runs: at most; at_once: of a round.
    """

    value: float
    low: float
    high: float
    tolerance: float = 0.01
    within: float | None = None
    runs: int = 12
    at_once: int = 1

    def next(self, known: Mapping[float, float | None]) -> list[float]:
        """Weights to try, [] at the end. known: weight -> the metric there, None if it failed."""
        left = self.runs - len(known)
        ends = [rounded(self.low), rounded(self.high)]
        if missing := [weight for weight in ends if weight not in known]:
            inner = np.geomspace(self.low, self.high, max(2, min(self.at_once, left)))[1:-1]
            return [*missing, *(rounded(w) for w in inner if rounded(w) not in known)] if len(missing) == 2 else missing
        if left <= 0:
            return []
        bracket = self._bracket(known)
        if bracket is None:
            return self._round_failures(known, self._unknown_side(known))
        if self._near_enough(known, bracket):
            return []
        u, v = (math.log(weight) for weight, _ in bracket)
        place = (self._expected(_visits(known), bracket) - u) / (v - u)
        inside = [
            rounded(math.exp(u + (v - u) * min(0.95, max(0.05, share)))) for share in self._cuts(place, v - u, left)
        ]
        fresh = [weight for weight in dict.fromkeys(inside) if weight not in known]
        return fresh or self._round_failures(known, (bracket[0][0], bracket[1][0]))

    def _round_failures(self, known: Mapping[float, float | None], between: tuple[float, float] | None) -> list[float]:
        """The middle of the widest gap that failed runs leave between two weights, [] where none is wide enough."""
        if between is None:
            return []
        low, high = between
        places = sorted({low, high, *(weight for weight in known if low < weight < high)})
        a, b = max(pairwise(places), key=lambda gap: gap[1] / gap[0])
        middle = rounded(math.sqrt(a * b))
        return [middle] if b / a > 1 + self.tolerance and middle not in known else []

    def _unknown_side(self, known: Mapping[float, float | None]) -> tuple[float, float] | None:
        """Where the value may still be crossed though no two runs enclose it: on the way to an end that failed."""
        visits = _visits(known)
        low, high = rounded(self.low), rounded(self.high)
        if not visits:
            return None
        (first, at_first), (last, at_last) = visits[0], visits[-1]
        below, above = (low, first), (last, high)
        if at_first == at_last:  # one run, or several that do not tell which way it goes
            side = max(below, above, key=lambda gap: gap[1] / gap[0])
        else:
            side = above if (at_last > at_first) == (self.value > max(at_first, at_last)) else below
        return side if side[0] < side[1] else None

    def _cuts(self, place: float, width: float, left: int) -> list[float]:
        """Where to cut a bracket `width` wide in ln(kl_weight): shares of it. The crossing is expected at `place`."""
        asked = 1 if left == 1 else min(self.at_once, left - 1)  # the last goes alone, by all that was learned before
        margin = max(_MARGIN, 0.4 * self.tolerance / width)
        if self.within is not None or left == 1 or (self.at_once == 1 and left <= 3):
            cuts = [place, place - margin, place + margin]
        elif asked == 1:
            # One side at a time: the far one is cut, a little beyond where the crossing is expected.
            cuts = [place - margin if place > 0.5 else place + margin]
        else:
            cuts = [place - margin, place + margin]
        extra = max(0, asked - len(cuts))
        return [*cuts[:asked], *((n + 1) / (extra + 1) for n in range(extra))]

    def found(self, known: Mapping[float, float | None]) -> Found:
        """What is known of the crossing, with the interval in which it lies."""
        visits = _visits(known)
        if len(visits) < 2:
            return Found(None, None, None, "fewer than two runs have the metric")
        bracket = self._bracket(known)
        if bracket is None:
            (low, at_low), (high, at_high) = visits[0], visits[-1]
            return Found(
                None, None, None,
                f"no weight from {low:g} to {high:g} reaches {self.value:g}: there it goes from {at_low:.4g} to"
                f" {at_high:.4g}; hydra.sweeper.low and .high widen the search",
            )  # fmt: skip
        low, high = a, b = bracket[0][0], bracket[1][0]
        best = math.exp(self._expected(visits, bracket))
        if (line := self._line(visits, best)) is not None:
            centre, spread = line
            if spread > math.log(b / a) / 2:  # noise decides, not the bracket
                first, last = visits[0][0], visits[-1][0]  # beyond which nothing is known
                best, below, above = (
                    max(first, min(last, math.exp(min(place, math.log(last)))))
                    for place in (centre, centre - spread, centre + spread)
                )
                low, high = min(a, below), max(b, above)
        return Found(best, low, high)

    def _bracket(self, known: Mapping[float, float | None]) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The narrowest neighbours between which the value is crossed, each with its metric."""
        visits = _visits(known)
        crossed = [(a, b) for a, b in pairwise(visits) if min(a[1], b[1]) <= self.value <= max(a[1], b[1])]
        return min(crossed, key=lambda pair: pair[1][0] / pair[0][0], default=None)

    def _expected(
        self, visits: Sequence[tuple[float, float]], bracket: tuple[tuple[float, float], tuple[float, float]]
    ) -> float:
        """ln of the weight in the bracket at which the value is expected: by all visits where they rise or fall all the
        way (Fritsch & Butland 1984, which does not overshoot), else by a line through the bracket."""
        (a, at_a), (b, at_b) = bracket
        u, v = math.log(a), math.log(b)
        if at_a == at_b:
            return (u + v) / 2
        if self.value in (at_a, at_b) or not self._ordered(visits):
            return u + (v - u) * (self.value - at_a) / (at_b - at_a)
        weights, values = zip(*visits, strict=True)
        curve = PchipInterpolator(np.log(weights), values)
        return float(brentq(lambda place: curve(place) - self.value, u, v))

    def _near_enough(
        self, known: Mapping[float, float | None], bracket: tuple[tuple[float, float], tuple[float, float]]
    ) -> bool:
        (a, at_a), (b, at_b) = bracket
        if b / a <= 1 + self.tolerance:
            return True
        within = 0.0 if self.within is None else self.within
        return any(abs(at - self.value) <= within for at in (at_a, at_b))

    def _line(self, visits: Sequence[tuple[float, float]], weight: float) -> tuple[float, float] | None:
        """(u, half of its 95 % interval) where a line through the nearest visits has the value; None of too few.

        What scatters about the line is taken for noise, and so is the curve's own bend: the interval errs on the wide
        side.
        """
        if self._ordered(visits):
            return None
        near = sorted(visits, key=lambda visit: abs(math.log(visit[0] / weight)))[:_NEAREST]
        if len(near) < 4:
            return None
        u, y = np.log([visit[0] for visit in near]), np.array([visit[1] for visit in near])
        slope, offset = np.polyfit(u, y, 1)
        free = len(near) - 2
        noise = math.sqrt(float(((y - offset - slope * u) ** 2).sum()) / free)
        if abs(slope) < 1e-12:
            return None
        centre = (self.value - offset) / slope
        spread = noise / abs(slope) * math.sqrt(1 / len(near) + (centre - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum())
        return float(centre), float(stdtrit(free, 0.975) * spread)

    @staticmethod
    def _ordered(visits: Sequence[tuple[float, float]]) -> bool:
        """Whether the metric rises, or falls, all the way: then neighbours on both sides enclose the crossing."""
        steps = [b[1] - a[1] for a, b in pairwise(visits)]
        return all(step >= 0 for step in steps) or all(step <= 0 for step in steps)


def _visits(known: Mapping[float, float | None]) -> list[tuple[float, float]]:
    return sorted((weight, value) for weight, value in known.items() if value is not None and math.isfinite(value))


# ---- the frontier

Place = tuple[float, float]  # (rate, distortion) at a weight


@dataclass(frozen=True)
class Frontier:
    """The weights from which the whole rate-distortion curve is best known: the sandwich algorithm.

    The curve is convex and has the slope -beta at every run. Between two runs it lies above their tangents and below
    their chord: what is unknown is a triangle, whose height is a distortion. The largest is halved in both its sides by
    the weight that is the chord's slope (Rote 1992, The convergence rate of the sandwich algorithm: the height falls
    with the square of the number of runs, wherever they have to lie). tolerance: of the height, as a share of the range
    of distortions.
    """

    low: float
    high: float
    tolerance: float = 0.01
    runs: int = 8
    at_once: int = 1

    def next(self, known: Mapping[float, Place | None], beta_per_weight: float = 1.0) -> list[float]:
        """Weights to try, [] at the end. known: weight -> its place, None if it failed."""
        ends = [rounded(self.low), rounded(self.high)]
        if missing := [weight for weight in ends if weight not in known]:
            return missing
        left = self.runs - len(known)
        asked: list[float] = []
        for height, weight in self.unknown(known, beta_per_weight):
            if height > self.tolerance and len(asked) < min(left, self.at_once) and weight not in known:
                asked.append(weight)
        return asked

    def unknown(self, known: Mapping[float, Place | None], beta_per_weight: float = 1.0) -> list[tuple[float, float]]:
        """(height of a gap as a share of the range of distortions, the weight that tells most of it), largest first."""
        visits = sorted((weight, place) for weight, place in known.items() if place is not None)
        if len(visits) < 2:
            return []
        distortions = [place[1] for _, place in visits]
        whole = (max(distortions) - min(distortions)) or 1.0
        gaps = []
        for (a, at_a), (b, at_b) in pairwise(visits):
            height, slope = triangle(a * beta_per_weight, at_a, b * beta_per_weight, at_b)
            weight = slope / beta_per_weight
            margin = (b / a) ** 0.1
            if not a * margin <= weight <= b / margin:  # noise, or a bend at one end: the middle
                weight = math.sqrt(a * b)
            gaps.append((height / whole, rounded(weight)))
        return sorted(gaps, reverse=True)

    def grid_for(self, known: Mapping[float, Place | None], beta_per_weight: float = 1.0) -> int | None:
        """How many runs a grid, even in ln(kl_weight), needs to know the curve as well; None if more than 200.

        By the curve through the runs that there are.
        """
        visits = sorted((weight, place) for weight, place in known.items() if place is not None)
        gaps = self.unknown(known, beta_per_weight)
        if not gaps:
            return None
        u = np.log([weight for weight, _ in visits])
        for runs in range(2, 201):
            weights = np.geomspace(visits[0][0], visits[-1][0], runs)
            rates = np.interp(np.log(weights), u, [place[0] for _, place in visits])
            at = zip(rates, curve(known, rates, beta_per_weight), strict=True)
            heights = self.unknown(dict(zip(weights.tolist(), at, strict=True)), beta_per_weight)
            if heights and heights[0][0] <= max(gaps[0][0], self.tolerance):
                return runs
        return None


def curve(known: Mapping[float, Place | None], rates: np.ndarray, beta_per_weight: float = 1.0) -> np.ndarray:
    """Distortions at `rates` of the curve through the runs, with the slope -beta that it has at each of them.

    Cubic between two runs (Hermite), kept between their chord and their tangents, where every convex curve is.
    """
    visits = sorted((place[0], place[1], weight * beta_per_weight) for weight, place in known.items() if place)
    r, d, beta = (np.array(column) for column in zip(*visits, strict=True))
    left = np.clip(np.searchsorted(r, rates, side="right") - 1, 0, len(r) - 2)
    h = np.maximum(r[left + 1] - r[left], 1e-300)
    t = np.clip((rates - r[left]) / h, 0, 1)
    start, end = d[left], d[left + 1]
    cubic = (
        (2 * t**3 - 3 * t**2 + 1) * start
        - (t**3 - 2 * t**2 + t) * h * beta[left]
        + (3 * t**2 - 2 * t**3) * end
        - (t**3 - t**2) * h * beta[left + 1]
    )
    chord = start + t * (end - start)
    tangents = np.maximum(start - t * h * beta[left], end + (1 - t) * h * beta[left + 1])
    return np.clip(cubic, np.minimum(tangents, chord), chord)


def triangle(beta_a: float, a: Place, beta_b: float, b: Place) -> tuple[float, float]:
    """(height in distortion of what is unknown between two places, slope of their chord).

    beta_a < beta_b: so a has the larger rate and the smaller distortion. The height is that of the chord above the
    point where the tangents meet; 0 where noise has turned the places round.
    """
    (rate_a, distortion_a), (rate_b, distortion_b) = a, b
    run, rise = rate_a - rate_b, distortion_b - distortion_a
    if run <= 0 or rise <= 0:
        return 0.0, math.sqrt(beta_a * beta_b)
    slope = rise / run
    if not beta_a < slope < beta_b:
        return 0.0, math.sqrt(beta_a * beta_b)
    # Tangents from b rightwards with slope -beta_b, and from a leftwards with slope -beta_a.
    meet = (rise - beta_a * run) / (beta_b - beta_a)  # rate beyond rate_b
    return (beta_b - slope) * meet, slope
