"""What a step of a run costs beside the same step of a bare PyTorch loop.

python3 -m benchmarks.overhead

Both train the same network on the same images, in one process with one thread. The tool asks after every step whether
it should stop; every few steps it is answered only after the bare loop has done as many. So both meet the same machine,
and what is compared are sums over many turns. Rows, validations and checkpoints are on and counted where they fall; the
bare loop validates as often. What a run costs besides its steps (plan, files, evaluation, pictures) stands apart.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Table, parser, publish
from benchmarks.members import SMALL, OneThread, config_of, small_paintings, trained_here
from benchmarks.peers.bare import BareLoop
from vae_sweep.engine.slots import thread_environment
from vae_sweep.sweep.run_sweep import load_images
from vae_sweep.training.build import build
from vae_sweep.training.device import multiplies_bfloat16

STEPS = {"default": 2400, "small": 24_000}
TURN = {"default": 15, "small": 100}  # steps; then the other has its turn


def measure(quick: bool) -> list[Table]:
    torch.set_num_threads(1)
    os.environ |= thread_environment(1)  # as a worker has it
    rows = []
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        networks = {"default": (), "small": ("data=arrays", small_paintings(Path(scratch)), *SMALL)}
        for precision in ("bf16", "32") if multiplies_bfloat16("cpu") else ("32",):
            for network, overrides in networks.items():
                turns = 3 if quick else STEPS[network] // TURN[network]
                folder = Path(scratch) / f"{network}-{precision}"
                asked = [*overrides, f"trainer.precision={precision}", f"output_dir={folder}", "sweep=sweep"]
                rows.append({"network": network, "precision": precision} | side_by_side(asked, turns, TURN[network]))
    notes = [
        "Milliseconds per step, rows every 10 steps, validation every epoch, checkpoints every minute included. "
        "*ratio*: of the sums; *median*: of the turns. *besides*: seconds of a run that are not steps."
    ]
    return [Table("Overhead per step", rows, notes)]


def side_by_side(overrides: Sequence[str], turns: int, steps: int) -> dict[str, Any]:
    """A run of `turns` times `steps` steps, and the bare loop in between."""
    total = turns * steps + 1
    config = config_of(*overrides, f"trainer.max_steps={total}", "logger.wandb=disabled", "trainer.accelerator=cpu")
    bare = _BareRun(config)
    place = Turns(steps, bare)
    began = time.perf_counter()
    trained_here(config, place=place)
    whole = time.perf_counter() - began
    own, other = place.own_s, place.other_s[: len(place.own_s)]
    return {
        "bare (ms)": 1e3 * sum(other) / len(other) / steps,
        "run (ms)": 1e3 * sum(own) / len(own) / steps,
        "ratio": sum(own) / sum(other),
        "median": statistics.median(a / b for a, b in zip(own, other, strict=True)),
        "steps": total,
        "besides (s)": whole - sum(own) - sum(place.other_s),
    }


class _BareRun:
    """The bare loop on the images and the first weights of a member, validating after every epoch."""

    def __init__(self, config: Mapping[str, Any]):
        data = load_images(config["data"])
        lit = build(config, data.shape, len(data.train))
        self.val = torch.from_numpy(data.images[data.val])
        self.loop = BareLoop(
            lit.objective.vae,
            torch.from_numpy(data.images[data.train]),
            config["data"]["batch_size"],
            config["trainer"]["max_steps"],
            bf16=config["trainer"]["precision"] == "bf16",
        )
        self.loop.train(3)

    @torch.inference_mode(False)  # the tool may be in its validation when it asks
    @torch.enable_grad()
    def __call__(self, steps: int) -> None:
        before = self.epoch
        self.loop.train(steps)
        for _ in range(before, self.epoch):
            self.loop.validate(self.val)

    @property
    def epoch(self) -> int:
        return self.loop.step * self.loop.batch_size // len(self.loop.pixels)


class Turns(OneThread):
    """Trains in this process; after every `steps` steps `other(steps)` has its turn."""

    def __init__(self, steps: int, other: Callable[[int], None]):
        self.steps = steps
        self.other = other
        self.own_s: list[float] = []
        self.other_s: list[float] = []
        self._polls = 0
        self._since = 0.0

    def after_a_step(self) -> bool:
        """The first step warms up and is not counted. Never to be stopped."""
        self._polls += 1
        if self._polls % self.steps == 1:
            now = time.perf_counter()
            if self._polls > 1:
                self.own_s.append(now - self._since)
            self.other(self.steps)
            self._since = time.perf_counter()
            self.other_s.append(self._since - now)
        return False


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
