"""Images per second of packs of 1 to 32 members on a GPU, how busy it was, and what the pack gained.

python3 -m benchmarks.gpu [--compile]          --device cpu: does it run at all?

Trained through the tool's own door: the data on the device, bfloat16, channels last, fused Adam, rows every 100 steps.
The device is waited for before and after the measured steps only. --compile: torch.compile of the objective of a lone
member (a pack's goes through vmap and stays as it is).
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import torch

from benchmarks.figures import Table, parser, publish
from benchmarks.members import SMALL, OneThread, config_of, small_paintings, trained_here
from vae_sweep.training import train

PACKS = (1, 2, 4, 8, 16, 32)
WARM_UP = 50
STEPS = 300


def measure(quick: bool, device: str, compiled: bool) -> list[Table]:
    if compiled:
        _compile_objectives()
    rows = []
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        networks = {"default": [], "small": ["data=arrays", small_paintings(Path(scratch)), *SMALL]}
        if quick:
            del networks["default"]
        for network, overrides in networks.items():
            alone = None
            for members in PACKS[:2] if quick else PACKS:
                where = [f"trainer.accelerator={device}", f"output_dir={scratch}", f"sweep={network}-{members}"]
                per_second, busy = images_per_second(members, [*overrides, *where], 5 if quick else STEPS)
                alone = alone or per_second
                row = {"network": network, "K": members, "images/s": per_second, "busy (%)": busy}
                rows.append(row | {"gain of the pack": per_second / alone})
                print(row, flush=True)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return [Table(f"Packs on {name}", rows, ["images/s: of all members together."])]


def images_per_second(members: int, overrides: Sequence[str], steps: int) -> tuple[float, float | None]:
    """(images of all members per second, mean utilisation of the GPU in % or None)"""
    words = [*overrides, f"launcher.pack={members}", f"trainer.max_steps={WARM_UP + steps + 1}"]
    words += ["trainer.val_every_n_epochs=1e6", "trainer.log_every_n_steps=100", "trainer.evaluate=false"]
    weights = torch.logspace(-2, 1, members).tolist()
    configs = [config_of(*words, f"loss.kl_weight={weight:.5g}", "logger.wandb=disabled") for weight in weights]
    clock = Clock(WARM_UP, steps)
    trained_here(*configs, place=clock)
    return members * configs[0]["data"]["batch_size"] * steps / clock.seconds, clock.busy


class Clock(OneThread):
    """Takes the time of `steps` steps after `warm_up` others."""

    def __init__(self, warm_up: int, steps: int):
        self.first, self.last = warm_up, warm_up + steps
        self.seconds = 0.0
        self.busy: float | None = None
        self._polls = 0

    def after_a_step(self) -> bool:
        self._polls += 1
        if self._polls in (self.first, self.last):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if self._polls == self.first:
                self._began, self._utilisation = time.perf_counter(), utilisation()
            else:
                self.seconds = time.perf_counter() - self._began
                self.busy = self._utilisation()
        return False


def utilisation() -> Callable[[], float | None]:
    """Begin to watch the first GPU; the function returned ends it and gives the mean, in %."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200", "--id=0"]
    try:
        watcher = subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:  # no driver
        return lambda: None

    def ended() -> float | None:
        watcher.terminate()
        seen = [float(line) for line in watcher.communicate()[0].split() if line.isdigit()]
        return mean(seen) if seen else None

    return ended


def _compile_objectives() -> None:
    build = train.build

    def compiled(*args, **kwargs):  # type: ignore[no-untyped-def]
        lit = build(*args, **kwargs)
        lit.objective.compile(mode="reduce-overhead")  # CUDA graphs: the launches of small kernels cost most
        return lit

    train.build = compiled


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    arguments.add_argument("--compile", action="store_true")
    asked = arguments.parse_args(argv)
    publish(measure(asked.quick, asked.device, asked.compile), asked.json)


if __name__ == "__main__":
    main()
