"""MMD, cycle error and moments against direct sums and the linear VAE."""

import math

import numpy as np
import pytest
import torch

from vae_sweep.metrics.prior import cycle_error, mmd2, mmd2_null, moments
from vae_sweep.metrics.two_sample import SCALES
from vae_sweep.models.posteriors import Diagonal


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mmd_against_the_double_sum() -> None:
    a, b = torch.randn(6, 3, generator=generator()), 0.5 + torch.randn(5, 3, generator=generator(1))

    def kernel(u: torch.Tensor, v: torch.Tensor) -> float:
        return sum(6 * s / (6 * s + float(((u - v) ** 2).sum())) for s in SCALES)

    within_a = np.mean([kernel(a[i], a[j]) for i in range(6) for j in range(6) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(5) for j in range(5) if i != j])
    between = np.mean([kernel(u, v) for u in a for v in b])
    assert mmd2(a, b) == pytest.approx(within_a + within_b - 2 * between, rel=1e-5)


def test_mmd_is_unbiased_under_the_null_and_the_band_covers_it() -> None:
    values = [mmd2(*torch.randn(2, 60, 4, generator=generator(seed)).unbind()) for seed in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(300)
    low, high = mmd2_null(60, 4, generator(1000), draws=200)
    assert low < 0 < high
    assert np.mean([(low <= value <= high) for value in values]) == pytest.approx(0.95, abs=0.05)
    shifted = torch.randn(60, 4, generator=generator(2)) + 0.5
    assert mmd2(shifted, torch.randn(60, 4, generator=generator(3))) > high


def test_cycle_error_of_the_linear_vae_is_one_minus_activity_squared() -> None:
    values, s2 = torch.tensor([4.0, 1.0, 0.3]), 0.5
    w = (values - s2).clamp(min=0).sqrt()
    z = torch.randn(20000, 3, generator=generator())
    back = (z * w) * w / values
    activity = (1 - s2 / values).clamp(min=0)
    expected = ((1 - activity) ** 2)[:2].mean()
    assert cycle_error(z, back, activity > 0.01) == pytest.approx(float(expected), rel=0.05)
    assert cycle_error(z, back, torch.tensor([False, False, True])) == pytest.approx(1, rel=0.05)
    assert math.isnan(cycle_error(z, back, torch.zeros(3, dtype=torch.bool)))


def test_moments_of_the_linear_vae_at_its_optimum() -> None:
    values, s2 = torch.tensor([4.0, 1.0, 0.3]), 0.5
    activity = (1 - s2 / values).clamp(min=0)
    mean = activity.sqrt() * torch.randn(50000, 3, generator=generator())
    posterior = Diagonal(mean, (1 - activity).log().expand_as(mean))
    found = moments(posterior)
    assert found.second.tolist() == pytest.approx([1, 1, 1], rel=0.02)
    assert found.mean.tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert found.rate == pytest.approx(float(posterior.kl().mean()), rel=0.02)
    assert found.rate == pytest.approx(0.5 * (math.log(8) + math.log(2)), rel=1e-5)
