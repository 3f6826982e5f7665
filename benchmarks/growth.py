"""A sweep of many tiny members: does the last cost more than the first?

python3 -m benchmarks.growth

Members are trained one after another (launcher.pack=off) by one worker per core, so that whatever a member leaves
behind in its process adds up. Resident memory of the largest worker is noted as each result comes in.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import Table, parser, publish
from benchmarks.members import SMALL, small_paintings
from benchmarks.memory import resident, workers_of
from vae_sweep.runs.reading import load_sweep


def measure(quick: bool) -> list[Table]:
    members = 4 if quick else 100
    seconds, megabytes = grown(members)
    warm = members // 4  # the first import what is imported late
    rows = [
        {
            "members": f"{low + 1} to {high}",
            "s per member": float(np.median(seconds[low:high])),
            "largest worker (MB)": float(np.median(megabytes[low:high])),
        }
        for low, high in ((0, warm), (warm, 2 * warm), (2 * warm, 3 * warm), (3 * warm, members))
    ]
    slope_s, slope_mb = (np.polyfit(range(members - warm), values[warm:], 1)[0] for values in (seconds, megabytes))
    note = f"Per member after the first quarter: {1e3 * slope_s:+.2f} ms, {1e3 * slope_mb:+.0f} kB."
    return [Table(f"{members} members of a tiny network, one after another", rows, [note])]


def grown(members: int) -> tuple[list[float], list[float]]:
    """Wall time of each member's training, and megabytes of the worker when it had ended."""
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        weights = ",".join(f"{weight:.5g}" for weight in np.geomspace(0.01, 10, members))
        sweep = subprocess.Popen(
            [
                *(sys.executable, "-m", "vae_sweep.run", "-m", "data=arrays", small_paintings(Path(scratch)), *SMALL),
                *(f"loss.kl_weight={weights}", "trainer.max_steps=60", "launcher.pack=off"),
                *("logger.wandb=disabled", "trainer.accelerator=cpu", f"output_dir={scratch}", "sweep=sweep"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ended: list[float] = []  # megabytes when each was seen to have ended
        while sweep.poll() is None:
            done = sum(1 for _ in Path(scratch).glob("sweep/0*/evaluation.json"))
            largest = max((resident(worker) for worker in workers_of(sweep.pid)), default=0.0)
            ended += [largest / 1e6] * (done - len(ended))
            time.sleep(0.1)
        if sweep.returncode:
            raise RuntimeError(f"the sweep ended with {sweep.returncode}")
        seconds = [run.result["wall_s"] for run in load_sweep(Path(scratch) / "sweep").runs]
    ended += ended[-1:] * (members - len(ended))
    return seconds, ended


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
