"""bfloat16 beside float32 on the same members: is the result as good, epoch by epoch?

python3 -m benchmarks.precision

The default network on the embedded paintings; three weights, two seeds. Two seeds of one precision show by how much
runs differ that differ in nothing that matters.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Table, parser, publish
from vae_sweep.runs.reading import Run, load_sweep

WEIGHTS = (1.0, 0.3, 0.1)
SEEDS = (0, 1)
EPOCHS = (1, 2, 5, 10, 15, 20)


def measure(quick: bool) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        short = [f"trainer.max_epochs={EPOCHS[1]}", "data.max_images=200", "trainer.evaluate=false"] if quick else []
        command = [
            *(sys.executable, "-m", "vae_sweep.run", "-m", "trainer.precision=32,bf16", "trainer.accelerator=cpu"),
            f"loss.kl_weight={','.join(map(str, WEIGHTS))}",
            f"seed={','.join(map(str, SEEDS))}",
            *("logger.wandb=disabled", f"output_dir={scratch}", "sweep=sweep", *short),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
        losses = {_key(run): _losses(run) for run in load_sweep(Path(scratch) / "sweep").runs}
    epochs = [epoch for epoch in EPOCHS if all(epoch in curve for curve in losses.values())]
    rows = [_row(losses, weight, epochs) for weight in WEIGHTS]
    notes = [
        "SSE + weight KL of held-out paintings after each epoch, means over two seeds: float32, and by how much "
        "bfloat16 is above it. *seeds*: by how much the second seed is above the first in float32, at the end."
    ]
    return [Table("bfloat16 beside float32", rows, notes)]


def _key(run: Run) -> tuple[str, float, int]:
    config = run.config
    return str(config["trainer"]["precision"]), config["loss"]["kl_weight"], config["seed"]


def _losses(run: Run) -> dict[int, float]:
    """By epoch, of the row written at its end."""
    return {round(row["epoch"]): row["val/loss"] for row in run.rows() if "val/loss" in row}


def _row(
    losses: dict[tuple[str, float, int], dict[int, float]], weight: float, epochs: Sequence[int]
) -> dict[str, Any]:
    row: dict[str, Any] = {"weight": weight}
    for epoch in epochs:
        full, half = (
            np.mean([losses[precision, weight, seed][epoch] for seed in SEEDS]) for precision in ("32", "bf16")
        )
        row[f"epoch {epoch}"] = f"{full:.1f} {100 * (half / full - 1):+.2f} %"
    first, second = (losses["32", weight, seed][epochs[-1]] for seed in SEEDS)
    return row | {"seeds": f"{100 * (second / first - 1):+.2f} %"}


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__ or "").parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
