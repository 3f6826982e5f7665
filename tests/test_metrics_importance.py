"""Bounds on the likelihood against linear Gaussian models, whose likelihood is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.metrics.importance import (
    effective_sample_size,
    gaussian_log_prob,
    log_prior_ratio,
    negative_log_likelihood,
    sampling_error,
    standard_error,
)
from vae_sweep.models.posteriors import Diagonal, FullCovariance

W = torch.tensor([[1.0, 0.3], [0.2, -0.7], [0.5, 0.5], [-0.4, 0.1]])
SIGMA2 = 0.4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def true_posterior(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (B, 2) and covariance (2, 2) of p(z|x), x = W z + noise."""
    covariance = torch.linalg.inv(torch.eye(2) + W.T @ W / SIGMA2)
    return x @ W @ covariance / SIGMA2, covariance


def log_weights(posterior: Diagonal | FullCovariance, x: torch.Tensor, samples: int, seed: int = 0) -> torch.Tensor:
    z = posterior.sample(torch.randn(samples, len(x), 2, generator=generator(seed)))
    sse = ((x - z @ W.T) ** 2).sum(-1)
    return gaussian_log_prob(sse, SIGMA2, 4) + log_prior_ratio(posterior, z)


def exact(x: torch.Tensor) -> torch.Tensor:
    model = torch.distributions.MultivariateNormal(torch.zeros(4), W @ W.T + SIGMA2 * torch.eye(4))
    return -model.log_prob(x)


def test_gaussian_log_prob_is_torchs() -> None:
    x, image = torch.rand(3, 5, generator=generator()), torch.rand(3, 5, generator=generator(1))
    expected = torch.distributions.Normal(image, 0.3).log_prob(x).sum(1)
    found = gaussian_log_prob(((x - image) ** 2).sum(1), 0.09, 5)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_with_the_true_posterior_every_sample_gives_the_likelihood() -> None:
    """The bound is tight: NLL_k is flat in k, and the effective sample size is k."""
    x = torch.randn(6, 4, generator=generator())
    mean, covariance = true_posterior(x)
    cholesky = torch.linalg.cholesky(covariance)
    logvar = 2 * cholesky.diagonal().log()
    posterior = FullCovariance(mean, logvar.expand(6, 2), cholesky[1, 0].expand(6, 1))
    weights = log_weights(posterior, x, 20)
    for k in (1, 5, 20):
        assert torch.allclose(negative_log_likelihood(weights, k), exact(x).double(), atol=1e-4)
    assert torch.allclose(effective_sample_size(weights), torch.full((6,), 20.0, dtype=torch.float64), rtol=1e-4)
    assert sampling_error(weights).max() < 1e-2


def test_with_a_poor_posterior_it_falls_to_the_likelihood() -> None:
    x = torch.randn(5, 4, generator=generator())
    mean, covariance = true_posterior(x)
    posterior = Diagonal(mean + 0.4, (2 * covariance.diagonal()).log().expand(5, 2))
    weights = log_weights(posterior, x, 4000)
    bounds = [negative_log_likelihood(weights, k).mean() for k in (1, 10, 100, 4000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > exact(x).mean() + 0.1
    error = sampling_error(weights)
    assert ((negative_log_likelihood(weights, 4000) - exact(x)).abs() < 5 * error).all()
    # NLL_1 is the reconstruction nats plus the KL.
    recon = -(weights - log_prior_ratio(posterior, posterior.sample(torch.randn(4000, 5, 2, generator=generator()))))
    assert bounds[0] == pytest.approx(float((recon.mean(0) + posterior.kl()).mean()), abs=0.05)


def test_sampling_error_is_the_spread_over_repetitions() -> None:
    x = torch.randn(3, 4, generator=generator())
    mean, covariance = true_posterior(x)
    posterior = Diagonal(mean, (1.5 * covariance.diagonal()).log().expand(3, 2))
    repeated = [log_weights(posterior, x, 200, seed) for seed in range(200)]
    spread = torch.stack([negative_log_likelihood(weights, 200) for weights in repeated]).std(0)
    claimed = torch.stack([sampling_error(weights) for weights in repeated]).mean(0)
    assert torch.allclose(claimed, spread, rtol=0.15)


@given(st.integers(1, 5), st.integers(1, 6), st.floats(0.01, 100), st.integers(0, 1000))
def test_laws(groups: int, k: int, spread: float, seed: int) -> None:
    weights = spread * torch.randn(groups * k, 3, generator=generator(seed), dtype=torch.float64)
    # More samples in the mean never raise the bound, on one set of samples.
    looser, tighter = negative_log_likelihood(weights, k), negative_log_likelihood(weights, groups * k)
    assert (tighter <= looser + 1e-9).all()
    assert (looser <= negative_log_likelihood(weights, 1) + 1e-9).all()
    size = effective_sample_size(weights)
    assert (size >= 1 - 1e-9).all()
    assert (size <= groups * k + 1e-6).all()
    # A constant in the weights moves the bound by as much, and nothing else.
    assert torch.allclose(negative_log_likelihood(weights + 5, k), looser - 5)
    assert torch.allclose(effective_sample_size(weights + 5), size)
    # Images do not interact.
    assert torch.allclose(negative_log_likelihood(weights[:, 1:2], k), looser[1:2], rtol=1e-12)


def test_samples_that_do_not_divide_into_groups() -> None:
    with pytest.raises(ValueError, match="k=3 does not divide the 10 samples"):
        negative_log_likelihood(torch.zeros(10, 2), 3)


def test_standard_error() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 7.0])
    assert standard_error(values) == pytest.approx(float(values.std()) / 2)
    assert math.isnan(standard_error(values[:1]))
