"""The aggregate posterior against the prior, from stored posteriors: (K, d) means and standard deviations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.study import Study

GRID = np.linspace(-4, 4, 65)
WHOLE = 512  # latents; of more, their covariance is never written down
BLOCK, MOST, CLOSE = 4, 200, 1e-6  # of `leading`: directions at once, in all, and what is left of the largest variance


@dataclass(frozen=True)
class Marginals:
    """`density` (units, len(GRID)): q(z_j) as the mixture of the posteriors, for `units`, largest KL first."""

    units: np.ndarray
    density: np.ndarray


def marginals(mean: np.ndarray, std: np.ndarray, units: np.ndarray) -> Marginals:
    """Exact mixture densities 1/K sum_k N(z; mean_kj, std_kj^2) on GRID."""
    m, s = mean[:, units, None].astype(float), np.maximum(std[:, units, None].astype(float), 0.02)
    density = np.exp(-0.5 * ((GRID - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
    return Marginals(units, density.mean(0))


@dataclass(frozen=True)
class Projection:
    """`samples` (K, 2): one z ~ q per image, along the two directions of largest variance of q(z)."""

    samples: np.ndarray
    variance: np.ndarray  # (2,) of q(z) along them; the prior's is 1


def plane(study: Study, point: Point, arrays: Mapping[str, np.ndarray]) -> Projection | None:
    """`project` of a run's arrays (evaluation.npz), once for a study; None if it has written no codes."""
    key = ("plane", point.id)
    if key not in study.memory:
        mean = arrays.get("latent_mean")
        study.memory[key] = None if mean is None else project(mean, arrays.get("latent_std"))
    found: Projection | None = study.memory[key]
    return found


def project(mean: np.ndarray, std: np.ndarray | None, seed: int = 0) -> Projection | None:
    """PCA of the aggregate posterior, whose covariance is Cov(mean) + diag(E std^2). `std` None: an autoencoder.

    The directions are orthonormal, so that the prior is a standard normal in their plane; the largest component of
    each is positive. None if d < 2.
    """
    mean = np.asarray(mean, float)
    k, d = mean.shape
    if d < 2 or k < 3:
        return None
    noise = np.zeros_like(mean) if std is None else np.asarray(std, float)
    centred, own = mean - mean.mean(0), (noise**2).mean(0)
    if d > WHOLE:
        values, vectors = leading(lambda v: centred.T @ (centred @ v) / k + own[:, None] * v, d)
    else:
        values, vectors = eigh(centred.T @ centred / k + np.diag(own), subset_by_index=[d - 2, d - 1])
    vectors = vectors * np.where(vectors[abs(vectors).argmax(0), [0, 1]] < 0, -1, 1)
    z = mean + noise * np.random.default_rng(seed).standard_normal(mean.shape)
    return Projection(z @ vectors[:, ::-1], values[::-1])


def leading(times: Callable[[np.ndarray], np.ndarray], d: int) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues (2,), rising, and eigenvectors (d, 2) of a covariance that is only multiplied with.

    times: (d, n) -> (d, n). Block Lanczos with full orthogonalisation, from a fixed start, until what is left is below
    CLOSE of the largest variance, or MOST directions are spent: then no images of a sweep tell them apart.
    """
    found, images = np.empty((d, 0)), np.empty((d, 0))
    block = np.random.default_rng(0).standard_normal((d, min(BLOCK, d)))
    while True:
        for _ in range(2):  # once leaves what rounding has left
            block, _ = np.linalg.qr(block - found @ (found.T @ block))
        image = times(block)
        found, images = np.hstack([found, block]), np.hstack([images, image])
        n = found.shape[1]
        values, turn = eigh(found.T @ images, subset_by_index=[n - 2, n - 1])
        vectors = found @ turn
        left = np.linalg.norm(images @ turn - vectors * values, axis=0).max()
        if left <= CLOSE * values[-1] or n + BLOCK > min(d, MOST):
            return values, vectors
        block = image
