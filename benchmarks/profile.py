"""Where the time of a run goes, part by part.

python3 -m benchmarks.profile

One run of the default network in this process, one thread. Each part's clock stands still while a part inside it runs.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Table, parser, publish
from benchmarks.members import config_of, trained_here
from vae_sweep.data.batches import Images
from vae_sweep.models.objective import Objective
from vae_sweep.runs.files import read_json
from vae_sweep.runs.writing import RunFiles
from vae_sweep.training import pack, train
from vae_sweep.training.lit_vae import LitVAE
from vae_sweep.training.pack import Training

# What is called in the run, and the part that it is. Validation's forward passes count as validation.
PARTS: dict[str, list[tuple[Any, str]]] = {
    "data": [(Images, "__getitem__")],
    "noise": [(LitVAE, "noise")],
    "forward": [(Objective, "forward")],
    "backward": [(LitVAE, "manual_backward")],
    "optimiser": [(LitVAE, "update")],
    "means of the rows": [(LitVAE, "count")],
    "rows": [(RunFiles, "log_metrics")],
    "validation": [(LitVAE, "validation_step"), (LitVAE, "on_validation_epoch_end")],
    "checkpoints": [(Training, "_save")],
    "evaluation": [(pack, "evaluate")],
    "pictures": [(pack, "reconstruction_sheet")],
    "loading the data": [(train, "load_data")],
    "making the network": [(train, "build")],
}
OWN_CLOCK = ("validation", "evaluation")  # nothing inside them is a part of its own


class Stopwatch:
    """Seconds per part, each without the parts inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def wrap(self, owner: Any, name: str, part: str) -> None:
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._turn(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._turn(None)

        setattr(owner, name, timed)

    def _turn(self, part: str | None) -> None:
        """Enter a part, or (None) leave the innermost."""
        now = time.perf_counter()
        if self._running:
            own = next((name for name in self._running if name in OWN_CLOCK), self._running[-1])
            self.seconds[own] += now - self._since
        if part is None:
            self._running.pop()
        else:
            self._running.append(part)
        self._since = now


def measure(quick: bool) -> list[Table]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        epochs = "trainer.max_steps=5" if quick else "trainer.max_epochs=5"
        config = config_of(epochs, "logger.wandb=disabled", "trainer.accelerator=cpu", f"output_dir={scratch}")
        watch = Stopwatch()
        for part, calls in PARTS.items():
            for owner, name in calls:
                watch.wrap(owner, name, part)
        began = time.perf_counter()
        trained_here(config)
        whole = time.perf_counter() - began
        result = next(Path(scratch).glob("*/0*"))
        steps = read_json(result / "result.json")["steps"]
    seconds = dict(watch.seconds) | {"all else (plan, forecast, Lightning, files)": whole - sum(watch.seconds.values())}
    seconds["start-up (imports, in a process of its own)"] = imports()
    rows = [
        {
            "part": part,
            "seconds": value,
            "share": f"{value / sum(seconds.values()):.1%}",
            "ms per step": 1e3 * value / steps,
        }
        for part, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    return [Table(f"Profile of a run of {steps} steps", rows)]


def imports() -> float:
    """Wall time of a Python that imports what a worker does."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import vae_sweep.training.train"], check=True, env=dict(os.environ))
    return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
