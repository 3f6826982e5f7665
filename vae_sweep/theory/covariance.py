"""The covariance of a set of images and its largest eigenvalues: all that a linear model knows of the data.

Pixels are in [0, 1], channels counted as pixels, and the covariance is divided by N. Small sets are solved exactly;
large ones by a randomised block Krylov method that reads the images a few times, a block at a time, so that neither
the images nor their covariance need to fit in memory.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

BLOCK_BYTES = 2**26  # of one block of images in float32
HELD_BYTES = 3 * 2**30  # of the images in float32 that are held at once: 4,096 of 256 x 256 x 3, 1,024 of 512 x 512 x 3
EXACT_UP_TO = 4096  # a symmetric eigenproblem of that size takes seconds
MAX_IMAGES = 30_000  # beyond that, sampling error of the eigenvalues (about sqrt(2 / N)) is below 1 %

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the data covariance, largest first, and what is left when they run out.

    eigenvalues: (r,) float64, r <= n. total_variance: the trace, exact, of all n eigenvalues. images: how many
    there are; images_used: how many the eigenvalues come from. exact: False if randomised; the estimates then err on
    the low side, least so for the largest.
    """

    eigenvalues: Array
    total_variance: float
    pixels: int
    images: int
    images_used: int
    exact: bool

    def top(self, d: int) -> Array:
        """The d largest eigenvalues; zeros beyond the rank. Raises ValueError if they were not computed."""
        if d > len(self.eigenvalues) and not self._complete:
            raise ValueError(f"{d} eigenvalues wanted, {len(self.eigenvalues)} of {self.pixels} known")
        return np.pad(self.eigenvalues[:d], (0, max(0, d - len(self.eigenvalues))))

    def tail(self, d: int) -> float:
        """Sum of all eigenvalues but the d largest: the squared error left by d principal components."""
        return max(0.0, self.total_variance - float(self.top(d).sum()))

    @property
    def known(self) -> int:
        """How many eigenvalues there are, counting the zeros beyond the rank."""
        return self.pixels if self._complete else len(self.eigenvalues)

    @property
    def _complete(self) -> bool:
        left_out = self.total_variance - float(self.eigenvalues.sum())
        return len(self.eigenvalues) >= self.pixels or left_out <= 1e-6 * self.total_variance


class Pixels:
    """Images as the rows of a matrix (N, n), in [0, 1], centred on their mean, read a block at a time.

    images: (N, H, W, C) uint8, or floating point in [0, 1]; a memory map will do. rows: which of them.
    binarized: each image is a Bernoulli draw of itself at every use (dynamic binarisation), so that every pixel
    carries variance E[x (1 - x)] of its own on top of the covariance of the grey values.
    """

    def __init__(self, images: Array, rows: Array | None = None, binarized: bool = False):
        self.images = images
        self.rows = np.arange(len(images)) if rows is None else np.asarray(rows)
        self.binarized = binarized
        if len(self.rows) == 0:
            raise ValueError("no images to take the covariance of")

    @property
    def pixels(self) -> int:
        return int(np.prod(self.images.shape[1:]))

    @cached_property
    def moments(self) -> tuple[Array, Array]:
        """(mean, variance) of every pixel: (n,) float64 twice. Exact: of uint8 images, sums of integers."""
        is_bytes = self.images.dtype == np.uint8
        total = np.zeros(self.pixels, np.int64 if is_bytes else np.float64)
        squares = np.zeros_like(total)
        for block in self._raw_blocks():
            total += block.sum(0, dtype=total.dtype)
            squares += np.square(block, dtype=np.uint16 if is_bytes else np.float64).sum(0, dtype=total.dtype)
        n, scale = len(self.rows), 255.0 if is_bytes else 1.0
        mean = total / (n * scale)
        if self.binarized:  # x' is 0 or 1, so its second moment is its mean
            return mean, mean * (1 - mean)
        # The difference of integers is exact, so that a constant pixel has no variance.
        return mean, np.maximum((n * squares - total**2) / (n * scale) ** 2, 0.0)

    @property
    def own_variance(self) -> Array | float:
        """E[x (1 - x)] of every pixel (n,) where binarised: variance that no two pixels share."""
        if not self.binarized:
            return 0.0
        return self.moments[1] - self._grey.moments[1]

    @cached_property
    def _grey(self) -> "Pixels":
        return Pixels(self.images, self.rows)

    def covariance_times(self, vectors: Array, scale: Array | float = 1.0) -> Array:
        """D Sigma D @ vectors, D = diag(scale): (n, k) float32 -> (n, k) float32. One pass over the images."""
        scale = np.asarray(scale, np.float32)
        scaled = _rowwise(scale, vectors)
        product = np.zeros_like(vectors)
        for block in self.centred_blocks():
            product += block.T @ (block @ scaled)
        product /= len(self.rows)
        if self.binarized:
            product += _rowwise(np.asarray(self.own_variance, np.float32), scaled)
        return _rowwise(scale, product)

    def centred_blocks(self, part: slice = slice(None)) -> Iterator[Array]:
        """Blocks (b, n) float32 of x - mean, without the noise of binarisation. part: of the rows."""
        mean = self.moments[0].astype(np.float32)
        scale = np.float32(1 / 255 if self.images.dtype == np.uint8 else 1)
        for block in self._raw_blocks(part):
            centred = block.astype(np.float32)
            centred *= scale
            centred -= mean
            yield centred

    def centred(self) -> Array:
        """(N, n) float32 of x - mean, all at once: for few images."""
        whole = np.empty((len(self.rows), self.pixels), np.float32)
        first = 0
        for block in self.centred_blocks():
            whole[first : first + len(block)] = block
            first += len(block)
        return whole

    @property
    def block(self) -> int:
        """Images of a block, the last one aside."""
        return max(1, BLOCK_BYTES // (4 * self.pixels))

    @property
    def most_held(self) -> int:
        """How many images are held at once."""
        return max(1, HELD_BYTES // (4 * self.pixels))

    def _raw_blocks(self, part: slice = slice(None)) -> Iterator[Array]:
        wanted = self.rows[part]
        for first in range(0, len(wanted), self.block):
            rows = wanted[first : first + self.block]
            yield self.images[rows].reshape(len(rows), self.pixels)

    def held(self, count: int, seed: int) -> "Pixels":
        """As `some`, and no more than can be held at once."""
        return self.some(min(count, self.most_held), seed)

    def some(self, count: int, seed: int) -> "Pixels":
        """At most `count` of the images, drawn without replacement, with the mean of these."""
        if len(self.rows) <= count:
            return self
        chosen = np.random.default_rng(seed).choice(len(self.rows), count, replace=False)
        return Pixels(self.images, self.rows[np.sort(chosen)], self.binarized)


def spectrum(
    pixels: Pixels,
    rank: int = 512,
    exact_up_to: int = EXACT_UP_TO,
    max_images: int = MAX_IMAGES,
    seed: int = 0,
) -> Spectrum:
    """Eigenvalues of the covariance of the images, largest first.

    All of them, exactly, if the covariance or the Gram matrix has at most `exact_up_to` rows. Otherwise the `rank`
    largest, randomised, from at most `max_images` images: on photographs and paintings the upper half of them to
    1e-3, the rest to a few per cent.
    """
    n, images = pixels.pixels, len(pixels.rows)
    total = float(pixels.moments[1].sum())
    used = pixels
    if n <= exact_up_to:
        values, exact = np.linalg.eigvalsh(_covariance(pixels)), True
    elif images <= exact_up_to and not pixels.binarized:
        values, exact = np.linalg.eigvalsh(_gram(pixels)), True
    else:
        used = pixels.some(max_images, seed)
        values, exact = _randomised(used, rank, seed), False
    if exact:
        return exact_spectrum(pixels, values)
    return Spectrum(_above_rounding(np.sort(values)[::-1][:rank], n), total, n, images, len(used.rows), False)


def exact_spectrum(pixels: Pixels, values: Array) -> Spectrum:
    """Of all the eigenvalues of the covariance of the images, in any order."""
    n, images = pixels.pixels, len(pixels.rows)
    total = float(pixels.moments[1].sum())
    return Spectrum(_above_rounding(np.sort(values)[::-1], n), total, n, images, images, True)


def _above_rounding(values: Array, n: int) -> Array:
    return np.where(values > n * np.finfo(np.float32).eps ** 2, values, 0.0)  # below it, rounding of the pixels


def largest_standardised(pixels: Pixels, max_images: int = MAX_IMAGES, tolerance: float = 1e-5, seed: int = 0) -> float:
    """lambda_max(P^-1/2 Sigma P^-1/2), P = diag p (1 - p), p the mean image; constant pixels are left out.

    For binary images that is the largest eigenvalue of their correlation matrix. 0 if every pixel is constant.
    """
    pixels = pixels.some(max_images, seed)
    mean, variance = pixels.moments
    varies = variance > (0 if pixels.images.dtype == np.uint8 else 1e-12)
    scale = np.zeros_like(mean)
    scale[varies] = 1 / np.sqrt((mean * (1 - mean))[varies])
    if not varies.any():
        return 0.0
    start = np.random.default_rng(seed).standard_normal((len(mean), min(8, len(mean)))).astype(np.float32)
    largest = 0.0
    for values in block_krylov(lambda vectors: pixels.covariance_times(vectors, scale), start, passes=20):
        before, largest = largest, float(values[-1])
        if largest - before <= tolerance * largest:
            break
    return largest


def block_krylov(times: Callable[[Array], Array], start: Array, passes: int) -> Iterator[Array]:
    """Eigenvalues, in ascending order, of a large symmetric positive semidefinite A, better after every pass.

    times(Q) = A Q; start: (n, b). Nystrom approximations A Q (Q^T A Q)^-1 (A Q)^T on the growing Krylov basis Q of
    start, A start, A^2 start, ...: never too large but for rounding, and tighter than Rayleigh-Ritz on the same
    basis. Musco & Musco 2015; Tropp et al. 2017, algorithm 3 (its shift keeps the Cholesky factor real).
    """
    basis: list[Array] = [np.linalg.qr(start)[0]]
    product: list[Array] = []
    n, columns = basis[0].shape
    del start
    for last in range(passes):
        product.append(times(basis[-1]))
        yield _nystrom(basis, product)
        if last == passes - 1 or (len(basis) + 1) * columns > n:
            return
        block = product[-1]
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            for known in basis:
                block = block - known @ (known.T @ block)
            block = np.linalg.qr(block)[0]
        basis.append(block)


def _nystrom(basis: Sequence[Array], product: Sequence[Array]) -> Array:
    """Eigenvalues from blocks of columns, (n, k) each, of a basis and of A basis: a block of rows at a time."""
    norm = math.hypot(*(float(np.linalg.norm(block)) for block in product))
    n, width = len(basis[0]), sum(block.shape[1] for block in basis)
    shift = np.sqrt(n) * np.finfo(product[0].dtype).eps * norm
    inner, squares = np.zeros((width, width)), np.zeros((width, width))
    size = max(1, BLOCK_BYTES // (8 * width))
    for first in range(0, n, size):
        rows = slice(first, first + size)
        own = np.concatenate([block[rows] for block in basis], axis=1).astype(np.float64)
        shifted = np.concatenate([block[rows] for block in product], axis=1).astype(np.float64) + shift * own
        inner += own.T @ shifted
        squares += shifted.T @ shifted
    factor = np.linalg.cholesky((inner + inner.T) / 2)
    half = np.linalg.solve(factor, squares)  # L^-1 Y^T Y L^-T has the eigenvalues of Y (L L^T)^-1 Y^T
    return np.maximum(np.linalg.eigvalsh(np.linalg.solve(factor, half.T)) - shift, 0.0)


def _randomised(pixels: Pixels, rank: int, seed: int, subset: int = 2048, passes: int = 2) -> Array:
    """Starts from the principal components of a few images, which is worth a pass, at a tenth of its cost.

    Where fewer can be held than columns are wanted, the columns are as many as the images, but for binarised ones.
    """
    columns = min(rank + rank // 2, pixels.pixels // passes)
    few = pixels.held(max(subset, 2 * columns), seed)
    *_, values = block_krylov(pixels.covariance_times, _components(few, columns, seed), passes)
    return values


def _components(few: Pixels, columns: int, seed: int) -> Array:
    """(n, columns) of images that are held."""
    centred = few.centred()
    _, vectors = np.linalg.eigh(centred @ centred.T)
    start = centred.T @ vectors[:, -columns:]
    if start.shape[1] < columns and few.binarized:  # the rank may be larger than the number of images
        noise = np.random.default_rng(seed).standard_normal((few.pixels, columns - start.shape[1]))
        start = np.concatenate([start, noise.astype(np.float32)], axis=1)
    return start


def _covariance(pixels: Pixels) -> Array:
    covariance = np.zeros((pixels.pixels, pixels.pixels))
    for block in pixels.centred_blocks():
        covariance += block.T @ block
    covariance /= len(pixels.rows)
    covariance[np.diag_indices_from(covariance)] += pixels.own_variance
    return covariance


def _gram(pixels: Pixels) -> Array:
    """(N, N): has the covariance's eigenvalues, and zeros. Read once for every part that can be held."""
    images = len(pixels.rows)
    gram = np.empty((images, images))
    blocks = max(1, pixels.most_held // pixels.block)
    for begin in range(0, images, blocks * pixels.block):
        held = list(pixels.centred_blocks(slice(begin, begin + blocks * pixels.block)))
        for i, block in enumerate(pixels.centred_blocks()):
            for j, other in enumerate(held):
                row, column = i * pixels.block, begin + j * pixels.block
                gram[row : row + len(block), column : column + len(other)] = block @ other.T
    gram /= images
    return gram


def _rowwise(scale: Array, matrix: Array) -> Array:
    if not scale.ndim and scale == 1:
        return matrix
    return scale[:, None] * matrix if scale.ndim else scale * matrix
