"""Distances between two sets: against direct sums, exact population values, and the chance of a false alarm."""

import itertools
import math

import numpy as np
import pytest
import torch

from vae_sweep.metrics.two_sample import KERNELS, SCALES, cubic, distance, inverse, null, standardised


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def one_kernel(name: str, u: torch.Tensor, v: torch.Tensor) -> float:
    """Of two points, as the docstring has it."""
    d = len(u)
    if name == "cubic":
        return float((u @ v) / d + 1) ** 3
    return sum(2 * d * scale / (2 * d * scale + float(((u - v) ** 2).sum())) for scale in SCALES)


@pytest.mark.parametrize("name", KERNELS)
def test_against_the_sum_over_pairs(name: str) -> None:
    a, b = normal(5, 3, 0), 0.5 + normal(5, 3, 1)
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]

    def estimate(kept: list[int]) -> float:
        return np.mean(
            [
                one_kernel(name, a[i], a[j]) + one_kernel(name, b[i], b[j])
                - one_kernel(name, a[i], b[j]) - one_kernel(name, a[j], b[i])
                for i, j in pairs if i in kept and j in kept
            ]
        )  # fmt: skip

    found = distance(a, b, KERNELS[name])
    assert found.value == pytest.approx(estimate(list(range(5))), rel=1e-9)
    without = np.array([estimate([i for i in range(5) if i != left_out]) for left_out in range(5)])
    error = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((found.value - 1.96 * error, found.value + 1.96 * error))


def exact_cubic(mean_a: float, sd_a: float, mean_b: float, sd_b: float) -> float:
    """MMD^2 of two Gaussians on the line under (x y + 1)^3 = sum_k C(3, k) x^k y^k: differences of their moments."""

    def moments(m: float, s: float) -> list[float]:
        return [1, m, m**2 + s**2, m**3 + 3 * m * s**2]

    pairs = zip(moments(mean_a, sd_a), moments(mean_b, sd_b), strict=True)
    return sum(math.comb(3, k) * (a - b) ** 2 for k, (a, b) in enumerate(pairs))


def test_unbiased_and_its_interval_covers_the_exact_value() -> None:
    exact, sets = exact_cubic(0, 0.5, 0.4, 0.6), range(600)
    found = [distance(0.5 * normal(80, 1, 2 * s), 0.4 + 0.6 * normal(80, 1, 2 * s + 1), cubic) for s in sets]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - exact) < 3 * values.std() / math.sqrt(600)
    # The square of a cubic has heavy tails: the interval of 95 % covers a little less often than it says.
    assert 0.9 < np.mean([one.low <= exact <= one.high for one in found]) < 0.98


def test_a_set_is_no_distance_from_itself() -> None:
    """So reconstructions that are the pictures have no blur, exactly; with partners compared it would be negative."""
    a = normal(20, 4, 0)
    for kernel in KERNELS.values():
        assert distance(a, a.clone(), kernel).value == pytest.approx(0, abs=1e-12)


def test_pairs_that_belong_together_stay_unbiased() -> None:
    """b_i = 0.9 a_i + noise has the distribution of an independent set of the same moments."""
    values = []
    for seed in range(400):
        a = normal(40, 1, 2 * seed)
        b = 0.9 * a + math.sqrt(1 - 0.81) * normal(40, 1, 2 * seed + 1)  # N(0, 1) again
        values.append(distance(a, b, inverse).value)
    assert abs(np.mean(values)) < 3 * np.std(values) / 20


def test_the_null_is_that_of_all_ways_to_deal() -> None:
    """Against every permutation of 3 and 3, in plain Python."""
    a, b = normal(3, 2, 0), 1 + normal(3, 2, 1)
    both = torch.cat([a, b])
    found = []
    for order in itertools.permutations(range(6)):
        one, two = both[list(order[:3])], both[list(order[3:])]
        found.append(distance(one, two, cubic).value)
    estimate = distance(a, b, cubic).value
    share = np.mean([value >= estimate - 1e-9 for value in found])
    drawn = null(a, b, cubic, generator(), permutations=4000)
    assert drawn.p == pytest.approx(share, abs=0.03)
    assert drawn.high == pytest.approx(np.quantile(found, 0.95), abs=0.1 * np.std(found))


def rejections(draws: int, n: int, d: int, name: str) -> float:
    """Share of draws of one distribution, skewed, that the test at 5 % rejects."""
    rejected = 0
    for seed in range(draws):
        a, b = normal(2 * n, d, seed).exp().split(n)
        rejected += null(*standardised(a, b), KERNELS[name], generator(seed), permutations=99).p <= 0.05
    return rejected / draws


@pytest.mark.parametrize("name", KERNELS)
def test_false_alarms(name: str) -> None:
    assert rejections(300, 12, 2, name) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 300))


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_false_alarms_are_five_in_a_hundred(name: str) -> None:
    assert 0.04 <= rejections(4000, 20, 6, name) <= 0.06


def test_a_difference_is_found() -> None:
    a, b = normal(60, 5, 0), normal(60, 5, 1)
    for kernel in KERNELS.values():
        assert null(a, b + 0.6, kernel, generator()).p == pytest.approx(1 / 200)
        assert distance(a, b + 0.6, kernel).value > null(a, b + 0.6, kernel, generator()).high


def test_standardised() -> None:
    a, b = normal(50, 3, 0) * torch.tensor([1.0, 100.0, 0.0]), normal(50, 3, 1) * torch.tensor([1.0, 100.0, 0.0])
    a[:, 0] *= 100
    b[:, 0] *= 100
    one, two = standardised(a, b)
    both = torch.cat([one, two])
    assert both.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert both[:, :2].std(0, correction=0).tolist() == pytest.approx([1, 1], rel=0.01)
    assert both[:, 2].abs().max() == 0
    # Two tight clusters, however far apart.
    near, far = torch.zeros(20, 4) + 1e-6 * normal(20, 4, 2), torch.ones(20, 4) + 1e-6 * normal(20, 4, 3)
    assert distance(*standardised(near, far), cubic).value == pytest.approx(16, rel=0.05)
    assert distance(*standardised(1000 * near, 1000 * far), cubic).value == pytest.approx(16, rel=0.05)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (2, 2)])
def test_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"sets of {n} and {m}: expected two of one size, at least 3"):
        distance(normal(n, 2, 0), normal(m, 2, 1), cubic)
