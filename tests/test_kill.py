"""SIGKILL at random moments: a sweep that is killed again and again ends with the very numbers of one that was not."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from waiting import wait_until

from vae_sweep.runs.files import read_json
from vae_sweep.runs.reading import load_sweep

pytestmark = pytest.mark.slow
MARK = "VAE_SWEEP_KILL_TEST"  # in the environment of every process that the sweep starts
TIMEOUT_S = 600

OVERRIDES = [
    "loss.kl_weight=1,0.1,0.01", "kl_schedule=linear", "model.latent_dim=2,3", "model.channels=4", "data=image_folder",
    "data.image_size=16", "data.batch_size=16", "trainer.max_epochs=150", "trainer.accelerator=cpu",
    "trainer.precision=32", "trainer.checkpoint_every_s=0.1", "trainer.evaluate=false", "logger.wandb=disabled",
    "launcher.jobs=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    randomness = np.random.default_rng(0)
    for number in range(120):
        quarters = randomness.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(quarters).resize((200, 200), Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    return folder


class Sweep:
    """The command that begins and continues one sweep, and the processes it starts."""

    def __init__(self, folder, pictures, pack):
        self.folder = folder
        self.cache = folder / "cache"
        self.output = folder / "output.txt"
        self.mark = f"{os.getpid()}-{folder}"
        self.command = [
            sys.executable, "-m", "vae_sweep.run", "-m", *OVERRIDES, f"data.root={pictures}",
            f"data.cache_dir={self.cache}", f"launcher.pack={pack}", "sweep=s",
        ]  # fmt: skip

    @property
    def outputs(self):
        return self.folder / "outputs" / "s"

    @contextlib.contextmanager
    def started(self):
        """The process of the command; afterwards nothing of it is left."""
        with open(self.output, "wb") as output:
            process = subprocess.Popen(
                self.command, cwd=self.folder, env=os.environ | {MARK: self.mark}, stdout=output, stderr=output
            )
        try:
            yield process
            process.wait(timeout=TIMEOUT_S)
            wait_until(lambda: not self.processes(), "all processes to end")
        finally:
            process.kill()

    def finish(self):
        with self.started() as process:
            pass
        assert process.returncode == 0, self.output.read_text()

    def processes(self):
        """Pids of all processes of the sweep."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:  # it has ended meanwhile, or is not ours
                continue
        return found

    def rows(self):
        return sum(path.read_bytes().count(b"\n") for path in self.outputs.glob("*/metrics.jsonl"))

    def survive_a_kill(self, chance):
        """Start it, kill the parent or a worker at a random moment, and see all processes end."""
        with self.started() as process:
            self.kill_some_time(process, chance)

    def kill_some_time(self, process, chance):
        begin = time.monotonic()
        if chance.random() < 0.3:  # while it starts: imports, decoding, the manifest
            until, rows = begin + chance.uniform(0.2, 6), None
        else:  # while it trains
            until, rows = begin + TIMEOUT_S, self.rows() + chance.randint(1, 60)
        wait_until(
            lambda: (
                process.poll() is not None or time.monotonic() > until or (rows is not None and self.rows() >= rows)
            ),
            "a moment",
            TIMEOUT_S,
        )
        workers = [pid for pid in self.processes() if pid != process.pid]
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
    whole, killed = (Sweep(tmp_path / name, pictures, pack) for name in ("whole", "killed"))
    for sweep in (whole, killed):
        sweep.folder.mkdir()
    whole.finish()
    for _ in range(kills):
        killed.survive_a_kill(chance)
    killed.finish()

    expected, found = load_sweep(whole.outputs), load_sweep(killed.outputs)
    assert found.manifest["plan"] == expected.manifest["plan"]
    assert [run.folder.name for run in found.runs] == [run.folder.name for run in expected.runs]
    for run, reference in zip(found.runs, expected.runs, strict=True):
        assert (run.status, run.metrics) == ("done", reference.metrics)
        assert without_times(run.rows()) == without_times(reference.rows())
        assert files(run.folder) == files(reference.folder)
        weights, reference_weights = (
            torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for folder in (run.folder, reference.folder)
        )
        assert weights.keys() == reference_weights.keys()
        assert all(torch.equal(weights[name], reference_weights[name]) for name in weights)
    for path in killed.outputs.rglob("*.json"):
        read_json(path)


def without_times(rows):
    return [{key: value for key, value in row.items() if key != "time_s"} for row in rows]


def files(folder):
    """Names below a run's folder, without what only a continued run has."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "previous.ckpt"}
