"""One large member in two processes (DDP over gloo): the numbers of one process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vae_sweep.runs.files import read_rows
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.train import train_pack


def test_two_processes_train_what_one_does(small_sweep: Callable[..., tuple[Path, list[str]]]) -> None:
    common = ["trainer.max_steps=20", "trainer.precision=64", "kl_schedule=linear"]
    alone, ids = small_sweep(common, name="alone")
    train_pack(alone, ids)
    shared, ids = small_sweep([*common, "trainer.devices=2"], name="shared")
    (result,) = train_pack(shared, ids)
    assert result["status"] == "done"
    for one, two in zip(
        *(read_rows(load_sweep(folder).runs[0].folder / "metrics.jsonl") for folder in (alone, shared)), strict=True
    ):
        assert two | {"time_s": 0} == pytest.approx(one | {"time_s": 0}, rel=1e-9)


def test_two_processes_stop_together_and_continue(small_sweep: Callable[..., tuple[Path, list[str]]]) -> None:
    folder, ids = small_sweep(["trainer.max_steps=20", "trainer.devices=2"])
    polled = iter(range(1, 1000))
    (stopped,) = train_pack(folder, ids, should_stop=lambda: next(polled) >= 5)
    assert (stopped["status"], stopped["steps"]) == ("interrupted", 5)
    (finished,) = train_pack(folder, ids)
    assert (finished["status"], finished["steps"]) == ("done", 20)
