"""What a network may begin from: the mean image, the first principal components, and those of the grid's cells.

A *linear path* of d1 codes for the whole picture and K codes for each cell of a grid has its optimum in closed form,
one part after the other. The first d1 principal components are coded as the linear VAE codes them (linear.py). What
their decoded means leave over, r = (I - U diag(1 - s2 / lambda_j)+ U^T) (x - m), is cut into cells, and all cells
share one code: the linear VAE of the cells' pooled second moments. Its rate and distortion add up with the first
part's, since the noise of the first codes is independent of r:

    KL  = sum_j KL_j + cells sum_k KL_k
    SSE = sum_j min(s2, lambda_j) [its noise: s2 (lambda_j - s2)+ / lambda_j] + cells sum_k min(s2, mu_k) + rest

The second moments of r in a cell follow from those of x and from U alone, because r's two parts are uncorrelated over
the images; so images are read once, whatever the weights. numpy only.
"""

import math
from dataclasses import dataclass

import numpy as np

from vae_sweep.theory.covariance import Array, Pixels

EXACT_UP_TO = 4096  # pixels, or images: so many rows of a symmetric matrix are held
MAX_IMAGES = 4000  # beyond that the first components of photographs and paintings move by less than 1 %
CUT_VALUES = 2**24  # of images that are cut into cells at once
ITERATIONS = 12  # of subspace iteration on that matrix


@dataclass(frozen=True)
class Moments:
    """Of the training images, pixels in [0, 1], in the order (C, H, W).

    mean: (C, H, W). variance: of all pixels together, the squared error of the mean image. basis: (n, r) orthonormal
    principal components, eigenvalues: (r,), largest first. cells: (c, c) second moments of x - mean in the cells of
    the grid, pooled; c = C cell^2, in the order (C, cell, cell). The grid is side x side; beyond the picture's edges
    pixels are as in the mean.
    """

    mean: Array
    variance: float
    basis: Array
    eigenvalues: Array
    cells: Array
    cell: int
    side: int

    @property
    def unit(self) -> float:
        """Root mean square deviation of a pixel from the mean image; 1 for images without any."""
        return math.sqrt(self.variance / self.mean.size) or 1.0


@dataclass(frozen=True)
class LinearCodes:
    """A part of the linear path: codes = encode^T x, x = decode codes; posterior variances. One column per code."""

    encode: Array
    decode: Array
    variance: Array
    eigenvalues: Array

    @property
    def rate(self) -> float:
        """KL of all codes, in nats."""
        return float(-0.5 * np.log(self.variance).sum())

    @property
    def noise(self) -> float:
        """Squared error that sampling adds."""
        return float((self.decode**2 * self.variance).sum())


@dataclass(frozen=True)
class LinearPath:
    """The optimum at one weight: codes of the picture (n rows) and of each of `cells` cells (c rows).

    Without a weight (`s2 = 0`) codes are whitened: encode^T x has variance 1, and decodes without shrinking.
    """

    picture: LinearCodes
    cell: LinearCodes
    cells: int
    left: float  # squared error of the decoded means

    @property
    def rate(self) -> float:
        return self.picture.rate + self.cells * self.cell.rate

    @property
    def distortion(self) -> float:
        """SSE with sampled codes."""
        return self.left + self.picture.noise + self.cells * self.cell.noise


def moments(
    images: Array, rows: Array, rank: int, cell: int, side: int, flips: bool = False, binarized: bool = False
) -> Moments:
    """Of images[rows] (N, H, W, C), and with `flips` of their mirror images too. rank: of the basis, at most.

    cell, side: pixels of a cell, and cells, a side. Exact up to 4096 pixels, or 4,000 images (beyond that, of a random
    4,000), as long as the images can be held (covariance.py; else of as many as can be, drawn at random). Raises
    ValueError if there are none.
    """
    height, width, channels = images.shape[1:]
    everything = Pixels(images, rows, binarized)
    pixels = everything.held(len(rows) if everything.pixels <= EXACT_UP_TO else MAX_IMAGES, seed=0)
    mean, variance = everything.moments
    shape = (height, width, channels)
    symmetric = mean.reshape(shape)
    if flips:
        symmetric = (symmetric + symmetric[:, ::-1]) / 2
    shift = (mean - symmetric.ravel()).astype(np.float32)
    centred = pixels.centred()
    centred += shift
    own = np.broadcast_to(np.asarray(pixels.own_variance, np.float64), mean.shape).reshape(shape)
    if flips:
        own = (own + own[:, ::-1]) / 2
    pictures = centred.reshape(-1, *shape)
    basis, eigenvalues = (_mirrored if flips else _plain)(pictures, own, rank)
    cells = _cells(pictures, own, cell, side)
    if flips:
        mirror = _cells(pictures[:, :, ::-1], own, cell, side) if width != cell * side else _mirror_of_cell(cells, cell)
        cells = (cells + mirror) / 2
    basis = basis.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(mean.size, -1)
    total = float(variance.sum() + (shift.astype(np.float64) ** 2).sum())
    return Moments(
        symmetric.transpose(2, 0, 1).astype(np.float32), total, basis.astype(np.float32), eigenvalues, cells, cell, side
    )


def unknown(image_shape: tuple[int, int, int], cell: int, side: int) -> Moments:
    """In the place of moments that a checkpoint will bring."""
    patch = image_shape[0] * cell**2
    nothing = np.zeros((math.prod(image_shape), 0), np.float32)
    zeros = np.zeros(image_shape, np.float32)
    return Moments(zeros, 0.0, nothing, np.zeros(0), np.zeros((patch, patch)), cell, side)


def linear_path(found: Moments, picture_codes: int, cell_codes: int, s2: float) -> LinearPath:
    """The optimum for noise variance s2 = beta / 2 (0: an autoencoder's). Codes beyond the components are shut."""
    channels, height, width = found.mean.shape
    cells = found.side**2
    values = np.zeros(picture_codes)
    known = min(picture_codes, len(found.eigenvalues))
    values[:known] = found.eigenvalues[:known]
    vectors = np.zeros((found.mean.size, picture_codes), np.float32)
    vectors[:, :known] = found.basis[:, :known]
    picture = _codes(vectors, values, s2)
    kept = np.where(values > 0, np.minimum(s2 / np.maximum(values, 1e-300), 1.0), 1.0)  # of each component, in r
    in_cells = _cut(vectors.T.reshape(-1, channels, height, width), found.cell, found.side)  # (d1, cells, c)
    flat = in_cells.reshape(-1, in_cells.shape[-1]).astype(np.float64)
    taken_out = np.repeat(values * (1 - kept**2), cells)[:, None] * flat
    covariance = found.cells - flat.T @ taken_out / cells
    left_values, left_vectors = np.linalg.eigh(covariance)
    left_values, left_vectors = np.maximum(left_values[::-1], 0.0), left_vectors[:, ::-1]
    coded = np.zeros(cell_codes)
    coded_vectors = np.zeros((len(covariance), cell_codes))
    some = min(cell_codes, len(covariance))
    coded[:some], coded_vectors[:, :some] = left_values[:some], left_vectors[:, :some]
    cell = _codes(coded_vectors, coded, s2)
    gone = coded - np.where(coded > 0, s2**2 / np.maximum(coded, s2 or 1e-300), 0.0)
    gone = np.where(coded > s2, gone, 0.0)  # lambda - s2^2 / lambda: of a unit that is on
    left = cells * (float(left_values.sum()) - float(gone.sum()))
    return LinearPath(picture, cell, cells, left)


def _codes(vectors: Array, values: Array, s2: float) -> LinearCodes:
    on = values > max(s2, 1e-9 * float(values.max(initial=0.0)))
    safe = np.where(on, values, 1.0)
    spread = np.sqrt(np.where(on, values - s2, 0.0))
    variance = np.where(on, s2 / safe, 1.0) if s2 else np.ones_like(values)
    return LinearCodes(vectors * (spread / safe), vectors * spread, variance, values)


def _plain(pictures: Array, own: Array, rank: int) -> tuple[Array, Array]:
    return _principal(pictures.reshape(len(pictures), -1), own.ravel(), rank)


def _mirrored(pictures: Array, own: Array, rank: int) -> tuple[Array, Array]:
    """Of pictures and their mirror images: their even and odd parts are uncorrelated, and half as wide."""
    half = pictures.shape[2] // 2
    wide = pictures.shape[2] - half  # of the even part: it has the middle
    even_vectors, even_values = _principal_of(_folded(pictures, np.add, wide), own[:, :wide], rank)
    odd_vectors, odd_values = _principal_of(_folded(pictures, np.subtract, half), own[:, :half], rank)
    sides = even_vectors[:, :half] / np.sqrt(2)
    even_vectors = np.concatenate([sides, even_vectors[:, half:], sides[:, ::-1]], axis=1)
    gap = np.zeros((odd_vectors.shape[0], wide - half, *odd_vectors.shape[2:]), odd_vectors.dtype)
    odd_vectors = np.concatenate([odd_vectors, gap, -odd_vectors[:, ::-1]], axis=1) / np.sqrt(2)
    values = np.concatenate([even_values, odd_values])
    vectors = np.concatenate([even_vectors, odd_vectors], axis=-1)
    order = np.argsort(-values, kind="stable")[:rank]
    kept = vectors[..., order]
    return kept.reshape(math.prod(kept.shape[:-1]), len(order)), values[order]  # none where the rank is 0


def _folded(pictures: Array, sign: np.ufunc, wide: int) -> Array:
    """(left half +- the mirrored right half) / sqrt 2, and what of the middle is within `wide` columns."""
    half = pictures.shape[2] // 2
    part = np.empty((*pictures.shape[:2], wide, pictures.shape[3]), pictures.dtype)
    sign(pictures[:, :, :half], pictures[:, :, ::-1][:, :, :half], out=part[:, :, :half])
    part[:, :, :half] /= pictures.dtype.type(math.sqrt(2))
    part[:, :, half:] = pictures[:, :, half:wide]
    return part


def _principal_of(part: Array, own: Array, rank: int) -> tuple[Array, Array]:
    """((H, W, C, r) components of pictures (N, H, W, C), their variances)"""
    vectors, values = _principal(part.reshape(len(part), -1), own.ravel(), rank)
    return vectors.reshape(*part.shape[1:], -1), values


def _principal(centred: Array, own: Array, rank: int) -> tuple[Array, Array]:
    """(n, r) principal components of centred (N, n) with r <= rank, and their variances."""
    images, n = centred.shape
    if rank == 0:
        return np.zeros((n, 0), np.float32), np.zeros(0)
    if n <= EXACT_UP_TO:
        covariance = np.asarray(centred.T @ centred, np.float64) / images
        covariance[np.diag_indices(n)] += own
        vectors, values = leading(covariance, min(rank, n))
        return vectors, values
    left, values = leading(np.asarray(centred @ centred.T, np.float64) / images, min(rank, images))
    some = values > 1e-7 * values[:1]
    left, values = left[:, some], values[some]
    return centred.T @ (left / np.sqrt(images * values)).astype(np.float32), values


def leading(matrix: Array, rank: int) -> tuple[Array, Array]:
    """(eigenvectors, eigenvalues) of a symmetric positive semidefinite matrix, the `rank` largest, largest first.

    By subspace iteration with a margin where that is less than the whole: then the last few are a little too small.
    """
    width = min(len(matrix), 2 * rank + 16)
    if 3 * width > len(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return vectors[:, ::-1][:, :rank], np.maximum(values[::-1][:rank], 0.0)
    block = np.random.default_rng(0).standard_normal((len(matrix), width))
    for _ in range(ITERATIONS):
        block = np.linalg.qr(matrix @ block)[0]
    values, turn = np.linalg.eigh(block.T @ (matrix @ block))
    return (block @ turn[:, ::-1])[:, :rank], np.maximum(values[::-1][:rank], 0.0)


def _cells(pictures: Array, own: Array, cell: int, side: int) -> Array:
    """Pooled second moments (c, c) of the cells of centred pictures (N, H, W, C); own: variance of each pixel's own."""
    planes = pictures.transpose(0, 3, 1, 2)
    size = max(1, CUT_VALUES // planes[0].size)
    total: Array | float = 0.0
    for first in range(0, len(planes), size):
        flat = _cut(planes[first : first + size], cell, side)
        flat = flat.reshape(-1, flat.shape[-1])
        total = total + np.asarray(flat.T @ flat, np.float64)
    in_cells = _cut(own.transpose(2, 0, 1)[None], cell, side)[0]
    return total / (len(planes) * len(in_cells)) + np.diag(in_cells.mean(0))


def _cut(planes: Array, cell: int, side: int) -> Array:
    """(N, C, H, W) -> (N, side^2, C cell^2), zeros beyond the edges."""
    n, channels, height, width = planes.shape
    padded = np.pad(planes, ((0, 0), (0, 0), (0, side * cell - height), (0, side * cell - width)))
    split = padded.reshape(n, channels, side, cell, side, cell).transpose(0, 2, 4, 1, 3, 5)
    return split.reshape(n, side**2, -1)


def _mirror_of_cell(cells: Array, cell: int) -> Array:
    order = np.arange(len(cells)).reshape(-1, cell, cell)[:, :, ::-1].ravel()
    return cells[np.ix_(order, order)]
