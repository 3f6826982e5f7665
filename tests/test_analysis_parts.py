"""Curves, latents and the gap: the small pure parts of the analysis, against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.analysis import latents, words
from vae_sweep.analysis.curves import series, thin
from vae_sweep.analysis.latents import GRID, marginals, project


def test_series_leaves_out_null_and_missing_values():
    read = [{"step": 0, "a": 1.0}, {"step": 1, "a": None}, {"step": 2}, {"a": 3.0}, {"step": 4, "a": 5}]
    steps, values = series(read, "a")
    assert steps.tolist() == [0, 4]
    assert values.tolist() == [1, 5]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_and_extremes(values, points):
    steps, kept = thin(np.arange(len(values), dtype=float), np.array(values), points)
    assert len(kept) <= max(points + 2, 4)
    assert {values[0], values[-1], min(values), max(values)} <= set(kept)
    assert (np.diff(steps) > 0).all()


def test_marginals_of_a_gaussian_model_are_the_prior():
    """mean ~ N(0, a), std^2 = 1 - a: the mixture is N(0, 1), whatever a."""
    rng = np.random.default_rng(0)
    share = np.array([0.9, 0.5, 0.0])
    mean = rng.standard_normal((20_000, 3)) * np.sqrt(share)
    std = np.broadcast_to(np.sqrt(1 - share), mean.shape)
    found = marginals(mean, std, np.array([2, 0, 1]))
    normal = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi)
    assert found.density == pytest.approx(np.broadcast_to(normal, (3, len(GRID))), abs=0.015)


def test_projection_finds_the_directions_of_largest_variance():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    variance = np.array([4.0, 2.0, 0.5, 0.5, 0.3, 0.1])
    mean = rng.standard_normal((5000, 6)) * np.sqrt(variance) @ rotation.T
    found = project(mean, None)
    assert found is not None
    assert found.variance == pytest.approx(variance[:2], rel=0.1)
    assert found.samples.var(0) == pytest.approx(found.variance, rel=0.01)


def test_projection_counts_the_posterior_s_own_variance():
    """Collapsed codes, mean 0 and std 1, are the prior in every direction."""
    found = project(np.zeros((4000, 5)), np.ones((4000, 5)))
    assert found is not None
    assert found.variance == pytest.approx(1)
    assert found.samples.var(0) == pytest.approx(1, rel=0.1)


def test_projection_is_that_of_the_whole_decomposition():
    rng = np.random.default_rng(1)
    mean, std = rng.standard_normal((50, 30)), rng.uniform(0.1, 1, (50, 30))
    values, vectors = np.linalg.eigh(np.cov(mean.T, ddof=0) + np.diag((std**2).mean(0)))
    z = mean + std * np.random.default_rng(0).standard_normal(mean.shape)
    found = project(mean, std)
    assert found is not None
    assert found.variance == pytest.approx(values[[-1, -2]])
    assert abs(found.samples) == pytest.approx(abs(z @ vectors[:, [-1, -2]]))


@pytest.mark.parametrize(("images", "d"), [(3, 2), (50, 3), (4, 30), (300, 120)])
@pytest.mark.parametrize("kind", ["a VAE", "an autoencoder", "constant", "collapsed"])
def test_without_the_covariance_the_numbers_are_the_same(images, d, kind, monkeypatch):
    rng = np.random.default_rng(2)
    mean = rng.standard_normal((images, d)) * np.linspace(2, 0.1, d) + 3
    std = None if kind == "an autoencoder" else rng.uniform(0.1, 0.4, (images, d))
    if kind in ("constant", "collapsed"):
        mean, std = np.full((images, d), 3.0), np.full((images, d), float(kind == "collapsed"))
    whole = project(mean, std)
    monkeypatch.setattr(latents, "WHOLE", 0)
    found, again = project(mean, std), project(mean, std)
    assert None not in (whole, found, again)
    assert (found.samples == again.samples).all()
    assert found.variance == pytest.approx(whole.variance, rel=1e-9, abs=1e-12)
    if kind in ("a VAE", "an autoencoder") and d < images:  # else one plane is as good as another
        assert found.samples == pytest.approx(whole.samples, rel=1e-4, abs=1e-4)


def test_a_code_of_a_network_for_large_images_needs_no_covariance():
    """d = 50,000, whose covariance is 20 GB; closed form: one unit is noisier, and the means lie along one line."""
    d = 50_000
    across, std = np.full(d, d**-0.5), np.ones(d)
    std[0] = 3**0.5
    found = project(8**0.5 * np.outer([1, -1, 1, -1], across), np.broadcast_to(std, (4, d)))
    tilt, rest = across[0], (1 - across[0] ** 2) ** 0.5
    exact = np.linalg.eigvalsh([[3 + 8 * tilt**2, 8 * tilt * rest], [8 * tilt * rest, 1 + 8 * rest**2]])
    assert found is not None
    assert found.variance == pytest.approx(exact[::-1])


def test_projection_needs_a_plane():
    assert project(np.zeros((10, 1)), np.ones((10, 1))) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (152.345, "152"),
        (0.06312, "0.0631"),
        (12345.6, "12,346"),
        (None, "–"),
        (0, "0"),
        (1.234e-7, "1.23e-7"),
        (2e7, "2e+7"),
        (999.7, "1,000"),
    ],
)
def test_figures(value, text):
    assert words.figure(value) == text


def test_lists_and_durations():
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a"]) == "a"
    assert words.listed([]) == ""
    assert words.duration(75) == "1 min 15 s"
    assert words.duration(7260) == "2 h 1 min"
    assert words.duration(3.21) == "3.2 s"
    assert words.percent(0.934) == "93%"
    assert words.percent(0.004) == "0.4%"
