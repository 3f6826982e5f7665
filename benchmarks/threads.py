"""How threads wait for one another: what a slot of several threads takes, alone and beside another load.

python3 -m benchmarks.threads

The threads of an OpenMP program meet many times a step. GNU's OpenMP, which torch brings, has those that come first
spin for some milliseconds before they sleep; workers have them sleep at once (`engine.slots.thread_environment`). The
other load is one busy process per core.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Table, parser, publish
from vae_sweep.cores import cores
from vae_sweep.runs.reading import load_sweep

# What libgomp does by itself, said so that workers leave it so; 300,000 is its own number of spins.
WAYS = {"spin, then sleep (libgomp's own)": {"GOMP_SPINCOUNT": "300000"}, "sleep (workers)": {}}


def measure(quick: bool) -> list[Table]:
    rounds, steps = (1, 4) if quick else (3, 150)
    taken: dict[tuple[str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        for turn in range(rounds):
            for name, environ in WAYS.items():
                for loaded in (False, True):
                    with _busy(cores() if loaded else 0):
                        seconds = trained(Path(scratch) / f"{turn}{len(taken)}{loaded}", steps, environ)
                    taken.setdefault((name, loaded), []).append(seconds)
    rows = [
        {"threads that wait": name}
        | {
            column: statistics.median(taken[name, loaded])
            for column, loaded in (("alone (s)", False), ("loaded (s)", True))
        }
        for name in WAYS
    ]
    note = (
        f"A run of {steps} steps of the default network on {cores()} threads, start-up not counted; medians of "
        f"{rounds} round(s), the rows in turn. *loaded*: beside {cores()} processes that never pause."
    )
    return [Table("Threads that wait", rows, [note])]


def trained(folder: Path, steps: int, environ: dict[str, str]) -> float:
    """Seconds that a run of the default network says it took, in a slot of all cores."""
    words = [f"trainer.max_steps={steps}", "trainer.evaluate=false", "trainer.accelerator=cpu", "logger.wandb=disabled"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    subprocess.run(
        [sys.executable, "-m", "vae_sweep.run", "-m", "launcher.jobs=1", *words, f"output_dir={folder}", "sweep=s"],
        check=True, capture_output=True, env=clean | environ,
    )  # fmt: skip
    (run,) = load_sweep(folder / "s").runs
    return float(run.result["wall_s"])


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
