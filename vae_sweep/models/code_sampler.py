"""A distribution fitted to the codes of a trained model, to draw from in place of the prior. No torch.

What a decoder knows is where the codes of its training images lie: the aggregate posterior. At a small KL weight that
is not N(0, I), and draws of the prior fall beside it. A Gaussian, or a mixture of Gaussians, fitted afterwards has
nearly its shape (Ghosh et al. 2020, "ex-post density estimation"; Dai & Wipf 2019 fit a second VAE).

Covariances are full and shrunk: that of all codes by Ledoit & Wolf 2004 towards uncorrelated units, a component's
towards the one that all components share (Friedman 1989). So they exist where there are more latents than images. How
many components, and how far they are shrunk, the likelihood of codes left out of the fit decides.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FILE = "sampler.npz"  # in a run folder

COMPONENTS = (2, 5, 10, 20)
SHRINKAGES = (1.0, 0.5, 0.2, 0.02)
LEFT_OUT = 0.2
CODES_PER_COMPONENT = 40
EM_STEPS = 3
EM_SHRINKAGE = 0.1
MOST_NUMBERS = 1_000_000  # in all covariances together: 4 MB beside the checkpoint
MOST_LATENTS = 2048  # beyond them no matrix of all pairs of units is made
RANK = 256
MOST_CODES_BEYOND = 2048  # images


@dataclass(frozen=True)
class CodeSampler:
    """A mixture of K Gaussians over codes (N, d).

    weights (K,), means (K, d), factors (K, d, r), noise (K, d): component k has covariance F F^T + diag(noise^2).
    shrinkage: of the components towards their common covariance. codes: how many it was fitted to.
    left_out_nats, left_out_se: mean of ln f(z) - ln N(z; 0, I) over codes left out of a fit of this kind, and its
    standard error: a lower bound on the KL of the codes' distribution to the prior. NaN where too few to leave any out.
    """

    weights: Array
    means: Array
    factors: Array
    noise: Array
    shrinkage: float
    codes: int
    left_out_nats: float = math.nan
    left_out_se: float = math.nan

    @property
    def components(self) -> int:
        return len(self.weights)

    @property
    def latent_dim(self) -> int:
        return self.means.shape[1]

    def sample(self, n: int, seed: int = 0) -> Array:
        """(n, d) float32, a function of n and the seed."""
        draws = randomness(seed, n)
        which = draws.choice(self.components, n, p=self.weights)
        along = draws.standard_normal((n, self.factors.shape[2]))
        z = self.means[which] + draws.standard_normal((n, self.latent_dim)) * self.noise[which]
        for k in np.unique(which):
            z[which == k] += along[which == k] @ self.factors[k].T
        return z.astype(np.float32)

    def marginals(self) -> tuple[Array, Array]:
        """Mean and standard deviation (d,) of every unit."""
        mean = self.weights @ self.means
        inside = (self.factors**2).sum(2) + self.noise**2
        return mean, np.sqrt(np.maximum(self.weights @ (inside + self.means**2) - mean**2, 0.0))

    def log_density(self, z: Array) -> Array:
        """ln f(z) of codes (N, d) -> (N,), nats."""
        return np.logaddexp.reduce(self.log_densities(z), axis=1)

    def log_densities(self, z: Array) -> Array:
        """(N, K): of each component, times its weight."""
        found = np.empty((len(z), self.components))
        for k in range(self.components):
            factor, noise, centred = self.factors[k], self.noise[k], z - self.means[k]
            of_noise = _log_low_rank(centred, factor, noise) if noise.any() else log_gaussian(centred, factor)
            found[:, k] = np.log(self.weights[k]) + of_noise
        return found

    def arrays(self) -> dict[str, Array]:
        """Plain arrays, for an npz file."""
        return {field.name: np.asarray(getattr(self, field.name), np.float32) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "CodeSampler":
        found = {field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)}
        numbers = {name: float(found[name]) for name in ("shrinkage", "left_out_nats", "left_out_se")}
        weights = found["weights"] / found["weights"].sum()
        return cls(weights, found["means"], found["factors"], found["noise"], codes=int(found["codes"]), **numbers)


def fit(codes: Array, seed: int = 0) -> CodeSampler:
    """Fit codes (N, d), one of each training image, drawn from its posterior: the means alone are spread less.

    Raises ValueError for fewer than 2 codes, or codes that are not finite.
    """
    if np.ndim(codes) == 2 and codes.shape[1] > MOST_LATENTS:
        codes = codes[:MOST_CODES_BEYOND]
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) < 2 or not np.isfinite(codes).all():
        raise ValueError(f"a sampler is fitted to at least 2 finite codes (N, d), not to an array {codes.shape}")
    centre, spread = codes.mean(0), codes.std(0)
    spread = np.where(spread > 0, spread, 1e-6)  # of units that never move
    scaled = (codes - centre) / spread
    if codes.shape[1] > MOST_LATENTS:
        return _unscaled(_of_low_rank(scaled), centre, spread)
    out, rest = left_out(len(codes), seed)
    if len(out) < 2:
        return _unscaled(_one(scaled), centre, spread)
    tried = list(_candidates(scaled[rest], seed))
    scores = [one.log_density(scaled[out]) for one in tried]
    chosen = simplest_as_good(scores)
    kind = tried[chosen]
    found = _one(scaled)
    if kind.components > 1:
        found = _grouped(scaled, _shares(scaled, kind.components, seed)).mixture(kind.shrinkage)
    nats, error = above_prior(scores[chosen] - np.log(spread).sum(), codes[out])
    return replace(_unscaled(found, centre, spread), left_out_nats=nats, left_out_se=error)


def left_out(codes: int, seed: int) -> tuple[Array, Array]:
    """Which of so many codes are left out of a fit, and the rest."""
    out, rest = np.split(randomness(seed, codes).permutation(codes), [int(LEFT_OUT * codes)])
    return out, rest


def above_prior(score: Array, codes: Array) -> tuple[float, float]:
    """Mean of ln f(z) - ln N(z; 0, I) over codes (N, d) whose ln f(z) is `score` (N,), and its standard error."""
    nearer = score + 0.5 * (codes**2 + math.log(2 * math.pi)).sum(1)
    return float(nearer.mean()), float(nearer.std(ddof=1) / math.sqrt(len(nearer)))


def _unscaled(found: CodeSampler, centre: Array, spread: Array) -> CodeSampler:
    return replace(
        found,
        means=centre + spread * found.means,
        factors=spread[:, None] * found.factors,
        noise=spread * found.noise,
    )


def _candidates(x: Array, seed: int) -> Iterator[CodeSampler]:
    """From the simplest to the richest."""
    yield _one(x)
    for components in COMPONENTS:
        if components * CODES_PER_COMPONENT <= len(x) and components * x.shape[1] ** 2 <= MOST_NUMBERS:
            groups = _grouped(x, _shares(x, components, seed))
            for shrinkage in SHRINKAGES:
                yield groups.mixture(shrinkage)


def simplest_as_good(scores: list[Array]) -> int:
    """The first that is less than one standard error of the difference behind the best (Breiman et al. 1984).

    scores: ln f(z) (N,), nats, of the same codes by each candidate, the simplest first. Returns its number.
    """
    best = max(scores, key=lambda score: score.mean())
    behind = [best - score for score in scores]
    return next(i for i, b in enumerate(behind) if b.mean() <= b.std(ddof=1) / math.sqrt(len(b)))


def _shares(x: Array, components: int, seed: int) -> Array:
    """Of which component each code is: (N, K). k-means on whitened codes, then steps of EM with shrunk covariances."""
    from scipy.cluster.vq import kmeans2

    white = whitened(x, _one(x).factors[0])
    _, groups = kmeans2(white.T, components, iter=20, minit="++", rng=randomness(seed, components))
    shares = np.eye(components)[groups]
    for _ in range(EM_STEPS):
        logs = _grouped(x, shares).mixture(EM_SHRINKAGE).log_densities(x)
        shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    return shares


def _one(x: Array) -> CodeSampler:
    return _grouped(x, np.ones((len(x), 1))).mixture(1.0)


def towards_units(x: Array) -> float:
    """How far the covariance of codes (N, d) of mean 0 is best shrunk towards a multiple of the identity."""
    products = x.T @ x if x.shape[1] < len(x) else x @ x.T
    return _shrinkage(float((products**2).sum()), (x**2).sum(1), x.shape[1])


def _shrinkage(squared_norm: float, lengths: Array, d: int) -> float:
    """Ledoit & Wolf 2004, lemmas 3.2 to 3.4. squared_norm: of X^T X, or of X X^T; lengths: |x_i|^2 (N,)."""
    images, squares, total = len(lengths), squared_norm / len(lengths) ** 2, float(lengths.mean())  # |S|^2, tr S
    error = (float((lengths**2).mean()) - squares) / images
    distance = squares - total**2 / d
    return min(1.0, max(error / distance, 1e-6)) if distance > 0 else 1.0


class _Groups(NamedTuple):
    """Codes of mean 0 and variance 1, shared out to K components: weights (K,), means (K, d), covariances (K, d, d).

    common (d, d): what the components share, shrunk towards uncorrelated units as far as all codes together ask for.
    """

    weights: Array
    means: Array
    own: Array
    common: Array
    codes: int

    def mixture(self, shrinkage: float) -> CodeSampler:
        factors = np.linalg.cholesky((1 - shrinkage) * self.own + shrinkage * self.common)
        return CodeSampler(self.weights, self.means, factors, np.zeros_like(self.means), shrinkage, self.codes)


def _grouped(x: Array, shares: Array) -> _Groups:
    """x (N, d), shares (N, K), which add up to 1 for each code."""
    counts = shares.sum(0) + 1e-9
    weights, means = counts / counts.sum(), shares.T @ x / counts[:, None]
    own = np.empty((shares.shape[1], x.shape[1], x.shape[1]))
    for k, count in enumerate(counts):
        centred = (x - means[k]) * np.sqrt(shares[:, k, None])
        own[k] = centred.T @ centred / count
    to_units = towards_units(x)
    common = (1 - to_units) * np.einsum("k,kij->ij", weights, own) + to_units * np.eye(x.shape[1])
    return _Groups(weights, means, own, common, len(x))


def _of_low_rank(x: Array) -> CodeSampler:
    """One Gaussian of very many units, by products of images: the main directions, and one variance for all others.

    The trace is that of the shrunk covariance.
    """
    from scipy.linalg import eigh

    images, d = x.shape
    near = x.astype(np.float32)  # half the time; only relations between images come of it
    gram = (near @ near.T).astype(float)
    lengths = np.diag(gram)
    shrinkage = _shrinkage(float((gram**2).sum()), lengths, d)
    rank = min(RANK, images - 1)
    values, vectors = eigh(gram, subset_by_index=[images - rank, images - 1])
    directions = vectors.T @ near / np.sqrt(np.maximum(values, 1e-12))[:, None]  # (rank, d)
    along = (1 - shrinkage) * values / images
    rest = max(float(lengths.mean()) - float(along.sum()), 0.0) / d
    factors = (directions.T * np.sqrt(np.maximum(along, 0)))[None]
    return CodeSampler(np.ones(1), np.zeros((1, d)), factors, np.full((1, d), math.sqrt(rest)), 1.0, images)


def log_gaussian(centred: Array, factor: Array) -> Array:
    """ln N(x; 0, F F^T) in nats of x = centred (N, d), F = factor (d, d) lower triangular -> (N,)."""
    squares = (whitened(centred, factor) ** 2).sum(0)
    return -0.5 * (squares + len(factor) * math.log(2 * math.pi)) - np.log(np.diag(factor)).sum()


def _log_low_rank(centred: Array, factor: Array, noise: Array) -> Array:
    """Of covariance F F^T + diag(noise^2), F (d, r), by matrices of r x r (Woodbury 1950)."""
    x, f = centred / noise, factor / noise[:, None]
    inner = np.linalg.cholesky(np.eye(f.shape[1]) + f.T @ f)
    squares = (x**2).sum(1) - (whitened(x @ f, inner) ** 2).sum(0)
    logs = np.log(np.abs(noise)).sum() + np.log(np.diag(inner)).sum()
    return -0.5 * (squares + len(f) * math.log(2 * math.pi)) - logs


def whitened(x: Array, factor: Array) -> Array:
    """F^-1 x of codes x (N, d), F = factor (d, d) lower triangular -> (d, N)."""
    from scipy.linalg import solve_triangular

    return solve_triangular(factor, x.T, lower=True, check_finite=False)


def randomness(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[*key, 0][:2]))
