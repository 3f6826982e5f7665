"""vae-sweep itself, by its command line, with the settings of the task: evaluation, pictures, files."""

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.task import Task
from vae_sweep.models.networks import VAE
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.loading import load_lit


def command(task: Task) -> list[str]:
    precision = [] if task.bf16 else ["trainer.precision=32"]
    return [
        *(sys.executable, "-m", "vae_sweep.run", "-m", "data=image_folder", f"data.root={task.root}"),
        f"loss.kl_weight={','.join(f'{weight:g}' for weight in task.kl_weights)}",
        f"trainer.max_epochs={task.epochs}",
        f"data.cache_dir={task.out}/cache",
        f"output_dir={task.out}",
        "sweep=sweep",
        *task.settings,
        *precision,
    ]


def networks(task: Task) -> dict[float, VAE]:
    """The runs' networks by KL weight. Not part of what is timed."""
    runs = load_sweep(Path(task.out) / "sweep").runs
    return {run.config["loss"]["kl_weight"]: load_lit(run.folder)[0].objective.vae for run in runs}


if __name__ == "__main__":
    raise SystemExit(subprocess.call(command(Task.from_command_line())))
