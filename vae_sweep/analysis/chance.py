"""What may be chance: differences between runs that differ in nothing but their seed, and between held-out images.

Runs of equal truth differ because they were trained from other seeds. With two seeds or more that is estimated (t),
with one it is assumed to be ASSUMED_SD. Several differences looked at at once are corrected (Holm 1979), so that among
equal truths at most one comparison in twenty finds a difference.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

LEVEL = 0.04  # of a false difference; measured under 5 % in docs/validity.md, Monte Carlo error included
ASSUMED_SD = 0.015  # of an objective over seeds, as a share of it. docs/validity.md: 0.7 % of ours; twice that is safe
_FAR = 50.0  # of a logarithm: farther than any weight, and no overflow
FEW_SAMPLES = 10  # effective sample size below which an importance-weighted bound is not to be relied on
FEW_IMAGES = 200  # held-out images below which their number stands beside every figure


@dataclass(frozen=True)
class Difference:
    """Of means, b - a. p: two-sided, of equal truths; half: of the 95 % interval. assumed: the seeds' sd is."""

    value: float
    half: float
    p: float
    assumed: bool


@dataclass(frozen=True)
class Spread:
    """Of groups of values about the mean of each: the sum of squares, and its degrees of freedom."""

    squares: float = 0.0
    freedom: int = 0

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(self.squares + other.squares, self.freedom + other.freedom)

    def __sub__(self, other: "Spread") -> "Spread":
        """What is left of it without groups that are in it."""
        return Spread(max(self.squares - other.squares, 0.0), self.freedom - other.freedom)


def spread(*groups: Sequence[float]) -> Spread:
    values = [np.asarray(group, float) for group in groups]
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in values)
    return Spread(squares, sum(len(group) - 1 for group in values))


def between(a: Sequence[float], b: Sequence[float], scale: float, pool: Spread | None = None) -> Difference:
    """Of two settings, a value per seed of each. scale: what ASSUMED_SD is a share of. pool: of like settings, whose
    spread is that of these two (all in one unit): their degrees of freedom count.

    Welch's assumption of unequal variances would cost the few degrees of freedom that there are: one variance for all.
    """
    known = spread(a, b) + (pool or Spread())
    freedom = known.freedom
    value = float(np.mean(b) - np.mean(a))
    share = math.sqrt(1 / len(a) + 1 / len(b))
    if freedom <= 0:
        error = ASSUMED_SD * abs(scale) * share
        p = 2 * float(ndtr(-abs(value) / error)) if error else float(value == 0)
        return Difference(value, 1.959964 * error, p, True)
    error = math.sqrt(known.squares / freedom) * share
    p = 2 * float(stdtr(freedom, -abs(value) / error)) if error else float(value == 0)
    return Difference(value, float(stdtrit(freedom, 0.975)) * error, p, False)


def paired(a: Sequence[Any] | np.ndarray, b: Sequence[Any] | np.ndarray) -> Difference:
    """Of two runs on the same held-out images, a value per image of each: what is left is the images' own chance.

    It says how far *these two runs* differ; another seed may differ otherwise.
    """
    d = np.asarray(b, float) - np.asarray(a, float)
    freedom, value = len(d) - 1, float(d.mean())
    error = float(d.std(ddof=1)) / math.sqrt(len(d)) if freedom else math.inf
    if not freedom or not error:
        return Difference(value, error, float(not value or not freedom), False)
    half = float(stdtrit(freedom, 0.975)) * error
    return Difference(value, half, 2 * float(stdtr(freedom, -abs(value) / error)), False)


def holm(ps: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several hypotheses fall, none of those true with probability over `level`. Holm 1979."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found = [False] * len(ps)
    for rank, i in enumerate(order):
        if ps[i] > level / (len(ps) - rank):
            break
        found[i] = True
    return found


def noticeable(seeds: int, rivals: int = 1) -> float:
    """The share of an objective by which one of `rivals` may lie below it by chance, `seeds` of each, at ASSUMED_SD."""
    z = -NormalDist().inv_cdf(LEVEL / (2 * max(1, rivals)))
    return z * ASSUMED_SD * math.sqrt(2 / max(1, seeds))


def interval(
    rule: Callable[[np.ndarray], float | None],
    values: Sequence[np.ndarray],
    scale: Sequence[float],
    draws: int = 200,
    positive: bool = False,
) -> tuple[float, float] | None:
    """5 % and 95 % quantile of `rule` over resampled images and other seeds; None where the rule never gives a number.

    values: for each weight an array (seeds, images), the same images for all: one resampling of the images serves
    every weight, as the comparison is paired. scale: for each weight, in the values' unit, what ASSUMED_SD is a share
    of; the seeds' sd is the same share of it at every weight, and pooled over them as `between` does. Its own chance
    counts: each draw has an sd of its own, so that a weight moves by a t and not by a normal number. positive: of
    values that are never below zero, such as errors, which seeds then multiply.
    """
    rng = np.random.default_rng(0)
    count = values[0].shape[1]
    shared = rng.integers(0, count, (draws, count)) if all(v.shape[1] == count for v in values) else None
    deviation = _seeds_sd(values, scale, draws, rng)
    columns = []
    for v, unit in zip(values, scale, strict=True):
        of_images, moved = _resampled(v, shared, draws, rng), deviation * unit / math.sqrt(len(v))
        by_seeds = moved * rng.standard_normal(draws)
        columns.append(of_images * np.exp(np.clip(by_seeds / unit, -_FAR, _FAR)) if positive else of_images + by_seeds)
    means = np.stack(columns, axis=1)
    found = [result for drawn in means if (result := rule(drawn)) is not None]
    if not found:
        return None
    low, high = np.quantile(found, 0.05, method="lower"), np.quantile(found, 0.95, method="higher")
    return float(low), float(high)


def _seeds_sd(
    values: Sequence[np.ndarray], scale: Sequence[float], draws: int, rng: np.random.Generator
) -> np.ndarray | float:
    """Share of the scale that seeds differ by, (draws,): of each draw what its variance may be; or ASSUMED_SD."""
    groups = [v.mean(1) / unit for v, unit in zip(values, scale, strict=True)]
    known = spread(*groups)
    if known.freedom <= 0:
        return ASSUMED_SD
    return np.asarray(np.sqrt(known.squares / rng.chisquare(known.freedom, draws)))


def _resampled(values: np.ndarray, images: np.ndarray | None, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws,): means of `values` (S, N) over the seeds and resampled images. images: (draws, N), None for its own."""
    if images is None:
        count = values.shape[1]
        images = rng.integers(0, count, (draws, count))
    return np.asarray(values.mean(0)[images].mean(1))
