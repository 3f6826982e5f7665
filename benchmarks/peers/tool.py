"""vae-sweep itself, by its command line, with the network that all have: evaluation, pictures, files."""

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.task import ONE_CODE, Task
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
        *ONE_CODE,
        *precision,
    ]


def collect(task: Task) -> None:
    """The weights of the runs, where other peers put theirs. Not part of what is timed."""
    for run in load_sweep(Path(task.out) / "sweep").runs:
        lit, _ = load_lit(run.folder)
        task.save(run.config["loss"]["kl_weight"], lit.objective.vae)


if __name__ == "__main__":
    raise SystemExit(subprocess.call(command(Task.from_command_line())))
