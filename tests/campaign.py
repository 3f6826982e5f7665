"""A sweep that is killed, or runs out of disk, at random moments, continued until it is done, and compared bit for bit.

    .venv/bin/python tests/campaign.py --kills 20 --full-disks 10        prints a table
    .venv/bin/python tests/campaign.py --kills 20 --forked               in a fraction of the time, in one process

Not a test; test_kill.py runs a few of each. Full disks are small tmpfs mounts in a namespace of their own.
"""

import argparse
import contextlib
import ctypes
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from waiting import wait_until

from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.checkpoints import LAST, load_checkpoint

MARK = "VAE_SWEEP_KILL_TEST"  # in the environment of every process that the sweep starts
TIMEOUT_S = 900
VICTIMS = ("parent", "worker", "fork server")

TINY = (
    "loss.kl_weight=1,0.1", "kl_schedule=linear", "model.latent_dim=2,3", "model.channels=4", "data=image_folder",
    "data.image_size=16", "data.batch_size=16", "trainer.max_steps=400", "trainer.accelerator=cpu",
    "trainer.precision=32", "trainer.checkpoint_every_s=0.05", "logger.wandb=disabled", "launcher.jobs=2",
)  # fmt: skip
TINIER = (
    *(word for word in TINY if word.split("=")[0] not in ("model.latent_dim", "trainer.max_steps")),
    "model.latent_dim=2", "trainer.max_steps=60", "hydra/launcher=basic",
)  # fmt: skip


def draw_pictures(folder: Path, count: int = 48) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    randomness = np.random.default_rng(0)
    for number in range(count):
        quarters = randomness.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(quarters).resize((200, 200), Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    return folder


class Sweep:
    """The command that begins and continues one sweep `s`, and the processes it starts.

    before: words in front of the command; outputs and the cache lie in `folder`, where the command runs.
    """

    def __init__(self, folder: Path, pictures: Path, overrides: Sequence[str] = TINY, before: Sequence[str] = ()):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.txt")  # of the last command
        self.mark = f"{os.getpid()}-{folder}"
        self.command = [
            *before, sys.executable, "-m", "vae_sweep.run", "-m", *overrides, f"data.root={pictures}",
            "data.cache_dir=cache", "sweep=s",
        ]  # fmt: skip

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs" / "s"

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process of the command; afterwards nothing of it is left."""
        with open(self.output, "wb") as output:
            process = subprocess.Popen(
                self.command, cwd=self.folder, env=os.environ | {MARK: self.mark}, stdout=output, stderr=output
            )
        try:
            yield process
            process.wait(timeout=TIMEOUT_S)
            wait_until(lambda: not self.processes(), "all processes to end")
        finally:
            process.kill()

    def ended(self) -> int:
        """The exit code of the command."""
        with self.started() as process:
            pass
        return process.returncode

    def finish(self) -> None:
        assert self.ended() == 0, self.said

    def processes(self) -> dict[int, str]:
        """Pid -> command line of all processes of the sweep."""
        mark = f"{MARK}={self.mark}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    words = path.with_name("cmdline").read_bytes().decode(errors="replace").split("\0")
                    found[int(path.parent.name)] = " ".join(words)
            except OSError:  # it has ended meanwhile, or is not ours
                continue
        return found

    def victims(self, kind: str, parent: int) -> list[int]:
        if kind == "parent":
            return [parent]
        servers = [pid for pid, words in self.processes().items() if "engine.fork_server" in words]
        if kind == "fork server":
            return [pid for pid in servers if parent_of(pid) == parent]
        return [pid for pid in servers if parent_of(pid) in servers]

    def rows(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.outputs.glob("*/metrics.jsonl"))


class Forked(Sweep):
    """The sweep trained by the command's own process, which is a copy of this one: nothing is imported again, so that
    a second of processor time is enough. disk_kib: of the file system that it gets for its folder, which is copied to
    `kept` when the command ends."""

    def __init__(self, folder: Path, pictures: Path, disk_kib: int | None = None, kept: Path | None = None):
        super().__init__(folder, pictures, TINIER)
        self.disk_kib, self.kept = disk_kib, kept

    @contextlib.contextmanager
    def started(self) -> Iterator["Copy"]:  # type: ignore[override]
        process = Copy(self._run)
        try:
            yield process
            process.wait(TIMEOUT_S)
            wait_until(lambda: not self.processes(), "all processes to end")
        finally:
            process.kill()

    def _run(self) -> None:
        from vae_sweep import run

        output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        if self.disk_kib:
            if ctypes.CDLL(None).unshare(0x00020000):  # CLONE_NEWNS
                raise OSError("no namespace of mounts")
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.disk_kib}k", "none", self.folder], check=True)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads that wait would spin: torch is there already
        os.chdir(self.folder)
        os.environ[MARK] = self.mark
        sys.argv = self.command[self.command.index("-m") + 1 :]
        try:
            run.main()
        finally:
            if self.kept:
                shutil.copytree(self.folder, self.kept, dirs_exist_ok=True)


class Copy:
    """A copy of this process that calls `function` and ends, as subprocess has it."""

    def __init__(self, function: Callable[[], object]):
        self.returncode: int | None = None
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            function()
            code = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.stdout.flush()
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float) -> None:
        wait_until(lambda: self.poll() is not None, "the end of the command", timeout)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(TIMEOUT_S)


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


# --- what is compared ------------------------------------------------------------------------------------------------


def compared(sweep: Sweep) -> dict[str, Any]:
    """All that a repeated sweep must have again, by run and file: no times, no host, no count of attempts."""
    found: dict[str, Any] = {"members": [entry["id"] for entry in load_sweep(sweep.outputs).manifest["members"]]}
    for run in load_sweep(sweep.outputs).runs:
        name = run.folder.name
        found[f"{name} status"] = run.status
        found[f"{name} metrics"] = run.metrics
        found[f"{name} rows"] = without_times(read_rows(run.folder / "metrics.jsonl"))
        found[f"{name} files"] = files(run.folder)
        found[f"{name} checkpoint"] = plain(load_checkpoint(run.folder / LAST))
        if (run.folder / "evaluation.json").exists():
            found[f"{name} evaluation"] = read_json(run.folder / "evaluation.json")
            found[f"{name} arrays"] = plain(run.arrays())
    return found


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))


def plain(value: Any) -> Any:
    """Containers as they are, tensors and arrays by their bytes."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    array = value.numpy() if isinstance(value, torch.Tensor) else value
    return (str(array.dtype), array.shape, array.tobytes()) if isinstance(array, np.ndarray) else value


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "time_s"} for row in rows]


def files(folder: Path) -> set[str]:
    """Names below a run's folder, without what only a continued run has."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "previous.ckpt"}


# --- what happens to it ----------------------------------------------------------------------------------------------


@dataclass
class Moment:
    what: str  # was killed, or how full
    when: str
    orphans: int = 0
    tracebacks: int = 0


def killed(sweep: Sweep, kind: str, chance: random.Random, seconds: float) -> Moment | None:
    """Begin or continue the sweep and kill one of its processes at a random moment within `seconds`.

    None if it came to its end before that.
    """
    with sweep.started() as process:
        due = time.monotonic() + chance.uniform(0, seconds)
        wait_until(lambda: time.monotonic() > due or process.poll() is not None, "a moment", TIMEOUT_S)
        wait_until(lambda: process.poll() is not None or sweep.victims(kind, process.pid), kind, TIMEOUT_S)
        if process.poll() is not None or not (found := sweep.victims(kind, process.pid)):
            return None
        when = _when(sweep)
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(found), signal.SIGKILL)
        process.wait(timeout=TIMEOUT_S)
        deadline = time.monotonic() + 20
        wait_until(lambda: not sweep.processes() or time.monotonic() > deadline, "the end of all")
        return Moment(kind, when, len(sweep.processes()), sweep.said.count("Traceback"))


def _when(sweep: Sweep) -> str:
    if not (sweep.outputs / "sweep.json").exists():
        return "before the plan"
    if not (rows := sweep.rows()):
        return "before the first row"
    return "evaluating" if re.search(r"evaluating\n[^\n]*$", sweep.said) else f"after {rows} rows"


def campaign_of_kills(
    place: Path, count: int, seed: int = 0, kind: type[Sweep] = Sweep
) -> tuple[list[Moment], list[str]]:
    """(the moments, what differed at last). Sweeps one after another, until `count` kills have met one."""
    chance, pictures = random.Random(seed), draw_pictures(place / "pictures")
    victims = VICTIMS if kind is Sweep else VICTIMS[:1]
    whole = kind(place / "whole", pictures)
    began = time.monotonic()
    whole.finish()
    seconds, wanted = time.monotonic() - began, compared(whole)
    moments: list[Moment] = []
    other: list[str] = []
    number = 0
    while len(moments) < count:
        sweep = kind(place / f"killed-{number}", pictures)
        while len(moments) < count:
            moment = killed(sweep, victims[len(moments) % len(victims)], chance, seconds)
            if moment is None:
                break
            moments.append(moment)
            print(f"{len(moments):3d}  {moment}", file=sys.stderr, flush=True)
        sweep.finish()
        other += [f"{sweep.folder.name}: {key}" for key in differing(compared(sweep), wanted)]
        shutil.rmtree(sweep.folder)
        number += 1
    return moments, other


IN_A_NAMESPACE = ("unshare", "-Urm") if os.getuid() else ("unshare", "-m")


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as place:
        try:
            made = subprocess.run([*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", place], capture_output=True)
        except FileNotFoundError:
            return False
    return made.returncode == 0


def campaign_of_full_disks(
    place: Path, count: int, seed: int = 0, kind: type[Sweep] = Sweep
) -> tuple[list[Moment], list[str]]:
    """(the moments, what differed at last). Each: a disk of a random size below what the sweep needs, met until the
    command ends; then the same command with room."""
    chance, pictures = random.Random(seed), draw_pictures(place / "pictures")
    whole = kind(place / "whole", pictures)
    whole.finish()
    wanted = compared(whole)
    needed = sum(path.stat().st_size for path in whole.folder.rglob("*") if path.is_file())
    moments, other = [], []
    for number in range(count):
        folder = place / f"full-{number}"
        share = (number + chance.random()) / count
        kib = max(int(share * needed / 1024), 4)
        kept = place / f"full-{number}-kept"
        kept.mkdir()
        small = _on_a_small_disk(folder, pictures, kib, kept, kind)
        code = small.ended()
        refused = [line for line in small.said.splitlines() if "No space left" in line or "full" in line]
        assert code, f"{kib} KiB were enough"
        moment = Moment(f"{kib} KiB of {needed // 1024}", f"exit code {code}, {len(refused)} lines name it")
        moment.tracebacks = small.said.count("Traceback")
        moments.append(moment)
        print(f"{len(moments):3d}  {moment}", file=sys.stderr, flush=True)
        if not refused:
            other.append(f"{folder.name}: nothing says that the disk is full: {small.said[-800:]}")
        shutil.rmtree(folder)
        kept.rename(folder)
        sweep = kind(folder, pictures)
        sweep.finish()
        other += [f"{folder.name}: {key}" for key in differing(compared(sweep), wanted)]
        shutil.rmtree(folder)
    return moments, other


def _on_a_small_disk(folder: Path, pictures: Path, kib: int, kept: Path, kind: type[Sweep]) -> Sweep:
    """What lies on it is brought to `kept` when it is full, as a person would who makes room."""
    if kind is Forked:
        return Forked(folder, pictures, kib, kept)
    script = f'mount -t tmpfs -o size={kib}k none "$0" && cd "$0" && "$@"; code=$?; cp -a "$0/." "{kept}/"; exit $code'
    return Sweep(folder, pictures, before=[*IN_A_NAMESPACE, "sh", "-c", script, str(folder)])


def table(moments: Sequence[Moment]) -> str:
    lines = ["| what | times | orphans | tracebacks | when |", "|---|---|---|---|---|"]
    for what in Counter(moment.what for moment in moments):
        own = [moment for moment in moments if moment.what == what]
        counts = sum(m.orphans for m in own), sum(m.tracebacks for m in own)
        lines.append(f"| {what} | {len(own)} | {counts[0]} | {counts[1]} | {'; '.join(m.when for m in own)} |")
    return "\n".join(lines)


def _import_all() -> None:
    """What a command imports, for copies of this process."""
    for module in ("run", "training.train", "evaluation", "data", "sweep.run_sweep", "theory", "tracking", "analysis"):
        importlib.import_module(f"vae_sweep.{module}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--full-disks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forked", action="store_true", help="one process, a copy of this one; needs to be root")
    asked = parser.parse_args()
    wrong = 0
    if asked.forked:
        _import_all()
    for count, campaign in ((asked.kills, campaign_of_kills), (asked.full_disks, campaign_of_full_disks)):
        if not count:
            continue
        with tempfile.TemporaryDirectory() as place:
            moments, other = campaign(Path(place), count, asked.seed, Forked if asked.forked else Sweep)
        print(f"\n{table(moments)}\n\nother than the undisturbed sweep: {', '.join(other) or 'nothing'}")
        wrong += len(other)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
