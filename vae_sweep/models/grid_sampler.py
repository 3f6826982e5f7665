"""A distribution fitted to codes that lie on a grid, to draw from cell by cell. No torch.

One Gaussian over all cells knows nothing of what makes a picture of parts: a cell beside a quiet one is quiet, an edge
goes on in the next. Here a mixture of K Gaussians is fitted to patches of three cells, (above, left, own), wherever
they lie on the grids of all images: a few hundred images are tens of thousands of patches. Codes of the whole picture
are drawn first, then each cell, row by row, given those above and left of it:

    f(z) = f(codes of the picture) * prod over cells of f(own | above, left)

f(own | above, left) is the mixture's conditional; where a neighbour lies beyond the grid, that of what is there. It is
a mixture of linear regressions, whose shares depend on the neighbours: Theis et al. 2012 ("Mixtures of conditional
Gaussian scale mixtures"), of codes in place of pixels; mixtures of Gaussians for patches are Zoran & Weiss 2011.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vae_sweep.models.code_sampler import (
    MOST_CODES_BEYOND,
    MOST_LATENTS,
    Array,
    CodeSampler,
    above_prior,
    left_out,
    log_gaussian,
    randomness,
    simplest_as_good,
    towards_units,
    whitened,
)
from vae_sweep.models.code_sampler import fit as fit_codes

COMPONENTS = (1, 8)
MOST_PATCHES = 20_000
EM_STEPS = 10
SHRINKAGE = 0.1  # of a component's covariance, towards the shape that all share, at its own scale
OF_PICTURE = (8, 0.8)  # components and their shrinkage: they differ in strength above all
CODES_PER_COMPONENT = 10
FLOOR = 1e-4


class Grid(NamedTuple):
    """Where a code's latents lie: `picture` of the whole picture, then (K, cells, cells)."""

    picture: int
    cells: int


@dataclass(frozen=True)
class GridSampler:
    """A distribution over codes (N, d) of a grid: centre + spread * draws.

    picture: of the codes of the whole picture, None where there are none; it knows nothing of the cells. patches: a
    mixture over (above, left, own), (3 K,). centre, spread (d,): of every unit. left_out_nats, left_out_se, codes: as
    of CodeSampler.
    """

    picture: CodeSampler | None
    patches: CodeSampler
    cells: int
    centre: Array
    spread: Array
    codes: int
    left_out_nats: float = math.nan
    left_out_se: float = math.nan

    @property
    def components(self) -> int:
        return self.patches.components

    @property
    def shrinkage(self) -> float:
        return self.patches.shrinkage

    @property
    def latent_dim(self) -> int:
        return len(self.centre)

    def sample(self, n: int, seed: int = 0) -> Array:
        """(n, d) float32, a function of n and the seed."""
        draws = randomness(seed, n + 2**32)
        grid = np.zeros((n, self._in_cell, self.cells, self.cells))
        for row in range(self.cells):
            for column in range(self.cells):
                known, x = self._seen(grid, row, column)
                grid[:, :, row, column] = known.draw(x, draws)
        parts = [] if self.picture is None else [self.picture.sample(n, seed)]
        scaled = np.concatenate([*parts, grid.reshape(n, -1)], axis=1)
        return (self.centre + self.spread * scaled).astype(np.float32)

    def marginals(self) -> tuple[Array, Array]:
        """Mean and standard deviation (d,) of every unit, of the codes that it was fitted to."""
        return self.centre, self.spread

    def log_density(self, z: Array) -> Array:
        """ln f(z) of codes (N, d) -> (N,), nats."""
        picture = self.latent_dim - self._in_cell * self.cells**2
        before, grid = _parts((z - self.centre) / self.spread, Grid(picture, self.cells))
        found = np.full(len(z), -np.log(self.spread).sum())
        if self.picture is not None:
            found += self.picture.log_density(before)
        for row in range(self.cells):
            for column in range(self.cells):
                known, x = self._seen(grid, row, column)
                found += known.log_density(x, grid[:, :, row, column])
        return found

    def arrays(self) -> dict[str, Array]:
        """Plain arrays, for an npz file."""
        names = ("cells", "centre", "spread", "codes", "left_out_nats", "left_out_se")
        found = {name: np.asarray(getattr(self, name), np.float32) for name in names}
        for part, one in (("picture", self.picture), ("patches", self.patches)):
            found |= {} if one is None else {f"{part}_{name}": value for name, value in one.arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "GridSampler":
        def part(name: str) -> CodeSampler:
            of_part = {field.name: arrays[f"{name}_{field.name}"] for field in fields(CodeSampler)}
            return CodeSampler.from_arrays(of_part)

        centre, spread = (np.asarray(arrays[name], np.float64) for name in ("centre", "spread"))
        numbers = {name: float(arrays[name]) for name in ("left_out_nats", "left_out_se")}
        picture = part("picture") if "picture_weights" in arrays else None
        cells, codes = int(arrays["cells"]), int(arrays["codes"])
        return cls(picture, part("patches"), cells, centre, spread, codes, **numbers)

    @property
    def _in_cell(self) -> int:
        return self.patches.latent_dim // 3

    def _seen(self, grid: Array, row: int, column: int) -> tuple["_Conditional", Array]:
        """The conditional that is to be asked in a cell of (N, K, cells, cells), and the neighbours that it wants."""
        above, left = row > 0, column > 0
        seen = [grid[:, :, row - 1, column]] * above + [grid[:, :, row, column - 1]] * left
        return self._conditionals[above, left], np.concatenate([np.empty((len(grid), 0)), *seen], axis=1)

    @cached_property
    def _conditionals(self) -> dict[tuple[bool, bool], "_Conditional"]:
        """By whether there are cells above, and to the left."""
        both = (False, True)
        return {(above, left): _Conditional.of(self.patches, (above, left, True)) for above in both for left in both}


class _Conditional(NamedTuple):
    """Of a mixture over (known, own): own given known.

    weights (K,), means (K, a + b), factors (K, a + b, a + b), which are lower triangles; own: b.
    """

    weights: Array
    means: Array
    factors: Array
    own: int

    @classmethod
    def of(cls, patches: CodeSampler, kept: tuple[bool, ...]) -> "_Conditional":
        own = patches.latent_dim // len(kept)
        units = np.repeat(kept, own)
        factors = [np.linalg.cholesky((f @ f.T)[np.ix_(units, units)]) for f in patches.factors]
        return cls(patches.weights, patches.means[:, units], np.stack(factors), own)

    @property
    def known(self) -> int:
        return self.means.shape[1] - self.own

    def log_density(self, known: Array, own: Array) -> Array:
        """known (N, a), own (N, b) -> (N,)."""
        both = np.concatenate([known, own], axis=1)
        return np.logaddexp.reduce(self._logs(both)) - np.logaddexp.reduce(self._logs(known))

    def draw(self, known: Array, draws: np.random.Generator) -> Array:
        """known (N, a) -> (N, b)."""
        logs = self._logs(known)
        shares = np.cumsum(np.exp(logs - np.logaddexp.reduce(logs)), axis=0)
        which = (shares[:-1] < draws.random(len(known))).sum(0)
        noise = draws.standard_normal((len(known), self.own))
        found = np.empty((len(known), self.own))
        for k in np.unique(which):
            rows, a = which == k, self.known
            factor, mean = self.factors[k], self.means[k]
            along = whitened(known[rows] - mean[:a], factor[:a, :a])
            found[rows] = mean[a:] + along.T @ factor[a:, :a].T + noise[rows] @ factor[a:, a:].T
        return found

    def _logs(self, x: Array) -> Array:
        """x (N, c), the first c units of (known, own) -> (K, N): ln of weight times density."""
        c = x.shape[1]
        return np.stack(
            [
                math.log(weight) + log_gaussian(x - mean[:c], factor[:c, :c])
                for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True)
            ]
        )


def fit(codes: Array, grid: Grid | None = None, seed: int = 0) -> CodeSampler | GridSampler:
    """Of codes (N, d), one of each training image: cell by cell, or of all units at once, as codes left out decide.

    Raises ValueError as code_sampler.fit.
    """
    codes = codes[:MOST_CODES_BEYOND] if np.ndim(codes) == 2 and codes.shape[1] > MOST_LATENTS else codes
    out, rest = left_out(len(codes), seed)
    if grid is None or len(out) < 2 or not np.isfinite(codes).all():
        return fit_codes(codes, seed)
    codes = np.asarray(codes, np.float64)
    tried: list[CodeSampler | GridSampler] = [fit_codes(codes[rest], seed)]
    tried += over_cells(codes[rest], grid, COMPONENTS, seed)
    scores = [one.log_density(codes[out]) for one in tried]
    chosen = simplest_as_good(scores)
    if chosen == 0:
        return fit_codes(codes, seed)
    nats, error = above_prior(scores[chosen], codes[out])
    (found,) = over_cells(codes, grid, [COMPONENTS[chosen - 1]], seed)
    return replace(found, left_out_nats=nats, left_out_se=error)


def from_arrays(arrays: Mapping[str, Array]) -> CodeSampler | GridSampler:
    """What `arrays` of either kind has written."""
    return GridSampler.from_arrays(arrays) if "cells" in arrays else CodeSampler.from_arrays(arrays)


def over_cells(codes: Array, grid: Grid, components: Sequence[int], seed: int = 0) -> list[GridSampler]:
    """Fit codes (N, d), at least 2, with a mixture over patches of each of these numbers of components."""
    centre, spread = codes.mean(0), codes.std(0)
    spread = np.where(spread > 0, spread, 1e-6)  # of units that never move
    before, cells = _parts((codes - centre) / spread, grid)
    patches = _patches(cells, seed)
    picture = _of_picture(before, seed) if grid.picture else None
    mixtures = [_mixture(patches, k, SHRINKAGE) for k in components]
    return [GridSampler(picture, mixture, grid.cells, centre, spread, len(codes)) for mixture in mixtures]


def _parts(z: Array, grid: Grid) -> tuple[Array, Array]:
    """Codes (N, d) -> of the picture (N, picture), of its cells (N, K, cells, cells)."""
    return z[:, : grid.picture], z[:, grid.picture :].reshape(len(z), -1, grid.cells, grid.cells)


def _of_picture(x: Array, seed: int) -> CodeSampler:
    """Of codes of the whole picture (N, d): as code_sampler.fit, or of components that differ in strength."""
    out, rest = left_out(len(x), seed)
    if len(rest) >= CODES_PER_COMPONENT * OF_PICTURE[0]:
        tried = [fit_codes(x[rest], seed), _mixture(x[rest], *OF_PICTURE)]
        if simplest_as_good([one.log_density(x[out]) for one in tried]) == 1:
            return _mixture(x, *OF_PICTURE)
    return fit_codes(x, seed)


def _patches(cells: Array, seed: int) -> Array:
    """(above, left, own) of at most so many cells, drawn from all images' cells that have both: (n, 3 K)."""
    places = len(cells), cells.shape[2] - 1, cells.shape[3] - 1
    total = math.prod(places)
    chosen = randomness(seed, total).permutation(total)[:MOST_PATCHES]
    image, above, left = np.unravel_index(chosen, places)
    own = cells[image, :, above + 1, left + 1]
    return np.concatenate([cells[image, :, above, left + 1], cells[image, :, above + 1, left], own], axis=1)


def _mixture(x: Array, components: int, shrinkage: float) -> CodeSampler:
    """EM on x (n, D), from groups as far from the mean as each other: what tells patches apart is strength.

    In float32, which takes half the time; FLOOR keeps covariances above its rounding.
    """
    n, d = x.shape
    centred = x - x.mean(0)
    to_units = towards_units(centred)
    shares = np.eye(components, dtype=np.float32)[np.argsort(np.argsort((centred**2).sum(1))) * components // n]
    near = x.astype(np.float32)
    for step in range(EM_STEPS if components > 1 else 1):
        counts = shares.sum(0, dtype=float) + 1e-9
        weights, means = counts / counts.sum(), (shares.T @ near).astype(float) / counts[:, None]
        own = np.empty((components, d, d))
        for k, count in enumerate(counts):
            moved = (near - means[k].astype(np.float32)) * np.sqrt(shares[:, k, None])
            own[k] = (moved.T @ moved).astype(float) / count
        common = (1 - to_units) * np.einsum("k,kij->ij", weights, own) + to_units * np.eye(d)
        scales = np.maximum(np.trace(own, axis1=1, axis2=2) / np.trace(common), FLOOR)
        towards = scales[:, None, None] * (shrinkage * common + FLOOR * np.eye(d))
        factors = np.linalg.cholesky((1 - shrinkage) * own + towards)
        if step + 1 < EM_STEPS and components > 1:
            shares = _shares(near, weights, means, factors)
    return CodeSampler(weights, means, factors, np.zeros_like(means), shrinkage, n)


def _shares(x: Array, weights: Array, means: Array, factors: Array) -> Array:
    """Of which component each of x (n, D) is: (n, K) float32."""
    logs = np.empty((len(x), len(weights)), np.float32)
    for k, (weight, mean, factor) in enumerate(zip(weights, means, factors, strict=True)):
        back = np.linalg.inv(factor).astype(np.float32)
        squares = np.square((x - mean.astype(np.float32)) @ back.T).sum(1)
        logs[:, k] = math.log(weight) - np.log(np.diag(factor)).sum() - 0.5 * squares
    return np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
