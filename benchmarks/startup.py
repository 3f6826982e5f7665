"""How long one waits: for help, for a refusal, for the first step of a run, for each further member of a slot.

python3 -m benchmarks.startup
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Table, parser, publish
from vae_sweep.runs.files import read_rows

TOOL = (sys.executable, "-m", "vae_sweep.run")
QUIET = ("logger.wandb=disabled", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "trainer.evaluate=false")


def measure(quick: bool) -> list[Table]:
    rounds = 1 if quick else 5
    rows = [
        {"what": what, "seconds": statistics.median(shell(*words) for _ in range(rounds)), "at most": 1.0}
        for what, words in {
            "--help": ("--help",),
            "a key that does not exist": ("loss.kl_wieght=1",),
            "a value that cannot be": ("-m", "loss.kl_weight=1,-1"),
            "--cfg job": ("--cfg", "job"),
        }.items()
    ]
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        firsts = [first_step(Path(scratch) / str(turn)) for turn in range(1 + rounds)][1:]  # the first paints
    for what, place, most in (("first step of a run", 0, 8.0), ("second member of a slot, to its first step", 1, None)):
        rows.append({"what": what, "seconds": statistics.median(first[place] for first in firsts), "at most": most})
    return [Table("Waiting", rows)]


def shell(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([*TOOL, *words], check=False, capture_output=True)
    return time.perf_counter() - began


def first_step(folder: Path) -> tuple[float, float]:
    """Seconds from the shell to the first member's first row, and from its end to the second's, both in one slot."""
    began = time.time()
    words = ("-m", "loss.kl_weight=1,0.5", "trainer.max_steps=2", f"output_dir={folder}", "sweep=sweep")
    subprocess.run([*TOOL, *words, *QUIET, "launcher.jobs=1"], check=True, capture_output=True)
    first, second = sorted((folder / "sweep").glob("0*"))
    return _first_row(first) - began, _first_row(second) - os.path.getmtime(first / "result.json")


def _first_row(run: Path) -> float:
    """When it was written, seconds since the epoch: the file's last change less what came after."""
    rows = read_rows(run / "metrics.jsonl")
    return os.path.getmtime(run / "metrics.jsonl") - (rows[-1]["time_s"] - rows[0]["time_s"])


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
