"""What the data say before anything is trained, as plain JSON for the sweep's manifest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_sweep.theory.covariance import Array, Pixels, Spectrum, largest_standardised, spectrum
from vae_sweep.theory.linear import collapse_threshold, linear_vae, optimal_sigma2
from vae_sweep.theory.pca import Axes, principal_axes
from vae_sweep.theory.weights import likelihood_optimal_weight

KEPT_EIGENVALUES = 2048
CURVE_POINTS = 81
MOST_PROJECTED = 2048  # images whose mean a curve on one split is
MAX_RANK = 1024  # of a large set; a model of more latents is drawn with the eigenvalues that are known


def data_forecast(
    images: Array,
    train: Array,
    latent_dims: Sequence[int],
    kl_weights: Sequence[float] = (),
    binarize: str = "none",
    bernoulli: bool = False,
    seed: int = 0,
    held_out: Array | None = None,
    axes: Axes | None = None,
) -> dict[str, Any]:
    """Covariance spectrum, collapse thresholds and the linear VAE's rate-distortion curves, on both splits.

    images: (N, H, W, C) uint8 or floating point in [0, 1]; train: indices. kl_weights: betas of squared-error members,
    each a point on every curve. binarize: as data.binarize. bernoulli: also the threshold of a Bernoulli decoder
    (one more iteration over the images), and how grey the images are; else both are None. The model is fitted to the
    training images; every curve has under "held_out" its means over at most MOST_PROJECTED of the images in
    `held_out` (indices; None: left out).
    axes: of `train`, with as many as the largest latent size, where they are known already.
    Seconds for 30,000 images of 64 x 64 x 3.
    """
    pixels = Pixels(images, train, binarized=binarize == "dynamic")
    known = axes.spectrum if axes else None
    found = known or spectrum(pixels, rank=max(256, min(2 * max(latent_dims), MAX_RANK)), seed=seed)
    return {
        "n": found.pixels,
        "images": found.images,
        "images_used": found.images_used,
        "exact": found.exact,
        "total_variance": found.total_variance,  # squared error of the mean image
        "eigenvalues": found.eigenvalues[:KEPT_EIGENVALUES].tolist(),
        "collapse_threshold": collapse_threshold(found),
        "collapse_threshold_bernoulli": largest_standardised(pixels, seed=seed) if bernoulli else None,
        "grey": _grey(pixels) if bernoulli else None,
        "linear": _curves(
            pixels, found, latent_dims, curve_weights(found, kl_weights, latent_dims), held_out, axes, seed
        ),
    }


def _grey(pixels: Pixels) -> float:
    """E[x (1 - x)] over E[x] (1 - E[x]), summed over pixels: 0 of black and white, 1 of one grey image."""
    mean, variance = pixels.moments
    most = float((mean * (1 - mean)).sum())
    return 1 - float(variance.sum()) / most if most > 0 else 0.0


def _curves(
    pixels: Pixels,
    found: Spectrum,
    latent_dims: Sequence[int],
    weights: Sequence[float],
    held_out: Array | None,
    axes: Axes | None,
    seed: int,
) -> list[dict[str, Any]]:
    curves = [_curve(found, d, weights) for d in latent_dims]
    if pixels.binarized or found.total_variance == 0:  # a draw of its own in every look: no picture to project
        return curves
    axes = axes or principal_axes(pixels, min(max(latent_dims), MAX_RANK), seed=seed)
    own = axes.project(pixels.some(MOST_PROJECTED, seed))
    others = (
        None if held_out is None or not len(held_out) else Pixels(pixels.images, held_out).some(MOST_PROJECTED, seed)
    )
    unseen = axes.project(others) if others else None
    for curve, d in zip(curves, latent_dims, strict=True):
        curve["psnr_mean"] = own.curve(d, weights)["psnr_mean"]
        if unseen:
            curve["held_out"] = unseen.curve(d, weights)
    return curves


def curve_weights(found: Spectrum, kl_weights: Sequence[float], latent_dims: Sequence[int]) -> list[float]:
    """Weights to draw the curves at: from total collapse to all units active, past the weights asked for."""
    threshold = collapse_threshold(found) or 1.0
    all_active = 2 * float(found.top(min(max(latent_dims), found.known))[-1])
    low = min([*kl_weights, max(all_active, 1e-4 * threshold)]) / 3
    high = max([*kl_weights, threshold]) * 1.5
    return sorted({float(weight) for weight in [*np.geomspace(low, high, CURVE_POINTS), *kl_weights]})


def _curve(found: Spectrum, latent_dim: int, weights: Sequence[float]) -> dict[str, Any]:
    units = min(latent_dim, found.known)
    points = [linear_vae(found, units, weight) for weight in weights]
    sigma2 = optimal_sigma2(found, units) if units < found.pixels else 0.0
    return {
        "latent_dim": latent_dim,
        "kl_weight": list(weights),
        "rate": [point.rate for point in points],
        "distortion": [point.distortion for point in points],
        "distortion_mean": [point.distortion_mean for point in points],
        "active_units": [point.active_units for point in points],
        "likelihood_optimal_weight": likelihood_optimal_weight(sigma2),
    }
