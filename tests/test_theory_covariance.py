"""The covariance of images against dense linear algebra, and against data whose spectrum is known."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer

from vae_sweep.theory import Pixels, largest_standardised, spectrum
from vae_sweep.theory.covariance import block_krylov
from vae_sweep.theory.pca import principal_axes
from vae_sweep.theory.start import moments


def images_of(count: int, side: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth random images (count, side, side, channels) uint8, with the eigenvalues of photographs in kind."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.cos(np.pi * (i * x + j * y)) / (1 + i + j) for i in range(side) for j in range(side)]
    amplitudes = rng.standard_normal((count, channels, len(waves))) + rng.standard_normal((count, 1, len(waves)))
    smooth = np.einsum("ncw,whv->nhvc", amplitudes, np.stack(waves))
    return np.clip(127 + 20 * smooth, 0, 255).astype(np.uint8)


def dense_eigenvalues(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1) / 255.0
    return scipy.linalg.eigh(np.cov(flat.T, bias=True), eigvals_only=True)[::-1]


@pytest.mark.parametrize("count", [40, 500], ids=["gram", "covariance"])
def test_exact_spectrum_is_the_dense_one(count: int) -> None:
    images = images_of(count)
    found, expected = spectrum(Pixels(images)), dense_eigenvalues(images)
    assert found.exact
    assert found.total_variance == pytest.approx(expected.sum(), rel=1e-9)
    assert found.top(39) == pytest.approx(expected[:39], rel=1e-4, abs=1e-6)
    assert found.tail(10) == pytest.approx(expected[10:].sum(), rel=1e-4)
    assert (found.pixels, found.images, found.images_used) == (192, count, count)


def test_gram_and_covariance_agree() -> None:
    images = images_of(150)  # 150 images of 192 pixels
    by_covariance = spectrum(Pixels(images))
    by_gram = spectrum(Pixels(images), exact_up_to=150)
    assert by_gram.exact
    assert by_gram.top(100) == pytest.approx(by_covariance.top(100), rel=1e-4)


def test_randomised_spectrum_is_close_and_never_too_large() -> None:
    images = images_of(800, side=16)  # 768 pixels
    expected = dense_eigenvalues(images)
    found = spectrum(Pixels(images), rank=64, exact_up_to=50)
    assert not found.exact
    assert len(found.eigenvalues) == 64
    assert found.eigenvalues[:32] == pytest.approx(expected[:32], rel=2e-3)
    assert (found.eigenvalues <= expected[:64] * (1 + 1e-4)).all()
    assert found.eigenvalues[32:] == pytest.approx(expected[32:64], rel=0.05)
    assert found.total_variance == pytest.approx(expected.sum(), rel=1e-9)
    with pytest.raises(ValueError, match="65 eigenvalues wanted, 64 of 768 known"):
        found.top(65)


@pytest.mark.slow
def test_large_sets_are_sampled_but_their_total_variance_is_not() -> None:
    images = images_of(3000, side=8)
    found = spectrum(Pixels(images), rank=32, exact_up_to=50, max_images=2500)
    expected = dense_eigenvalues(images)
    assert (found.images, found.images_used) == (3000, 2500)
    assert found.total_variance == pytest.approx(expected.sum(), rel=1e-9)
    assert found.eigenvalues[:8] == pytest.approx(expected[:8], rel=0.1)


def test_rows_bytes_and_floats() -> None:
    images = images_of(300)
    rows = np.arange(0, 300, 3)
    expected = dense_eigenvalues(images[rows])
    assert spectrum(Pixels(images, rows)).top(50) == pytest.approx(expected[:50], rel=1e-4)
    as_floats = (images / 255).astype(np.float32)
    assert spectrum(Pixels(as_floats, rows)).top(50) == pytest.approx(expected[:50], rel=1e-4)


def test_moments_of_bytes_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_sweep.theory.covariance.BLOCK_BYTES", 7 * 4 * 192)  # uneven last block
    images = images_of(100)
    mean, variance = Pixels(images).moments
    flat = images.reshape(100, -1) / 255.0
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-13)
    np.testing.assert_allclose(variance, flat.var(0), rtol=1e-9, atol=1e-15)
    assert dense_eigenvalues(images)[:20] == pytest.approx(spectrum(Pixels(images)).top(20), rel=1e-4)


def test_binarised_images_carry_the_noise_of_the_draw() -> None:
    """Against the covariance of very many draws, and for both routes to the eigenvalues."""
    images = images_of(60, side=4, channels=1)
    rng = np.random.default_rng(1)
    draws = rng.random((4000, 60, 16)) < images.reshape(60, 16) / 255.0
    expected = scipy.linalg.eigh(np.cov(draws.reshape(-1, 16).T.astype(float)), eigvals_only=True)[::-1]
    pixels = Pixels(images, binarized=True)
    assert spectrum(pixels).top(16) == pytest.approx(expected, rel=0.02)
    mean, variance = pixels.moments
    assert variance == pytest.approx(mean * (1 - mean))
    randomised = spectrum(pixels, rank=4, exact_up_to=1)
    assert randomised.top(4) == pytest.approx(expected[:4], rel=0.03)


def standardised_threshold(binary: np.ndarray) -> float:
    flat = binary.reshape(len(binary), -1) / binary.max()
    flat = flat[:, flat.std(0) > 0]
    p = flat.mean(0)
    scale = 1 / np.sqrt(p * (1 - p))
    return scipy.linalg.eigh(np.cov(flat.T, bias=True) * np.outer(scale, scale), eigvals_only=True)[-1]


def test_bernoulli_threshold_is_the_dense_one_and_ignores_constant_pixels() -> None:
    grey = images_of(400, side=12, channels=1)
    for images in (grey, np.where(grey > 127, np.uint8(255), np.uint8(0))):
        images = images.copy()
        images[:, 0] = 0  # always black
        images[:, 1, :3] = 255  # always white
        assert largest_standardised(Pixels(images)) == pytest.approx(standardised_threshold(images), rel=1e-4)
    assert largest_standardised(Pixels(np.full((5, 4, 4, 1), 255, np.uint8))) == 0


def test_independent_fair_bits_have_threshold_one() -> None:
    bits = 255 * np.random.default_rng(0).integers(0, 2, (20000, 4, 4, 1), dtype=np.uint8)
    assert largest_standardised(Pixels(bits)) == pytest.approx(
        1, abs=0.07
    )  # sampling: (1 + sqrt(16 / 20000))^2 = 1.057


@fewer
@given(st.integers(5, 40), st.integers(1, 4), st.integers(0, 100))
def test_krylov_never_overshoots_and_improves(n: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((n, n))
    matrix = factor @ factor.T
    largest = np.linalg.eigvalsh(matrix)[-1]
    columns = min(columns, n)
    estimates = [v[-1] for v in block_krylov(lambda q: matrix @ q, rng.standard_normal((n, columns)), passes=4)]
    assert all(later >= earlier * (1 - 1e-6) for earlier, later in pairwise(estimates))
    assert estimates[-1] <= largest * (1 + 1e-6)


def peak_of(work: Callable[[], Any]) -> int:
    """Bytes of arrays held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_images_are_held_once_and_no_more_than_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 images of 3,072 pixels, 4.9 MB in float32; with room for 100 of them, a quarter."""
    images = images_of(400, side=32)
    whole = 4 * images.size
    monkeypatch.setattr("vae_sweep.theory.covariance.BLOCK_BYTES", whole // 40)
    monkeypatch.setattr("vae_sweep.theory.start.EXACT_UP_TO", 1000)
    monkeypatch.setattr("vae_sweep.theory.start.CUT_VALUES", images.size // 40)

    def looks() -> list[Callable[[], Any]]:
        return [
            lambda: Pixels(images).centred(),
            lambda: principal_axes(Pixels(images), 8),
            lambda: moments(images, np.arange(400), 8, 8, 4),
            lambda: moments(images, np.arange(400), 8, 8, 4, flips=True),
        ]

    square = 8 * 400**2  # of the Gram matrix in float64, which a solver holds some times over
    for look, times in zip(looks(), (1.1, 1.2, 1.2, 1.7), strict=True):
        assert peak_of(look) < times * whole + 3 * square
    monkeypatch.setattr("vae_sweep.theory.covariance.HELD_BYTES", whole // 4)
    assert len(Pixels(images).held(4000, seed=0).rows) == 100
    for look in looks()[1:]:
        assert peak_of(look) < 0.75 * whole


def test_the_gram_matrix_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_of(100, side=16)
    expected = dense_eigenvalues(images)
    monkeypatch.setattr("vae_sweep.theory.covariance.BLOCK_BYTES", 7 * 4 * 768)  # uneven last block, and last part
    monkeypatch.setattr("vae_sweep.theory.covariance.HELD_BYTES", 30 * 4 * 768)
    assert spectrum(Pixels(images), exact_up_to=100).top(99) == pytest.approx(expected[:99], rel=1e-4, abs=1e-6)


def test_few_images_held_are_enough_to_begin_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A randomised spectrum whose first components are of 80 images of 800, and its sums of 50 rows at a time."""
    images = images_of(800, side=16)
    expected = dense_eigenvalues(images)
    monkeypatch.setattr("vae_sweep.theory.covariance.HELD_BYTES", 80 * 4 * 768)
    monkeypatch.setattr("vae_sweep.theory.covariance.BLOCK_BYTES", 50 * 8 * 160)
    found = spectrum(Pixels(images), rank=64, exact_up_to=50)
    assert found.eigenvalues[:32] == pytest.approx(expected[:32], rel=5e-3)
    assert (found.eigenvalues <= expected[:64] * (1 + 1e-4)).all()


def test_no_images() -> None:
    with pytest.raises(ValueError, match="no images"):
        Pixels(images_of(3), np.array([], int))
