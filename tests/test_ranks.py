"""One large member in two processes (DDP over gloo): the numbers of one process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vae_sweep.runs.files import read_rows
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.loading import load_lit
from vae_sweep.training.train import train_pack


@pytest.mark.slow  # two processes that import torch
def test_two_processes_train_what_one_does_and_stop_together(
    small_sweep: Callable[..., tuple[Path, list[str]]],
) -> None:
    """Stopped and continued: both hear of it at the same step, or they would wait for one another for ever."""
    common = ["trainer.max_steps=20", "trainer.precision=64", "kl_schedule=linear", "model.channels=2"]
    common += ["data.batch_size=8", "trainer.keep=best", "trainer.ema=0.9"]
    alone, ids = small_sweep(common, name="alone")
    train_pack(alone, ids)
    shared, ids = small_sweep([*common, "trainer.devices=2"], name="shared")
    polled = iter(range(1, 1000))
    (stopped,) = train_pack(shared, ids, should_stop=lambda: next(polled) >= 5)
    assert (stopped["status"], stopped["steps"]) == ("interrupted", 5)
    (finished,) = train_pack(shared, ids)
    assert (finished["status"], finished["steps"]) == ("done", 20)
    for one, two in zip(
        *(read_rows(load_sweep(folder).runs[0].folder / "metrics.jsonl") for folder in (alone, shared)), strict=True
    ):
        assert two | {"time_s": 0} == pytest.approx(one | {"time_s": 0}, rel=1e-9)
    assert finished["metrics"] == pytest.approx(load_sweep(alone).runs[0].metrics, rel=1e-9)
    best, other = (load_lit(load_sweep(folder).runs[0].folder)[0].state_dict() for folder in (alone, shared))
    torch.testing.assert_close(other, best, rtol=1e-9, atol=1e-9)
