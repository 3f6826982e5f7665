"""Samplers fitted to codes whose distribution is known: a Gaussian, the prior, mixtures, a ring with a hole."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.mixture import GaussianMixture

from vae_sweep.models import code_sampler
from vae_sweep.models.code_sampler import CodeSampler, fit
from vae_sweep.runs.files import write_arrays


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def mixture(n: int, seed: int, d: int = 6) -> np.ndarray:
    """Three clusters, each with a covariance of its own."""
    rng = np.random.default_rng(seed)
    shape = np.random.default_rng(99)
    means, roots = 3 * shape.standard_normal((3, d)), 0.5 * shape.standard_normal((3, d, d))
    which = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return means[which] + np.einsum("nij,nj->ni", roots[which], rng.standard_normal((n, d)))


def ring(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, n), 1.5 + 0.1 * rng.standard_normal(n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def test_codes_that_are_the_prior_give_the_prior() -> None:
    found = fit(normal(2000, 16, 0))
    assert found.components == 1
    covariance = found.factors[0] @ found.factors[0].T
    assert np.abs(covariance - np.eye(16)).max() < 0.1
    assert np.abs(found.means).max() < 0.1
    # No nearer to fresh codes than the prior itself.
    assert found.left_out_nats == pytest.approx(0, abs=0.05)


def test_a_gaussian_and_the_nats_between_it_and_the_prior() -> None:
    mean, root = np.array([0.5, -1.0, 0.0]), np.array([[2.0, 0, 0], [0.6, 0.3, 0], [-0.2, 0.1, 0.7]])
    covariance = root @ root.T
    found = fit(mean + normal(5000, 3, 1) @ root.T)
    assert found.components == 1
    assert np.allclose(found.factors[0] @ found.factors[0].T, covariance, atol=0.1)
    divergence = 0.5 * (np.trace(covariance) + mean @ mean - 3 - math.log(np.linalg.det(covariance)))
    assert found.left_out_nats == pytest.approx(divergence, abs=4 * found.left_out_se + 0.01)
    drawn = found.sample(20000)
    assert drawn.dtype == np.float32
    assert np.allclose(drawn.mean(0), mean, atol=0.05)
    assert np.allclose(np.cov(drawn.T), covariance, atol=0.15)


def test_the_density_is_scipy_s() -> None:
    found = fit(mixture(1500, 0))
    assert found.components > 1
    z = mixture(50, 1)
    expected = np.logaddexp.reduce(
        [
            math.log(weight) + multivariate_normal(mean, factor @ factor.T).logpdf(z)
            for weight, mean, factor in zip(found.weights, found.means, found.factors, strict=True)
        ]
    )
    assert found.log_density(z) == pytest.approx(expected, rel=1e-6)


def test_the_marginals_are_those_of_its_draws() -> None:
    rng = np.random.default_rng(0)
    made = CodeSampler(
        np.array([0.3, 0.7]), np.array([[2.0, 0, 0], [-1, 5, 0]]), rng.standard_normal((2, 3, 2)),
        np.array([[0.5, 1, 2], [1, 1, 0.1]]), 1.0, 100,
    )  # fmt: skip
    drawn = made.sample(40_000)
    mean, spread = made.marginals()
    assert mean == pytest.approx(drawn.mean(0), abs=0.06)
    assert spread == pytest.approx(drawn.std(0), rel=0.02)


def test_a_mixture_is_found_as_well_as_scikit_learn_finds_it() -> None:
    codes, fresh = mixture(1500, 0), mixture(4000, 1)
    theirs = GaussianMixture(3, random_state=0, n_init=3).fit(codes).score(fresh)
    found = fit(codes)
    assert found.log_density(fresh).mean() > theirs - 0.15
    assert found.log_density(fresh).mean() > GaussianMixture(1).fit(codes).score(fresh) + 1
    drawn = found.sample(20000, seed=3)
    assert np.allclose(drawn.mean(0), fresh.mean(0), atol=0.15)
    assert np.allclose(np.cov(drawn.T), np.cov(fresh.T), atol=0.5)


def test_a_ring_with_a_hole() -> None:
    """One Gaussian fills the hole; enough components leave it empty."""
    found = fit(ring(2000, 0))
    assert found.components >= 10

    def inside(z: np.ndarray) -> float:
        return float((np.hypot(*z.T) < 1).mean())

    single = code_sampler._one((ring(2000, 0) - ring(2000, 0).mean(0)) / ring(2000, 0).std(0))
    assert inside(single.sample(4000) * ring(2000, 0).std(0)) > 0.2
    assert inside(found.sample(4000)) < 0.05
    assert np.hypot(*found.sample(4000).T).mean() == pytest.approx(1.5, abs=0.05)


def test_many_latents_and_few_images() -> None:
    """512 latents, 1,000 images: nearer to the truth than the sample covariance, and a density at all."""
    scales = np.geomspace(2, 0.1, 512)
    codes, fresh = scales * normal(1000, 512, 0), scales * normal(1000, 512, 1)
    found = fit(codes)
    truth = multivariate_normal(np.zeros(512), np.diag(scales**2)).logpdf(fresh).mean()
    plain = multivariate_normal(codes.mean(0), np.cov(codes.T)).logpdf(fresh).mean()
    assert truth - 20 < found.log_density(fresh).mean() <= truth
    assert found.log_density(fresh).mean() > plain + 100
    assert fit(codes[:100]).log_density(fresh).mean() > truth - 120  # fewer images than latents


def test_the_shrinkage_is_ledoit_and_wolf_s() -> None:
    for n, d in ((300, 20), (40, 200)):
        codes = normal(n, d, 0) * np.geomspace(1, 3, d)
        codes -= codes.mean(0)
        assert code_sampler.towards_units(codes) == pytest.approx(ledoit_wolf(codes, assume_centered=True)[1], rel=1e-6)


def test_a_grid_of_very_many_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a d x d matrix: variances and the strongest correlations of the codes, and their total spread."""
    monkeypatch.setattr(code_sampler, "MOST_LATENTS", 100)
    monkeypatch.setattr(code_sampler, "RANK", 10)
    common = normal(800, 3, 0) @ normal(3, 300, 1)
    codes = common + 0.5 * normal(800, 300, 2)
    found = fit(codes)
    assert found.factors.shape == (1, 300, 10)
    drawn = found.sample(5000)
    assert drawn.var(0).sum() == pytest.approx(codes.var(0).sum(), rel=0.05)
    expected, kept = np.corrcoef(codes.T), np.corrcoef(drawn.T)
    assert np.corrcoef(expected[np.triu_indices(300, 1)], kept[np.triu_indices(300, 1)])[0, 1] > 0.95


def test_no_mixture_memorises() -> None:
    """Draws are as far from the training codes as fresh codes are: components that sat on codes would be nearer."""
    codes, fresh = normal(400, 8, 0), normal(400, 8, 1)
    drawn = fit(codes).sample(400)

    def nearest(z: np.ndarray) -> float:
        return float(np.median(np.sqrt(((z[:, None] - codes) ** 2).sum(-1)).min(1)))

    assert nearest(drawn) == pytest.approx(nearest(fresh), rel=0.1)


def test_the_same_again_and_through_a_file(tmp_path: Path) -> None:
    codes = mixture(600, 0)
    found = fit(codes)
    assert np.array_equal(found.sample(20), fit(codes).sample(20))
    assert not np.array_equal(found.sample(20, seed=1), found.sample(20, seed=2))
    write_arrays(tmp_path / "sampler.npz", found.arrays())
    with np.load(tmp_path / "sampler.npz", allow_pickle=False) as arrays:
        back = CodeSampler.from_arrays(arrays)
    assert np.allclose(back.sample(50), found.sample(50), atol=1e-4)
    assert back.log_density(codes) == pytest.approx(found.log_density(codes), rel=1e-3)
    assert (back.components, back.codes, back.shrinkage) == (found.components, 600, pytest.approx(found.shrinkage))
    assert back.left_out_nats == pytest.approx(found.left_out_nats)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_a_few_codes_are_enough(n: int) -> None:
    assert np.isfinite(fit(normal(n, 4, 0)).sample(10)).all()


def test_units_that_never_move() -> None:
    codes = normal(200, 3, 0) * [1, 0, 1] + [0, 7, 0]
    assert fit(codes).sample(100)[:, 1] == pytest.approx(np.full(100, 7), abs=1e-3)


@pytest.mark.parametrize("codes", [np.zeros((1, 3)), np.full((5, 3), np.nan), np.zeros(4)])
def test_refused(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 2 finite codes"):
        fit(codes)
