"""Paintings are a function of (seed, index), their factors are what they say, and they ask for latents."""

import numpy as np
import pytest

from vae_sweep.data.canvas import Canvas, oklch
from vae_sweep.data.painters import (
    FACTOR_NAMES,
    FAMILIES,
    FAMILY_NAMES,
    Factors,
    Palette,
    draw_factors,
    paint,
    paint_all,
    suprematism,
)


def test_a_painting_depends_on_its_seed_and_index_alone():
    few, many = list(paint_all(3, 32)), list(paint_all(8, 32))
    for (image, factors), (again, same) in zip(few, many, strict=False):
        assert np.array_equal(image, again)
        assert factors == same
    assert not np.array_equal(paint(0, 32, seed=1)[0], few[0][0])


@pytest.mark.parametrize("family", range(len(FAMILIES)))
@pytest.mark.parametrize("size", [32, 64, 256])
def test_every_family_paints_at_every_size(family: int, size: int):
    factors = Factors(family, 0.6, 0.5, 0.7, 0.12, 0.45, 0.55, 0.8, 0.2, 3)
    canvas = FAMILIES[family](factors, np.random.default_rng(0), size)
    assert canvas.pixels.shape == (size, size, 3)
    assert canvas.pixels.dtype == np.float32
    assert np.isfinite(canvas.pixels).all()
    assert canvas.pixels.std() > 0.05  # not an empty sheet


@pytest.mark.parametrize("index", range(12))
def test_the_composition_does_not_depend_on_the_size(index: int):
    small, large = (paint(index, size)[0].astype(float) for size in (32, 128))
    averaged = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    # Only the width of the edges may differ.
    assert np.abs(averaged - small).mean() < 10
    assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.97


def test_factors_are_independent():
    factors = np.array([list(vars(draw_factors(np.random.default_rng([0, i]))).values()) for i in range(3000)])
    assert factors.shape == (3000, len(FACTOR_NAMES))
    correlation = np.corrcoef(factors.T) - np.eye(len(FACTOR_NAMES))
    assert np.abs(correlation).max() < 4 / np.sqrt(3000)
    assert np.bincount(factors[:, 0].astype(int)).min() > 150


@pytest.mark.parametrize(("x", "y", "angle"), [(0.35, 0.6, 0.3), (0.65, 0.4, -0.4)])
def test_the_recorded_position_and_angle_are_those_of_the_picture(x: float, y: float, angle: float):
    """Suprematism's dark bar: its centre of mass, and the direction of its largest second moment."""
    family = FAMILY_NAMES.index("suprematism")
    factors = Factors(family, 0.6, 0.4, 0.9, 0.12, x, y, 0.8, angle, 2)
    dark = Palette(factors).dark
    slopes = []
    for detail in range(20):  # other bars may lie across it
        pixels = suprematism(factors, np.random.default_rng(detail), 128).pixels
        v, u = (np.argwhere(np.abs(pixels - dark).max(2) < 0.02).T + 0.5) / 128
        slopes.append((u.mean(), v.mean(), 0.5 * np.arctan2(2 * np.cov(u, v)[0, 1], u.var() - v.var())))
    assert np.median(slopes, axis=0) == pytest.approx([x, y, 1.6 * angle], abs=0.05)


@pytest.mark.parametrize(
    ("lch", "rgb"),
    [
        ((0.62796, 0.25768, 29.234), (1, 0, 0)),
        ((0.86644, 0.29483, 142.495), (0, 1, 0)),
        ((0.45201, 0.31321, 264.052), (0, 0, 1)),
    ],
)
def test_oklch_of_the_primaries(lch: tuple[float, float, float], rgb: tuple[int, int, int]):
    """Published OKLCH values of sRGB's corners (CSS Color 4)."""
    lightness, chroma, degrees = lch
    assert oklch(lightness, 0.999 * chroma, degrees / 360) == pytest.approx(rgb, abs=0.03)


def test_oklch_keeps_to_the_gamut_and_grey_is_grey():
    assert np.allclose(oklch(1, 0, 0), 1, atol=1e-3)
    assert np.allclose(oklch(0, 0, 0), 0, atol=1e-3)
    grey = oklch(0.6, 0, 0.3)
    assert np.ptp(grey) < 1e-3
    wild = oklch(0.9, 0.4, 0.7)
    assert wild.min() >= 0
    assert wild.max() <= 1


def test_marks_cover_their_area():
    """Coverage sums to the area of the shape: an independent check of the signed distances."""
    canvas = Canvas.primed(256, oklch(0, 0, 0))
    assert canvas.disc(0.5, 0.5, 0.3).mean() == pytest.approx(np.pi * 0.09, rel=0.01)
    assert canvas.ellipse(0.5, 0.5, 0.4, 0.1, 0.7).mean() == pytest.approx(np.pi * 0.04, rel=0.02)
    assert canvas.rectangle(0.5, 0.5, 0.3, 0.1, 0.3).mean() == pytest.approx(0.12, rel=0.01)
    assert canvas.ring(0.5, 0.5, 0.3, 0.1).mean() == pytest.approx(2 * np.pi * 0.3 * 0.1, rel=0.01)
    assert canvas.stroke(0.2, 0.3, 0.8, 0.6, 0.1).mean() == pytest.approx(
        0.1 * np.hypot(0.6, 0.3) + np.pi * 0.05**2, rel=0.01
    )
    strips = canvas.strips(canvas.uv[0], np.array([0.25, 0.6]))
    assert strips.mean((1, 2)) == pytest.approx([0.25, 0.35, 0.4], abs=0.003)
    assert np.allclose(strips.sum(0), 1, atol=1e-6)


@pytest.mark.slow
def test_the_weights_1_and_01_differ_on_paintings_even_for_a_linear_model():
    """The linear VAE's closed form: unit j is active iff lambda_j > beta / 2, decoding the mean loses
    (beta / 2)^2 / lambda_j on it, and lambda_j on the others."""
    images = np.array([image for image, _ in paint_all(700, 32)]).reshape(700, -1) / 255
    spectrum = np.linalg.svd(images - images.mean(0), compute_uv=False) ** 2 / len(images)

    def distortion(beta: float, latent_dim: int = 128) -> float:
        kept = spectrum[:latent_dim]
        kept = kept[kept > beta / 2]
        return spectrum.sum() - kept.sum() + ((beta / 2) ** 2 / kept).sum()

    decibels = 10 * np.log10(distortion(1) / distortion(0.1))
    assert decibels > 2
    assert (spectrum > 0.05).sum() > 64
