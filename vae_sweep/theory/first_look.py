"""What a linear VAE makes of held-out pictures at every weight, before anything is trained: pictures and numbers."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from vae_sweep.theory.covariance import Array
from vae_sweep.theory.pca import Axes
from vae_sweep.theory.weights import GREY_LEVELS

PICTURES = 8  # held-out images shown, the first that every run shows
MOST_WEIGHTS = 12  # of which pictures are made
T = TypeVar("T")


def file_name(fingerprint: str) -> str:
    """Of the pictures of one data set, in a sweep's folder."""
    return f"forecast-{fingerprint[:8]}.npz"


def pictures(
    axes: Axes, images: Array, shown: Array, latent_dims: Sequence[int], kl_weights: Sequence[float]
) -> dict[str, Array]:
    """What forecast.npz holds. shown: rows of the K images to show; kl_weights: betas, largest first.

    originals (K, H, W, C) and linear (D, W, K, H, W, C) uint8, decoded means; latent_dims (D,); betas (W,).
    """
    weights = spread(sorted(set(kl_weights), reverse=True), MOST_WEIGHTS)
    originals = _bytes(images[shown])
    decoded = [[_bytes(axes.decoded_means(images[shown], d, w)) for w in weights] for d in latent_dims]
    return {
        "originals": originals,
        "linear": np.array(decoded, np.uint8).reshape(len(latent_dims), len(weights), *originals.shape),
        "latent_dims": np.array(latent_dims),
        "betas": np.array(weights),
    }


def weights_to_sweep(best: float, likeliest: float) -> list[float]:
    """Half decades, largest first, from ten times above what reconstructs down to what fits the noise, or a tenth.

    best: the largest beta from which the linear model gains little; likeliest: where its noise is the error left.
    """
    high = round(2 * math.log10(best)) + 2
    low = min(high - 4, max(round(2 * math.log10(likeliest)), high - 8))
    return [float(f"{10 ** (k / 2):.1g}") for k in range(high, low - 1, -1)]


def nearest(curve: dict[str, Any], beta: float, key: str, held_out: bool = True) -> float | None:
    """A column of one of the forecast's curves at one weight, on held-out images; None outside its range."""
    values = (curve.get("held_out") or {}) if held_out else curve
    weights = curve["kl_weight"]
    if key not in values or not weights[0] <= beta <= weights[-1]:
        return None
    return float(np.interp(math.log(beta), np.log(weights), values[key]))


def spread(values: list[T], most: int) -> list[T]:
    """At most `most` of them, evenly, both ends included."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _bytes(images: Array) -> Array:
    """(..., C) as they are shown: of more than three bands the first three, of two the second twice."""
    bands = images.shape[-1]
    if bands not in (1, 3):
        images = images[..., [0, 1, min(2, bands - 1)]]
    if images.dtype == np.uint8:
        return np.asarray(images)
    return np.asarray(np.clip(np.round(images * GREY_LEVELS), 0, GREY_LEVELS), np.uint8)
