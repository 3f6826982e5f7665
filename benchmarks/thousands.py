"""Thousands of members: what planning, training, continuing, stopping and reporting cost beside the training itself.

python3 -m benchmarks.thousands [--members 100 1000 10000]

The members only wait (benchmarks.simulated); processes, folders, files and events are those of any sweep, one member to
a pack. *plan*: from the shell to the plan on disk, before anything trains. *settle*: from there to the end, less the
waiting. *again*: the same command, with nothing left to do. *Ctrl-C*: from the signal to the end of a sweep in which
all but the first members wait in the queue. *parent*: its largest resident memory. Linux only.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Table, parser, publish
from benchmarks.members import small_paintings
from benchmarks.memory import _field

MEMBERS = (100, 1000, 10_000)
WEIGHTS = ("3", "1", "0.5", "0.3", "0.2", "0.1", "0.05", "0.03", "0.02", "0.01")


def measure(members: Sequence[int], pictures: bool = True) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        rows = [_row(count, Path(scratch), pictures) for count in members]
    notes = ["Seconds of wall time, megabytes; each run's evaluation holds 16 pictures of 32x32."]
    return [Table("Members that only wait", rows, notes)]


def _row(count: int, scratch: Path, pictures: bool) -> dict[str, Any]:
    command = _command(count, scratch, [f"+model.pictures={str(pictures).lower()}"])
    folder = scratch / f"of-{count}"
    plan, whole, parent = _watched(command, folder / "sweep.json")
    _, again, _ = _watched(command, folder / "sweep.json")
    _, report, reporter = _watched([sys.executable, "-m", "vae_sweep.report", str(folder)], folder / "nothing")
    page = sum(path.stat().st_size for path in (folder / "report").glob("*.html"))
    return {
        "members": float(count),
        "plan (s)": plan,
        "plan (ms a member)": 1e3 * plan / count,
        "settle (s)": whole - plan,
        "settle (ms a member)": 1e3 * (whole - plan) / count,
        "again (s)": again,
        "Ctrl-C (s)": _interrupted(count, scratch),
        "parent (MB)": parent / 1e6,
        "report (s)": report,
        "report (MB)": reporter / 1e6,
        "page (MB)": page / 1e6,
    }


def _command(count: int, scratch: Path, more: Sequence[str]) -> list[str]:
    weights = WEIGHTS[: min(len(WEIGHTS), count)]
    return [
        *(sys.executable, "-m", "vae_sweep.run", "-m", "+hydra.launcher.target=benchmarks.simulated:train_pack"),
        *("data=arrays", small_paintings(scratch), "model=own", "model._target_=benchmarks.networks.small"),
        "model.latent_dim=8",
        *(f"loss.kl_weight={','.join(weights)}", f"seed=range(0,{count // len(weights)})", "launcher.pack=off"),
        *("logger.wandb=disabled", "trainer.accelerator=cpu", f"output_dir={scratch}", f"sweep=of-{count}", *more),
    ]


def _watched(command: Sequence[str], file: Path) -> tuple[float, float, float]:
    """(seconds until `file` was there, seconds to the end, largest resident bytes). Raises RuntimeError."""
    began, there, largest = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        largest = max(largest, _field(process.pid, "status", "VmHWM"))
        there = there or (time.perf_counter() - began if file.exists() else 0.0)
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(process.communicate()[1][-2000:])
    return there, time.perf_counter() - began, largest


def _interrupted(count: int, scratch: Path) -> float:
    """Seconds from Ctrl-C to the end."""
    command = _command(count, scratch, ["+model.sleep_s=1e6", f"sweep=stopped-{count}"])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any((scratch / f"stopped-{count}").glob("0*/metrics.jsonl")):
        time.sleep(0.2)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    if process.wait() != 130:
        raise RuntimeError(f"the sweep ended with {process.returncode}")
    return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__)
    asked.add_argument(
        "--members", type=int, nargs="+", default=MEMBERS, help="numbers of members (default: all three)"
    )
    found = asked.parse_args(argv)
    publish(measure((10,) if found.quick else found.members), found.json)


if __name__ == "__main__":
    main()
