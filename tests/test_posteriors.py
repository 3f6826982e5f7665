"""Posteriors against torch.distributions, Monte Carlo, finite differences and the laws of a divergence."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence
from torch.func import grad, vmap

from vae_sweep.models.posteriors import POSTERIORS, Diagonal, FullCovariance, SharedScale

D, B = 4, 3
FAMILIES = pytest.mark.parametrize("family", POSTERIORS.values(), ids=POSTERIORS.keys())


def params(family, seed=0, dtype=torch.float64, latent_dim=D, batch=B):
    h = torch.randn(batch, family.n_params(latent_dim), generator=torch.Generator().manual_seed(seed))
    return h.to(dtype)


def make(family, **kwargs):
    return family.from_params(params(family, **kwargs), D)


def as_distribution(family, h):
    """The same distribution built by torch.distributions from the documented layout of the parameters."""
    mean, rest = h[:, :D], h[:, D:]
    if family is Diagonal:
        return Independent(Normal(mean, (rest / 2).exp()), 1)
    if family is SharedScale:
        return Independent(Normal(mean, (rest / 2).exp().expand(-1, D)), 1)
    factor = torch.diag_embed((rest[:, :D] / 2).exp())
    entries = iter(range(D, rest.shape[1]))
    for row in range(D):
        for column in range(row):
            factor[:, row, column] = rest[:, next(entries)]
    return MultivariateNormal(mean, scale_tril=factor)


def prior():
    return MultivariateNormal(torch.zeros(D, dtype=torch.float64), torch.eye(D, dtype=torch.float64))


def as_multivariate(distribution):
    if isinstance(distribution, MultivariateNormal):
        return distribution
    return MultivariateNormal(distribution.mean, torch.diag_embed(distribution.variance))


@FAMILIES
def test_divergences_and_densities_are_those_of_torch_distributions(family):
    h = params(family)
    q, truth = family.from_params(h, D), as_multivariate(as_distribution(family, h))
    z = torch.randn(5, 1, D, dtype=torch.float64)  # all pairs

    torch.testing.assert_close(q.mean, truth.mean)
    torch.testing.assert_close(q.variance, truth.variance)
    torch.testing.assert_close(q.kl(), kl_divergence(truth, prior()))
    torch.testing.assert_close(q.reverse_kl(), kl_divergence(prior(), truth))
    torch.testing.assert_close(q.log_prob(z), truth.log_prob(z))
    marginals = Normal(truth.mean, truth.variance.sqrt())
    torch.testing.assert_close(q.log_prob_per_unit(z), marginals.log_prob(z))
    unit = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(q.kl_per_unit(), kl_divergence(marginals, unit))


@FAMILIES
def test_samples_have_the_moments_and_the_kl_is_their_mean_log_ratio(family):
    q = make(family)
    n = 40_000
    z = q.sample(torch.randn(n, B, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))

    def within_5_standard_errors(values, expected):
        assert ((values.mean(0) - expected).abs() < 5 * values.std(0) / math.sqrt(n)).all()

    within_5_standard_errors(z, q.mean)
    within_5_standard_errors((z - q.mean) ** 2, q.variance)
    within_5_standard_errors(q.log_prob(z) - prior().log_prob(z), q.kl())


@FAMILIES
def test_gradients_are_the_finite_differences(family):
    noise = torch.randn(B, D, dtype=torch.float64)

    def everything(h):
        q = family.from_params(h, D)
        z = q.sample(noise)
        return q.kl(), q.reverse_kl(), q.kl_per_unit(), q.log_prob(z[:, None]), q.log_prob_per_unit(z)

    assert torch.autograd.gradcheck(everything, params(family).requires_grad_())


@FAMILIES
def test_vmap_equals_a_loop(family):
    h = torch.stack([params(family, seed=seed) for seed in range(3)])
    noise = torch.randn(3, B, D, dtype=torch.float64)

    def total(h, noise):
        q = family.from_params(h, D)
        z = q.sample(noise)
        terms = (q.kl(), q.reverse_kl(), q.kl_per_unit(), q.log_prob(z[:, None]), q.log_prob_per_unit(z))
        return sum(term.sum() for term in terms)

    looped = torch.stack([grad(total)(*pair) for pair in zip(h, noise, strict=True)])
    torch.testing.assert_close(vmap(grad(total))(h, noise), looped)


@FAMILIES
@given(scale=st.floats(1e-7, 5), seed=st.integers(0, 1000))
def test_divergences_are_never_negative(family, scale, seed):
    q = family.from_params(scale * params(family, seed=seed, dtype=torch.float32), D)
    assert (q.kl() >= 0).all()
    assert (q.kl_per_unit() >= 0).all()
    assert (q.reverse_kl() >= -1e-5).all()


@given(seed=st.integers(0, 1000))
def test_marginals_cost_no_more_than_the_whole(seed):
    full, diagonal = make(FullCovariance, seed=seed), make(Diagonal, seed=seed)
    assert (full.kl_per_unit().sum(-1) <= full.kl() + 1e-12).all()
    torch.testing.assert_close(diagonal.kl_per_unit().sum(-1), diagonal.kl(), rtol=0, atol=0)


def test_kl_does_not_change_when_the_latents_are_rotated():
    q = make(FullCovariance)
    rotation, _ = torch.linalg.qr(torch.randn(D, D, dtype=torch.float64))
    factor = torch.linalg.cholesky(rotation @ q.cholesky @ q.cholesky.mT @ rotation.mT)
    row, column = torch.tril_indices(D, D, offset=-1)
    turned = FullCovariance(q.mean @ rotation.T, 2 * factor.diagonal(dim1=-2, dim2=-1).log(), factor[:, row, column])
    torch.testing.assert_close(turned.kl(), q.kl())
    torch.testing.assert_close(turned.reverse_kl(), q.reverse_kl())


def test_full_covariance_without_correlations_is_diagonal():
    h = params(Diagonal)
    diagonal = Diagonal.from_params(h, D)
    full = FullCovariance.from_params(torch.cat([h, torch.zeros(B, D * (D - 1) // 2)], dim=1), D)
    z = torch.randn(5, B, D, dtype=torch.float64)
    for name in ("kl", "reverse_kl", "kl_per_unit"):
        torch.testing.assert_close(getattr(full, name)(), getattr(diagonal, name)())
    torch.testing.assert_close(full.sample(z), diagonal.sample(z))
    torch.testing.assert_close(full.log_prob(z), diagonal.log_prob(z))


def test_a_collapsed_unit_keeps_its_digits_in_float32():
    logvar = torch.tensor([[1e-3]])
    exact = 0.25 * 1e-3**2 + 1e-3**3 / 12  # series of (e^v - 1 - v) / 2
    kl = Diagonal(torch.zeros(1, 1), logvar).kl().item()
    assert kl == pytest.approx(exact, rel=1e-3)  # 1 + v - e^v in float32 would be off by 5 %


@FAMILIES
def test_half_precision_parameters_give_float32_terms(family):
    h = params(family, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        q = family.from_params(h, D)
        noise = torch.randn(B, D)
        z = q.sample(noise)
        terms = {"kl": q.kl(), "reverse": q.reverse_kl(), "density": q.log_prob(z)}
    exact = family.from_params(h.double(), D)
    torch.testing.assert_close(z.double(), exact.sample(noise.double()), rtol=1e-5, atol=1e-5)
    expected = {"kl": exact.kl(), "reverse": exact.reverse_kl(), "density": exact.log_prob(z.double())}
    for name, term in terms.items():
        assert term.dtype == torch.float32
        torch.testing.assert_close(term.double(), expected[name], rtol=1e-4, atol=1e-4)


def test_numbers_of_parameters():
    assert [family.n_params(128) for family in POSTERIORS.values()] == [256, 129, 256 + 128 * 127 // 2]
