"""Pictures of a run while it trains: the evaluation's own at the end, and the same of a continued run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.snapshots import SNAPSHOTS, snapshot_steps
from vae_sweep.training.train import train_pack

SmallSweep = Callable[..., tuple[Path, list[str]]]
COMMON = [
    "trainer.evaluate=true",
    "trainer.max_steps=40",
    "trainer.precision=32",
    "optimizer.lr=5e-3",
    "trainer.val_every_n_epochs=1",
]


@pytest.mark.slow
def test_the_last_picture_is_the_evaluation_s(small_sweep: SmallSweep) -> None:
    # One code per picture: the default network has nothing to learn in so few steps, as it begins at a closed form.
    common = [*COMMON, "model.latent_grid=1", "model.linear_path=false"]
    sweep, ids = small_sweep([*common, "seed=0"], [*common, "loss.kl_weight=0.1"])
    train_pack(sweep, ids)
    for run in load_sweep(sweep).runs:
        during, end = run.arrays("progress.npz"), run.arrays()
        assert during["steps"][-1] == 40
        assert len(during["steps"]) == len(during["recon_mean"]) > 2
        assert np.abs(during["recon_mean"][-1].astype(int) - end["recon_mean"]).max() <= 1
        assert np.abs(during["originals"].astype(int) - end["originals"]).max() <= 1
        errors = ((during["recon_mean"].astype(float) - during["originals"]) ** 2).mean((1, 2, 3, 4))
        assert errors[-1] < errors[0]  # it has learned since


@pytest.mark.slow
def test_a_continued_run_has_the_pictures_of_an_uninterrupted_one(small_sweep: SmallSweep) -> None:
    common = [*COMMON, "model.channels=2"]
    whole, ids = small_sweep(common, name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep(common, name="parts")
    polled = iter(range(1, 1000))
    train_pack(parts, ids, should_stop=lambda: next(polled) >= 15)
    train_pack(parts, ids)
    (one, other) = (load_sweep(folder).runs[0].arrays("progress.npz") for folder in (whole, parts))
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_without_evaluation_there_are_none(small_sweep: SmallSweep) -> None:
    sweep, ids = small_sweep(["trainer.evaluate=false"])
    train_pack(sweep, ids)
    assert load_sweep(sweep).runs[0].arrays("progress.npz") == {}


@pytest.mark.parametrize("validations", [1, 2, 11, 12, 13, 500])
def test_few_steps_are_chosen_evenly_with_both_ends(validations: int) -> None:
    steps = [10 * k for k in range(1, validations + 1)]
    chosen = sorted(snapshot_steps(steps))
    assert len(chosen) == min(SNAPSHOTS, validations)
    assert {steps[0], steps[-1]} & set(chosen) == {steps[0], steps[-1]} or validations == 1
    assert max(np.diff(chosen), default=0) <= 10 * np.ceil(validations / (SNAPSHOTS - 1))
