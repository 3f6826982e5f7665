"""The aggregate posterior against the prior, from stored posteriors: (K, d) means and standard deviations."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

GRID = np.linspace(-4, 4, 65)


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


def project(mean: np.ndarray, std: np.ndarray | None, seed: int = 0) -> Projection | None:
    """PCA of the aggregate posterior, whose covariance is Cov(mean) + diag(E std^2). `std` None: an autoencoder.

    The directions are orthonormal, so that the prior is a standard normal in their plane. None if d < 2.
    """
    mean = np.asarray(mean, float)
    if mean.shape[1] < 2 or len(mean) < 3:
        return None
    noise = np.zeros_like(mean) if std is None else np.asarray(std, float)
    covariance = np.cov(mean.T, ddof=0) + np.diag((noise**2).mean(0))
    d = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=[d - 2, d - 1])
    z = mean + noise * np.random.default_rng(seed).standard_normal(mean.shape)
    return Projection(z @ vectors[:, ::-1], values[::-1])
