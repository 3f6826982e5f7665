"""The linear VAE's closed forms against numerical optimisation, scikit-learn's PPCA and finite differences."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from vae_sweep.theory import (
    Pixels,
    Spectrum,
    collapse_threshold,
    geco_weight,
    implied_sigma,
    linear_vae,
    negative_log_likelihood,
    optimal_sigma2,
    spectrum,
    weight_of_sigma,
)
from vae_sweep.theory.beta import beta_at
from vae_sweep.theory.conventions import REDUCTIONS, Sizes
from vae_sweep.traits import LIKELIHOODS

VALUES = np.array([4.0, 2.0, 1.0, 0.5, 0.1, 0.05])


def known(values: np.ndarray = VALUES) -> Spectrum:
    values = np.sort(np.asarray(values, float))[::-1]
    return Spectrum(values, float(values.sum()), len(values), 1000, 1000, exact=True)


def gaussian_nll(model: np.ndarray, data: np.ndarray) -> float:
    """Mean of -ln N(x; 0, model) over data of covariance `data`."""
    n, log_determinant = len(model), np.linalg.slogdet(model)[1]
    return 0.5 * (n * math.log(2 * math.pi) + log_determinant + np.trace(np.linalg.solve(model, data)))


def test_it_is_the_minimum_of_the_loss() -> None:
    """Minimise SSE + beta KL over decoder, encoder and posterior variances numerically, in a rotated basis."""
    beta, d, n = 1.5, 3, 4
    values = np.array([4.0, 2.0, 0.5, 0.2])
    rotation = scipy.stats.ortho_group.rvs(n, random_state=0)
    sigma = rotation @ np.diag(values) @ rotation.T

    def unpack(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return theta[: n * d].reshape(n, d), theta[n * d : 2 * n * d].reshape(d, n), np.exp(theta[2 * n * d :])

    def sse_and_kl(theta: np.ndarray) -> tuple[float, float]:
        w, v, variance = unpack(theta)
        residual = np.eye(n) - w @ v
        sse = np.trace(residual @ sigma @ residual.T) + (variance * (w**2).sum(0)).sum()
        kl = 0.5 * (np.diag(v @ sigma @ v.T) + variance - 1 - np.log(variance)).sum()
        return sse, kl

    def loss(theta: np.ndarray) -> float:
        sse, kl = sse_and_kl(theta)
        return sse + beta * kl

    start = np.random.default_rng(0).standard_normal(2 * n * d + d) * 0.3
    best = scipy.optimize.minimize(
        loss, start, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    )
    sse, kl = sse_and_kl(best.x)
    found = linear_vae(known(values), d, beta)
    assert found.loss == pytest.approx(best.fun, rel=1e-5)
    assert found.rate == pytest.approx(kl, rel=1e-3)
    assert found.distortion == pytest.approx(sse, rel=1e-3)
    w, v, variance = unpack(best.x)
    residual = np.eye(n) - w @ v
    assert found.distortion_mean == pytest.approx(np.trace(residual @ sigma @ residual.T), rel=1e-3)
    assert np.sort(found.posterior_variance) == pytest.approx(np.sort(variance), abs=1e-2)
    assert np.sort(found.activity) == pytest.approx(np.sort(np.diag(v @ sigma @ v.T)), abs=1e-2)
    assert found.active_units == 2


def test_likelihood_is_scikit_learns_ppca_at_its_own_noise() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (500, 2, 3, 1), dtype=np.uint8)
    images[..., 1:, :, :] = images[..., :1, :, :] // 2 + images[..., 1:, :, :] // 4
    flat = images.reshape(500, -1) / 255
    pca = PCA(n_components=3).fit(flat)  # scales its covariance by N - 1
    ours = spectrum(Pixels(images))
    unbiased = Spectrum(ours.eigenvalues * 500 / 499, ours.total_variance * 500 / 499, 6, 500, 500, True)
    sigma2 = optimal_sigma2(unbiased, 3)
    assert sigma2 == pytest.approx(pca.noise_variance_, rel=1e-4)
    # The data average of x^T C^-1 x has the biased covariance; scikit-learn scores the data themselves.
    centred = flat - flat.mean(0)
    expected = -scipy.stats.multivariate_normal(np.zeros(6), pca.get_covariance()).logpdf(centred).mean()
    assert -pca.score(flat) == pytest.approx(expected)
    basis = pca.components_.T * np.sqrt(np.maximum(pca.explained_variance_ - sigma2, 0))
    model = basis @ basis.T + sigma2 * np.eye(6)
    exact = 0.5 * (
        6 * math.log(2 * math.pi) + np.linalg.slogdet(model)[1] + np.trace(np.linalg.solve(model, np.cov(flat.T)))
    )
    assert negative_log_likelihood(unbiased, 3, 2 * sigma2) == pytest.approx(exact, rel=1e-4)


@given(
    st.lists(st.floats(1e-3, 50), min_size=2, max_size=12),
    st.integers(1, 12),
    st.floats(1e-3, 100),
)
def test_laws(values: list[float], d: int, beta: float) -> None:
    data = known(np.array(values))
    found = linear_vae(data, d, beta)
    s2, n = beta / 2, data.pixels
    assert found.rate == pytest.approx(found.kl_per_unit.sum())
    assert (found.kl_per_unit >= 0).all()
    assert 0 <= found.distortion_mean <= found.distortion + 1e-9 <= data.total_variance + 2e-9
    # The bound is tight: rate plus Gaussian nats of the distortion is the exact likelihood.
    nats = found.distortion / (2 * s2) + n / 2 * math.log(2 * math.pi * s2)
    assert found.rate + nats == pytest.approx(negative_log_likelihood(data, d, beta), rel=1e-9, abs=1e-6)
    # No other weight's optimum beats it at its own loss.
    for other in (0.5 * beta, 2 * beta):
        rival = linear_vae(data, d, other)
        assert rival.distortion + beta * rival.rate >= found.loss - 1e-9 * abs(found.loss) - 1e-9
    # A larger latent never hurts, and does nothing where the next eigenvalue is below s2.
    larger = linear_vae(data, d + 1, beta)
    assert larger.loss <= found.loss + 1e-9
    if d >= n or data.top(d + 1)[-1] <= s2:
        assert larger.loss == pytest.approx(found.loss)
    else:
        assert found.distortion - larger.distortion == pytest.approx(data.top(d + 1)[-1] - s2)
    # Posterior moments: variance + activity = 1.
    assert found.activity + found.posterior_variance == pytest.approx(1)


@given(st.floats(0.05, 8))
def test_the_slope_of_the_curve_is_minus_the_weight(beta: float) -> None:
    if min(abs(beta / 2 - VALUES)) < 1e-2:  # a unit switches: the curve has a kink of second order there
        return
    below, above = (linear_vae(known(), 6, beta * factor) for factor in (1 - 1e-5, 1 + 1e-5))
    if above.rate < below.rate:
        slope = (above.distortion - below.distortion) / (above.rate - below.rate)
        assert slope == pytest.approx(-beta, rel=1e-3)


def test_switching_on_one_unit_at_a_time() -> None:
    active = [linear_vae(known(), 6, 2 * value * 0.98).active_units for value in VALUES]
    assert active == [1, 2, 3, 4, 5, 6]
    assert linear_vae(known(), 6, collapse_threshold(known()) * 1.001).rate == 0
    assert linear_vae(known(), 2, 1e-3).active_units == 2
    # Activity 1 - s2 / lambda below 0.01 is on, but does not count.
    assert linear_vae(known(), 6, 2 * 4.0 * 0.995).active_units == 0


def test_latents_beyond_the_pixels_stay_off() -> None:
    found = linear_vae(known(), 10, 0.01)
    assert found.kl_per_unit.shape == (10,)
    assert found.active_units == 6
    assert found.distortion == pytest.approx(linear_vae(known(), 6, 0.01).distortion)


@given(st.integers(1, 6), st.floats(0.01, 0.99))
def test_geco_rests_where_the_distortion_is_the_goal(d: int, share: float) -> None:
    data = known()
    goal = data.tail(d) + share * (data.total_variance - data.tail(d))
    weight = geco_weight(data, d, goal)
    assert weight is not None
    assert linear_vae(data, d, weight).distortion == pytest.approx(goal)


def test_goals_that_cannot_be() -> None:
    assert geco_weight(known(), 3, known().tail(3)) is None
    assert geco_weight(known(), 3, 7.65) == math.inf


def test_optimal_sigma_is_the_likeliest_weight() -> None:
    data, d = known(), 3
    best = scipy.optimize.minimize_scalar(
        lambda log_weight: negative_log_likelihood(data, d, math.exp(log_weight)), bracket=(-3, 0)
    )
    assert 2 * optimal_sigma2(data, d) == pytest.approx(math.exp(best.x), rel=1e-5)
    # Its fixed point: the noise variance is the mean squared error per pixel.
    sigma2 = optimal_sigma2(data, d)
    assert linear_vae(data, d, 2 * sigma2).distortion / data.pixels == pytest.approx(sigma2)
    with pytest.raises(ValueError, match="leave no eigenvalue"):
        optimal_sigma2(data, 6)


def test_likelihood_at_another_sigma_against_the_dense_gaussian() -> None:
    data, d, beta, sigma2 = known(), 3, 1.0, 0.3
    w = np.diag(np.sqrt(np.maximum(VALUES - beta / 2, 0)) * (np.arange(6) < d))
    model = w @ w.T + sigma2 * np.eye(6)
    exact = 0.5 * (
        6 * math.log(2 * math.pi) + np.linalg.slogdet(model)[1] + np.trace(np.diag(VALUES) @ np.linalg.inv(model))
    )
    assert negative_log_likelihood(data, d, beta, sigma2) == pytest.approx(exact)


@given(st.floats(1e-4, 1e3))
def test_sigma_and_weight_are_inverse(beta: float) -> None:
    assert weight_of_sigma(implied_sigma(beta)) == pytest.approx(beta)


def test_known_sigmas() -> None:
    assert implied_sigma(1) == pytest.approx(0.7071, abs=1e-4)
    assert 255 * implied_sigma(0.1) == pytest.approx(57.0, abs=0.05)
    for bad in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="kl_weight must be positive"):
            implied_sigma(bad)


@given(st.sampled_from(sorted(REDUCTIONS)), st.floats(1e-3, 10), st.floats(0.01, 2))
def test_beta_gives_proportional_losses(reduction: str, weight: float, sigma: float) -> None:
    """a recon + w b KL is proportional to SSE + beta KL: the same ratio of its two coefficients."""
    sizes = Sizes(pixels=12, latent_dim=3, batch_size=8)
    a, b = REDUCTIONS[reduction].recon(sizes), REDUCTIONS[reduction].kl(sizes)
    for recon, sse_coefficient in (("sse", a), ("gaussian", a / (2 * sigma**2))):
        beta = beta_at(LIKELIHOODS[recon], weight, reduction, sizes, sigma)
        assert beta == pytest.approx(weight * b / sse_coefficient)
    assert beta_at(LIKELIHOODS["bernoulli"], weight, reduction, sizes) == pytest.approx(weight * b / a)  # in nats


@given(st.integers(1, 64), st.floats(1e-3, 10))
def test_with_sums_the_implied_sigma_does_not_depend_on_the_resolution(side: int, weight: float) -> None:
    sizes = Sizes(pixels=3 * side**2, latent_dim=8, batch_size=4)
    beta = beta_at(LIKELIHOODS["sse"], weight, "sum", sizes)
    assert implied_sigma(beta) == pytest.approx(implied_sigma(weight), rel=1e-12)
