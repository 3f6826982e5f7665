"""Are two sets of pictures, or of codes, from one distribution? Squared maximum mean discrepancy, and what is chance.

MMD^2 = E k(a, a') + E k(b, b') - 2 E k(a, b): 0 for equal distributions. Gretton et al. 2012. Two kernels:

    cubic    (a.b / D + 1)^3: means, covariances and skewness; that of the kernel inception distance (Binkowski 2018)
    inverse  sum_C C / (C + |a - b|^2), C = 2 D {.1, .2, .5, 1, 2, 5, 10}: bounded, tells any two distributions apart
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CONFIDENT = 1.96
RELATIVE_FLOOR, TINY = 0.01, 1e-12

Kernel = Callable[[Tensor, Tensor], Tensor]


def cubic(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def inverse(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M). Inverse multiquadrics around 2 D, the mean squared distance of standardised draws."""
    squares = ((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T).clamp(min=0)
    total = torch.zeros_like(squares)
    for scale in SCALES:
        c = 2 * a.shape[1] * scale
        total += c / (c + squares)
    return total


KERNELS: dict[str, Kernel] = {"cubic": cubic, "inverse": inverse}


class Distance(NamedTuple):
    """An estimate of MMD^2 with its 95 % interval. May be negative where the two sets are alike."""

    value: float
    low: float
    high: float


def distance(a: Tensor, b: Tensor, kernel: Kernel) -> Distance:
    """Between sets (N, D) and (N, D), N > 2. Raises ValueError for sets of two sizes or fewer than 3.

    The U-statistic of Gretton et al. 2012, lemma 6: the mean over i != j of k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) -
    k(a_j, b_i). Unbiased, also where a_i and b_i belong together (a picture and its reconstruction), for no term has a
    picture beside its own partner. Interval: normal, by the jackknife over i (Arvesen 1969); too wide, not too narrow,
    where the two distributions are one.
    """
    n = _size(a, b)
    a, b = a.double(), b.double()  # so that the small difference of large means survives
    across = kernel(a, b)
    terms = (kernel(a, a) + kernel(b, b) - across - across.T).fill_diagonal_(0)
    rows = terms.sum(1)
    total = rows.sum()
    left_out = (total - 2 * rows) / ((n - 1) * (n - 2))
    value = float(total / (n * (n - 1)))
    error = float(((left_out - left_out.mean()) ** 2).sum() * (n - 1) / n) ** 0.5
    return Distance(value, value - CONFIDENT * error, value + CONFIDENT * error)


class Null(NamedTuple):
    """What `distance` gives for one distribution: 95 % of the permutations lie below `high`."""

    high: float
    p: float  # (1 + permutations at or above the estimate) / (1 + permutations): uniform where the two are one


def null(a: Tensor, b: Tensor, kernel: Kernel, randomness: torch.Generator, permutations: int = 199) -> Null:
    """The permutation test: both sets thrown together and dealt anew. For independent sets only, not for pairs.

    randomness: of the CPU. Exact at any N: where both sets come from one distribution, p <= 0.05 in 5 % of cases.
    """
    n = _size(a, b)
    a, b = a.double().cpu(), b.double().cpu()
    both = torch.cat([a, b])
    values = kernel(both, both).fill_diagonal_(0)
    order = [torch.arange(2 * n), *(torch.randperm(2 * n, generator=randomness) for _ in range(permutations))]
    first, second = torch.stack(order).split(n, dim=1)  # (P, n)
    within, across = dealt(values, first, second)
    found = (within - 2 * (across - values[first, second].sum(1))) / (n * (n - 1))
    # Rounding alone must not put a permutation that deals the same sets again below the estimate.
    reached = int((found[1:] >= found[0] - 1e-12 * found.abs().max()).sum())
    return Null(float(found[1:].quantile(0.95)), (1 + reached) / (1 + permutations))


def dealt(values: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of kernel values over pairs within either of two sets, and across them; P deals at once -> (P,), (P,).

    values: (M, M) of a pool of M samples, its diagonal 0; first, second: (P, n), which of them are in which set.
    """
    a, b = (torch.zeros(len(rows), len(values), dtype=values.dtype).scatter_(1, rows, 1.0) for rows in (first, second))
    to_a, to_b = a @ values, b @ values
    return (to_a * a).sum(1) + (to_b * b).sum(1), (to_a * b).sum(1)


def standardised(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets (N, D) less the mean over both, over the deviation over both, feature by feature.

    So no feature outweighs another, and sets however far apart stay comparable: with `cubic`, two tight clusters are
    16 apart. A hundredth of the mean variance is added to each, or features that hardly vary (the black margin of a
    digit) would weigh as much as all others. A permutation of the two sets changes nothing: the test stays exact.
    """
    a, b = a.double(), b.double()
    variance, mean = torch.var_mean(torch.cat([a, b]), 0, correction=0)
    scale = (variance + RELATIVE_FLOOR * variance.mean() + TINY).rsqrt()
    return (a - mean) * scale, (b - mean) * scale


def _size(a: Tensor, b: Tensor) -> int:
    if len(a) != len(b) or len(a) < 3:
        raise ValueError(f"sets of {len(a)} and {len(b)}: expected two of one size, at least 3")
    return len(a)
