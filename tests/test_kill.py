"""SIGKILL and full disks at random moments: a sweep that meets them again and again ends with the very numbers of one
that did not. campaign.py has the larger campaigns of docs/reliability.md."""

import contextlib
import os
import random
import signal
import time

import pytest
from campaign import (
    TIMEOUT_S,
    Sweep,
    campaign_of_full_disks,
    campaign_of_kills,
    can_mount,
    compared,
    differing,
    draw_pictures,
)
from waiting import wait_until

from vae_sweep.runs.files import read_json
from vae_sweep.runs.reading import load_sweep

pytestmark = pytest.mark.slow

OVERRIDES = [
    "loss.kl_weight=1,0.1,0.01", "kl_schedule=linear", "model.latent_dim=2,3", "model.channels=4", "data=image_folder",
    "data.image_size=16", "data.batch_size=16", "trainer.max_epochs=150", "trainer.accelerator=cpu",
    "trainer.precision=32", "trainer.checkpoint_every_s=0.1", "trainer.evaluate=false", "logger.wandb=disabled",
    "launcher.jobs=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("pictures"), 120)


def survive_a_kill(sweep, chance):
    """Start it, kill the parent or a worker at a random moment, and see all processes end."""
    with sweep.started() as process:
        kill_some_time(sweep, process, chance)


def kill_some_time(sweep, process, chance):
    begin = time.monotonic()
    if chance.random() < 0.3:  # while it starts: imports, decoding, the manifest
        until, rows = begin + chance.uniform(0.2, 6), None
    else:  # while it trains
        until, rows = begin + TIMEOUT_S, sweep.rows() + chance.randint(1, 60)
    wait_until(
        lambda: process.poll() is not None or time.monotonic() > until or (rows is not None and sweep.rows() >= rows),
        "a moment",
        TIMEOUT_S,
    )
    workers = [pid for pid in sweep.processes() if pid != process.pid]
    victim = chance.choice(workers) if workers and chance.random() < 0.5 else process.pid
    assert process.poll() is None, "the sweep was over before the kill: it must be longer"
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    if victim != process.pid:  # and the parent, when it has noticed, or before
        pause = time.monotonic() + chance.uniform(0, 0.5)
        wait_until(lambda: process.poll() is not None or time.monotonic() > pause, "a pause")
        process.kill()


@pytest.mark.parametrize(("pack", "kills"), [("off", 12), (3, 13)])
def test_killed_again_and_again_it_ends_with_the_same_numbers(tmp_path, pictures, pack, kills):
    chance = random.Random(f"{pack}")
    overrides = [*OVERRIDES, f"launcher.pack={pack}"]
    whole, interrupted = (Sweep(tmp_path / name, pictures, overrides) for name in ("whole", "killed"))
    whole.finish()
    for _ in range(kills):
        survive_a_kill(interrupted, chance)
    interrupted.finish()

    expected, found = load_sweep(whole.outputs), load_sweep(interrupted.outputs)
    assert found.manifest["plan"] == expected.manifest["plan"]
    assert {run.status for run in found.runs} == {"done"}
    assert differing(compared(interrupted), compared(whole)) == []
    for path in interrupted.outputs.rglob("*.json"):
        read_json(path)


def test_whichever_process_is_killed_nothing_is_left_and_nothing_is_other(tmp_path):
    moments, other = campaign_of_kills(tmp_path, 3, seed=1)
    assert (other, [moment.what for moment in moments]) == ([], ["parent", "worker", "fork server"])
    assert sum(moment.orphans + moment.tracebacks for moment in moments) == 0


@pytest.mark.skipif(not can_mount(), reason="no mounts here, nor in a user namespace")
def test_a_disk_that_is_full_at_any_moment_is_said_to_be_and_nothing_is_other(tmp_path):
    moments, other = campaign_of_full_disks(tmp_path, 3, seed=1)
    assert other == []
    assert len(moments) == 3
