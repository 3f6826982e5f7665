"""The worker of one pack as a process of its own, in the folder of a sweep: what a job of a cluster starts and hears.

logs/pack-<id>.log       its output, by the first member's id
logs/pack-<id>.events    its events, one JSON line each
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vae_sweep.engine.process import failure, tail
from vae_sweep.engine.slots import thread_environment
from vae_sweep.engine.worker import ended, interrupted
from vae_sweep.runs.outcomes import finalise
from vae_sweep.runs.reading import read_manifest, read_result
from vae_sweep.runs.schema import Ended, Entry, Error, Event


class PackProcess:
    """`python -m vae_sweep.engine.worker`, started for `members` of the sweep in `folder`.

    environ: of the process, to which its number of threads is added. life_fd: a pipe that nobody writes to, whose other
    end its parent alone holds open; the process is then a group of its own, and killed when its parent is gone.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[str],
        threads: int,
        target: str,
        environ: Mapping[str, str] = os.environ,
        life_fd: int | None = None,
    ):
        self.folder = folder
        self.members = list(members)
        self._log, events = logs(folder, members)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "vae_sweep.engine.worker", str(folder), ",".join(members), "--target", target]
        with open(self._log, "ab") as output, open(events, "ab") as channel:
            self._log_start = output.tell()
            passed = [channel.fileno()]
            command += ["--events-fd", str(channel.fileno())]
            if life_fd is not None:
                passed.append(life_fd)
                command += ["--life-fd", str(life_fd)]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environ, **thread_environment(threads, environ)},
                pass_fds=passed,
                start_new_session=life_fd is not None,
            )

    def write_failure(self, code: int) -> None:
        """Mark the members failed that it has left without a result. code: what it died with."""
        entries = entries_of(self.folder)
        for member in self.members:
            finalise(self.folder, entries[member], dict(failure(code, tail(self._log, self._log_start))))


class EventReader:
    """Events as a worker writes them, from the end of what there is when the reader is made."""

    def __init__(self, path: Path):
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._buffer = b""

    def read(self) -> list[Event]:
        """Those since the last time."""
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._buffer = (self._buffer + new).split(b"\n")
        return [json.loads(line) for line in lines]


def logs(folder: Path, members: Sequence[str]) -> tuple[Path, Path]:
    """Where a pack's worker writes: (its output, its events)."""
    return folder / "logs" / f"pack-{members[0]}.log", folder / "logs" / f"pack-{members[0]}.events"


def entries_of(folder: Path) -> dict[str, Entry]:
    return {entry["id"]: entry for entry in read_manifest(folder)["members"]}


def last_word(run: Path, member: str, stopping: bool, lost: Error) -> Ended:
    """The `result` of a member of whose end no event told, by its folder. lost: what to say where that tells nothing.

    stopping: whether it was asked to stop.
    """
    result = read_result(run)
    if result.get("status") in ("done", "failed"):
        return ended(result)
    if stopping or result.get("status") == "interrupted":
        return interrupted(member)
    return {"event": "result", "id": member, "status": "failed", "cause": "lost", "error": lost}
