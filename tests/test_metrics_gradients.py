"""The gradient view against least squares."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.metrics.gradients import gradient_view


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gradients_of_a_converged_encoder() -> None:
    of_kl = torch.randn(100, generator=generator())
    found = gradient_view(-0.3 * of_kl, of_kl)
    assert found.beta_hat == pytest.approx(0.3)
    assert found.cosine == pytest.approx(-1)
    assert found.norm_recon == pytest.approx(0.3 * found.norm_kl)
    assert found.norm_kl == pytest.approx(float(of_kl.norm()), rel=1e-6)


@given(st.integers(0, 1000), st.integers(2, 50))
def test_beta_hat_is_the_least_squares_fit(seed: int, n: int) -> None:
    of_recon, of_kl = torch.randn(2, n, generator=generator(seed), dtype=torch.float64).unbind()
    found = gradient_view(of_recon, of_kl)
    fit = np.linalg.lstsq(of_kl[:, None].numpy(), -of_recon.numpy(), rcond=None)[0]
    assert found.beta_hat == pytest.approx(float(fit[0]))
    assert abs(found.cosine) <= 1 + 1e-12


def test_no_gradient_has_no_direction() -> None:
    assert math.isnan(gradient_view(torch.zeros(3), torch.ones(3)).cosine)
