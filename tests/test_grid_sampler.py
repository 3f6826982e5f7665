"""Samplers of grids of codes whose distribution is known: the prior, a stationary field, one of changing strength."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

from vae_sweep.evaluation.samples import grid_of
from vae_sweep.models import multi_rate, networks
from vae_sweep.models.bayesian import BayesianVAE
from vae_sweep.models.code_sampler import CodeSampler
from vae_sweep.models.code_sampler import fit as fit_codes
from vae_sweep.models.grid_sampler import Grid, GridSampler, fit, from_arrays, over_cells
from vae_sweep.runs.files import write_arrays

GRID = Grid(picture=3, cells=4)
IN_CELL = 2
LATENTS = GRID.picture + IN_CELL * GRID.cells**2
DOWN, RIGHT = 0.8, 0.6


def field(n: int, seed: int) -> np.ndarray:
    """Codes (n, 2, N, N) of a stationary Gaussian field."""
    return np.random.default_rng(seed).standard_normal((n, IN_CELL * GRID.cells**2)) @ np.linalg.cholesky(COVARIANCE).T


def covariance() -> np.ndarray:
    """The first channel goes on from cell to cell downwards, DOWN^|rows|, the second to the right, RIGHT^|columns|."""
    apart = np.abs(np.subtract.outer(np.arange(GRID.cells), np.arange(GRID.cells)))
    return block_diag(np.kron(DOWN**apart, np.eye(GRID.cells)), np.kron(np.eye(GRID.cells), RIGHT**apart))


COVARIANCE = covariance()


def with_picture(cells: np.ndarray, seed: int) -> np.ndarray:
    picture = np.random.default_rng([seed, 1]).standard_normal((len(cells), GRID.picture))
    return np.concatenate([2 * picture + 1, cells.reshape(len(cells), -1)], axis=1)


def switching(n: int, seed: int) -> np.ndarray:
    """Quiet pictures and loud ones: each cell alike the whole, no two of them correlated."""
    rng = np.random.default_rng(seed)
    strength = rng.choice([0.1, 2.0], n)
    return with_picture(strength[:, None] * rng.standard_normal((n, IN_CELL * GRID.cells**2)), seed)


def test_codes_that_are_the_prior_give_one_gaussian_of_all_units() -> None:
    found = fit(np.random.default_rng(0).standard_normal((200, LATENTS)), GRID)
    assert isinstance(found, CodeSampler)
    assert found.components == 1
    assert found.left_out_nats == pytest.approx(0, abs=0.5)


def test_any_gaussian_of_many_images_stays_one_gaussian_of_all_units() -> None:
    """No grid is seen in it: what is left out of the fit is no likelier cell by cell."""
    codes = np.random.default_rng(0).standard_normal((300, LATENTS))
    codes = codes @ np.random.default_rng(1).standard_normal((LATENTS, LATENTS))
    found = fit(codes, GRID)
    assert isinstance(found, CodeSampler)
    assert found.log_density(codes) == pytest.approx(fit_codes(codes).log_density(codes))


def test_a_stationary_field_of_few_images() -> None:
    """60 images: nearer to the true density than the covariance of all units is, and draws with its covariance."""
    codes, fresh = (with_picture(field(n, seed), seed) for n, seed in ((60, 0), (500, 1)))
    found = fit(codes, GRID)
    assert isinstance(found, GridSampler)
    of_picture = multivariate_normal(np.ones(GRID.picture), 4 * np.eye(GRID.picture))
    truth = of_picture.logpdf(fresh[:, : GRID.picture]).mean()
    truth += multivariate_normal(cov=COVARIANCE).logpdf(fresh[:, GRID.picture :]).mean()
    behind = truth - found.log_density(fresh).mean()
    assert 0 < behind < 0.35 * (truth - fit_codes(codes).log_density(fresh).mean())
    drawn = over_cells(with_picture(field(1000, 2), 2), GRID, [1])[0].sample(3000)
    assert drawn[:, : GRID.picture].mean(0) == pytest.approx(np.ones(3), abs=0.15)
    apart = np.abs(np.cov(drawn[:, GRID.picture :].T) - COVARIANCE)
    assert apart.max() < 0.25
    assert apart.mean() < 0.04


def test_pictures_that_are_quiet_or_loud() -> None:
    """One Gaussian cannot have them; cell by cell, a loud one is drawn loud and a quiet one quiet, and none between."""
    found = fit(switching(300, 0), GRID)
    assert isinstance(found, GridSampler)
    assert found.components > 1
    fresh = switching(300, 1)
    assert found.log_density(fresh).mean() > fit_codes(switching(300, 0)).log_density(fresh).mean() + 10
    assert found.left_out_nats > 10
    strength = found.sample(500)[:, GRID.picture :].std(1)
    assert (strength < 0.3).mean() == pytest.approx(0.5, abs=0.1)
    assert ((strength > 0.5) & (strength < 1)).mean() < 0.05


def test_few_pictures_whose_codes_are_quiet_or_loud() -> None:
    """Fewer than one mixture's covariances want: components that share a shape and differ in strength."""
    grid = Grid(40, 2)

    def codes(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        strength = rng.choice([0.2, 2.0], n)
        return np.concatenate([strength[:, None] * rng.standard_normal((n, 40)), rng.standard_normal((n, 4))], axis=1)

    found = over_cells(codes(110, 0), grid, [1])[0]
    gain = found.log_density(codes(200, 1)) - fit_codes(codes(110, 0)).log_density(codes(200, 1))
    assert gain.mean() > 20
    strength = found.sample(400)[:, :40].std(1)
    assert (strength < 0.5).mean() == pytest.approx(0.5, abs=0.1)
    assert ((strength > 0.5) & (strength < 1)).mean() < 0.05


def test_its_density_is_the_mixture_s_conditionals() -> None:
    """On a grid of two by two, by the chain rule from joint densities of scipy's."""
    small = Grid(0, 2)
    codes = np.random.default_rng(0).standard_t(4, (400, 4)) @ np.random.default_rng(1).standard_normal((4, 4))
    found = over_cells(codes, small, [3])[0]
    x = (codes[:5] - found.centre) / found.spread

    def joint(kept: list[int], values: np.ndarray) -> np.ndarray:
        """Of (above, left, own) those that are kept."""
        logs = [
            math.log(w) + multivariate_normal(m[kept], (f @ f.T)[np.ix_(kept, kept)]).logpdf(values)
            for w, m, f in zip(found.patches.weights, found.patches.means, found.patches.factors, strict=True)
        ]
        return np.logaddexp.reduce(logs)

    expected = joint([2], x[:, 0])
    expected += joint([1, 2], x[:, [0, 1]]) - joint([1], x[:, 0])
    expected += joint([0, 2], x[:, [0, 2]]) - joint([0], x[:, 0])
    expected += joint([0, 1, 2], x[:, [1, 2, 3]]) - joint([0, 1], x[:, [1, 2]])
    assert found.log_density(codes[:5]) == pytest.approx(expected - np.log(found.spread).sum(), rel=1e-6)


def test_the_same_again_and_through_a_file(tmp_path: Path) -> None:
    codes = switching(200, 0)
    found = over_cells(codes, GRID, [2])[0]
    drawn = found.sample(20, seed=1)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, over_cells(codes, GRID, [2])[0].sample(20, seed=1))
    assert not np.array_equal(drawn, found.sample(20, seed=2))
    write_arrays(tmp_path / "sampler.npz", found.arrays() | {"step": np.array(3)})
    with np.load(tmp_path / "sampler.npz", allow_pickle=False) as arrays:
        back = from_arrays(arrays)
    assert isinstance(back, GridSampler)
    assert np.allclose(back.sample(20, seed=1), drawn, atol=1e-3)
    assert back.log_density(codes) == pytest.approx(found.log_density(codes), rel=1e-3)
    assert (back.components, back.codes) == (found.components, 200)
    mean, spread = back.marginals()
    assert mean == pytest.approx(codes.mean(0), abs=1e-5)
    assert spread == pytest.approx(codes.std(0), rel=1e-5)
    assert isinstance(from_arrays(fit_codes(codes).arrays()), CodeSampler)  # as runs have it whose codes are no grid


@pytest.mark.parametrize("n", [2, 5, 10, 12])
def test_a_few_codes_or_units_that_never_move(n: int) -> None:
    codes = switching(n, 0)
    codes[:, -3:] = 7
    found = fit(codes, GRID).sample(10)
    assert np.isfinite(found).all()
    assert found[:, -1] == pytest.approx(np.full(10, 7), abs=1e-3)
    with pytest.raises(ValueError, match="at least 2 finite codes"):
        fit(np.full((n, LATENTS), np.nan), GRID)


def test_where_a_network_s_latents_lie() -> None:
    on_grid = networks.conv((3, 16, 16), 64 + 2 * 16, latent_grid=4, linear_path=True, channels=4)
    assert grid_of(on_grid) == Grid(64, 4)
    assert grid_of(multi_rate.MultiRateVAE(on_grid, 1.0, (0.1, 10.0)).at(0.5)) == Grid(64, 4)
    assert grid_of(BayesianVAE(on_grid)) == Grid(64, 4)
    assert grid_of(networks.conv((3, 16, 16), 12, channels=4)) is None
    assert grid_of(networks.conv((3, 16, 16), 12, latent_grid=1, linear_path=True, channels=4)) is None
    assert grid_of(torch.nn.Linear(1, 1)) is None
    # The latents of a cell are those that act on its part of the picture.
    z = torch.zeros(2, 96)
    z[1, 64 + 16 + 4 * 2 + 3] = 50.0  # second channel, third row, fourth column
    decoder = networks.conv((3, 16, 16), 96, latent_grid=4, linear_path=True, channels=4).decoder
    torch.nn.init.normal_(decoder.cell_decode.weight, generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr,arg-type]
    still, moved = decoder(z)
    assert [bool(p.abs().max() > 1) for p in ((moved - still)[:, 8:12, 12:], (moved - still)[:, :8, :12])] == [
        True,
        False,
    ]
