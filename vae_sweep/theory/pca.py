"""The linear VAE on given pictures: what it makes of each, at every weight and latent size, from one decomposition.

Fitted to the training images alone; judged on any. At its optimum (theory/linear.py) unit j reads the j-th principal
coefficient c_j of a picture, shrinks it, and says so with noise:

    decoded mean   m + sum_j (1 - s2 / lambda_j) c_j u_j        over the active units, lambda_j > s2 = beta / 2
    SSE of it      ||x - m||^2 - sum_j (1 - (s2 / lambda_j)^2) c_j^2
    with z sampled that plus sum_j (lambda_j - s2) s2 / lambda_j
    KL             sum_j 1/2 [ (lambda_j - s2) c_j^2 / lambda_j^2 + s2 / lambda_j - 1 + ln(lambda_j / s2) ]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.theory.covariance import BLOCK_BYTES, EXACT_UP_TO, Array, Pixels, Spectrum, exact_spectrum
from vae_sweep.theory.linear import ACTIVE
from vae_sweep.theory.weights import noise_variance


@dataclass(frozen=True)
class Axes:
    """Principal axes of training images. mean: (n,); values: (k,) eigenvalues, largest first; vectors: (n, k).

    spectrum: all eigenvalues, where the decomposition gave them exactly.
    """

    mean: Array
    values: Array
    vectors: Array
    spectrum: Spectrum | None = None

    def project(self, pixels: Pixels) -> "Projection":
        """Of other images, about the mean of these."""
        shift = (pixels.moments[0] - self.mean).astype(np.float32)
        squares, energy = [], []
        for block in pixels.centred_blocks():
            block += shift
            squares.append(np.square(block @ self.vectors, dtype=np.float64))
            energy.append(np.square(block, dtype=np.float64).sum(1))
        return Projection(self.values, np.concatenate(squares), np.concatenate(energy), len(self.mean))

    def decoded_means(self, images: Array, latent_dim: int, kl_weight: float) -> Array:
        """(N, H, W, C) uint8, or floating point in [0, 1] -> the same in [0, 1], float32, not clipped."""
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        flat = images.reshape(len(images), -1).astype(np.float32) / np.float32(scale) - self.mean.astype(np.float32)
        d = min(latent_dim, len(self.values))
        kept = _shrunk(self.values[:d], noise_variance(kl_weight)).astype(np.float32)
        codes = flat @ self.vectors[:, :d]
        return np.asarray((self.mean + (codes * kept) @ self.vectors[:, :d].T).reshape(images.shape), np.float32)


@dataclass(frozen=True)
class Projection:
    """Images in the axes of others: squares (N, k) of their coefficients; energy (N,), ||x - m||^2; pixels: n."""

    values: Array
    squares: Array
    energy: Array
    pixels: int

    def curve(self, latent_dim: int, kl_weights: Sequence[float]) -> dict[str, Any]:
        """Means over the images at each weight: rate (nats), distortion (SSE, z sampled), distortion_mean, psnr_mean.

        psnr_mean is the mean over images of each image's own, as everywhere in this tool.
        """
        d = min(latent_dim, len(self.values))
        values, squares = self.values[:d, None], self.squares[:, :d]
        s2 = np.array([noise_variance(w) for w in kl_weights])[None, :]
        on = values > s2
        ratio = np.where(on, s2 / np.maximum(values, 1e-300), 1.0)  # posterior variance; 1 where switched off
        left = self.energy[:, None] - squares @ (1 - ratio**2)  # (N, W)
        left = np.maximum(left, 0.0)
        noise = np.where(on, (values - s2) * ratio, 0.0).sum(0)
        gain = np.where(on, (values - s2) / np.maximum(values, 1e-300) ** 2, 0.0)
        rate = 0.5 * (squares.mean(0) @ gain + (ratio - 1 - np.log(ratio)).sum(0))
        psnr = -10 * np.log10(np.maximum(left / self.pixels, 1e-12)).mean(0)
        return {
            "rate": rate.tolist(),
            "distortion": (left.mean(0) + noise).tolist(),
            "distortion_mean": left.mean(0).tolist(),
            "psnr_mean": psnr.tolist(),
            "active_units": (1 - ratio > ACTIVE).sum(0).tolist(),
        }


def principal_axes(pixels: Pixels, count: int, exact_up_to: int = EXACT_UP_TO, seed: int = 0) -> Axes:
    """The `count` largest, or all there are. Exact of at most `exact_up_to` pixels, or images that are held at once.

    Else those of as many of the images as that, turned once towards those of all (a step of subspace iteration with
    Rayleigh-Ritz; Halko, Martinsson & Tropp 2011, algorithm 4.4).
    """
    n, images = pixels.pixels, len(pixels.rows)
    mean = pixels.moments[0]
    if n <= min(exact_up_to, images):
        covariance = np.zeros((n, n))
        for block in pixels.centred_blocks():
            covariance += block.T @ block
        values, vectors = np.linalg.eigh(covariance / images)
        return _sorted(pixels, values, vectors.astype(np.float32), count, values)
    few = pixels.held(exact_up_to, seed)
    centred = few.centred()
    centred -= (mean - few.moments[0]).astype(np.float32)
    values, turned = np.linalg.eigh(np.asarray(centred @ centred.T, np.float64))
    order = np.argsort(values)[::-1][: min(count + 16, len(values))]
    kept = order[values[order] > 1e-9 * max(values[order[0]], 1e-30)]
    vectors = centred.T @ (turned[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    del centred
    if len(few.rows) == images:
        return _sorted(pixels, values[kept] / images, vectors, count, values / images)
    vectors = pixels.covariance_times(vectors)
    basis = np.linalg.qr(vectors)[0]
    del vectors
    small, inner = np.linalg.eigh(_inner(basis, pixels.covariance_times(basis)))
    return _sorted(pixels, small, basis @ inner.astype(np.float32), count)


def _inner(one: Array, other: Array) -> Array:
    """one^T other in float64, of (n, k) float32, a block of rows at a time."""
    found = np.zeros((one.shape[1], other.shape[1]))
    size = max(1, BLOCK_BYTES // (8 * one.shape[1]))
    for first in range(0, len(one), size):
        rows = slice(first, first + size)
        found += one[rows].T.astype(np.float64) @ other[rows]
    return found


def _sorted(pixels: Pixels, values: Array, vectors: Array, count: int, whole: Array | None = None) -> Axes:
    order = np.argsort(values)[::-1][:count]
    found = None if whole is None else exact_spectrum(pixels, whole)
    return Axes(pixels.moments[0], np.maximum(values[order], 0.0), np.ascontiguousarray(vectors[:, order]), found)


def _shrunk(values: Array, s2: float) -> Array:
    return np.where(values > s2, 1 - s2 / np.maximum(values, 1e-300), 0.0)
