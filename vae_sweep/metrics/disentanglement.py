"""Does one unit stand for one factor? Needs the factors that made the images. numpy only."""

from typing import Any, NamedTuple

import numpy as np

BINS = 20

Array = np.ndarray[Any, np.dtype[Any]]


class MutualInformationGap(NamedTuple):
    """score: mean over the factors; per_factor: (F,), NaN for a factor that never varies."""

    score: float
    per_factor: Array


def mutual_information_gap(codes: Array, factors: Array, bins: int = BINS) -> MutualInformationGap:
    """MIG: for each factor, the gap between the two units that know most of it, over its entropy. Chen et al. 2018.

    codes: (N, d), d > 1: posterior means or samples, which differ: say which. factors: (N, F). Codes, and factors of
    more than `bins` values, are cut into `bins` intervals of equal width. The mutual information of so few images is
    too large by up to (bins - 1)^2 / (2 N) nats, in all units alike, so that most of it cancels in the gap.
    """
    if codes.shape[1] < 2:
        raise ValueError("the gap between two units needs at least two of them")
    binned = np.stack([_interval(code, bins) for code in codes.T])  # (d, N)
    gaps = np.full(factors.shape[1], np.nan)
    for index, factor in enumerate(factors.T):
        values = _label(factor, bins)
        if values.min() < values.max():
            second, first = np.sort(mutual_information(binned, values))[-2:]
            gaps[index] = (first - second) / mutual_information(values[None], values)[0]
    varying = gaps[~np.isnan(gaps)]
    return MutualInformationGap(float(varying.mean()) if len(varying) else float("nan"), gaps)


def mutual_information(a: Array, b: Array) -> Array:
    """Of each of K discrete variables (K, N) with another (N,), all non-negative integers -> (K,), nats.

    From their joint histograms.
    """
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    cells = (np.arange(len(a))[:, None] * rows + a) * columns + b
    joint = np.bincount(cells.ravel(), minlength=len(a) * rows * columns).reshape(len(a), rows, columns) / a.shape[1]
    independent = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    total: Array = (joint * np.log(ratio)).sum((1, 2))
    return total


def _label(factor: Array, bins: int) -> Array:
    values, labels = np.unique(factor, return_inverse=True)
    return labels if len(values) <= bins else _interval(factor, bins)


def _interval(values: Array, bins: int) -> Array:
    edges = np.linspace(values.min(), values.max(), bins + 1)[1:-1]
    return np.digitize(values, edges)
