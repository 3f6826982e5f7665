"""One pack on a node of a Ray cluster: a folder of its own, the worker in it, and what both have to tell.

The node shares no folder with whoever planned the sweep. It is sent the manifest, the run folders as they stand and
the images, and answers with events and with what has changed in its files. Loads ray only to fetch images that are not
in the node's cache yet.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from vae_sweep.data.cache import resolve_cache_dir
from vae_sweep.data.carried import carry
from vae_sweep.data.image_data import ImageData
from vae_sweep.engine.pack_process import EventReader, PackProcess, entries_of, logs
from vae_sweep.engine.worker import STOPPED
from vae_sweep.environment import import_path
from vae_sweep.runs.files import write_bytes
from vae_sweep.runs.mirror import Change, Mirror, take
from vae_sweep.runs.reading import MANIFEST
from vae_sweep.runs.schema import Entry, Event

ENDED_WELL = (0, 1, STOPPED)  # exit codes of a worker that has written its results itself


@dataclass(frozen=True)
class Order:
    """members: of the pack, by their ids; target: module:function that trains it; environ: for the worker."""

    members: tuple[str, ...]
    threads: int
    target: str
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """Since the last time. code: the worker's exit code, once it has ended; nothing comes after it."""

    events: list[Event]
    changes: list[Change]
    code: int | None


class PackOnNode:
    """Its methods are called one after another. When its process dies, however, so does the worker."""

    def begin(
        self,
        order: Order,
        manifest: bytes,
        files: Sequence[Change],
        rest: ImageData | None = None,
        count: int = 0,
        parts: Sequence[Any] = (),
    ) -> str:
        """Start the worker. Returns the name of this machine. Raises DataError, OSError.

        files: run folders, as `take` makes them. rest, count, parts: images as `carry` has them; parts in Ray's store.
        """
        self.folder, self._lock = _folder_of_ones_own()
        write_bytes(self.folder / MANIFEST, manifest)
        take(self.folder, files)
        if rest is not None:
            carry(self.folder, rest, count, lambda: _fetched(parts), resolve_cache_dir(None))
        _, events = logs(self.folder, order.members)
        self._mirror = Mirror(self.folder, mirrored(entries_of(self.folder), order.members))
        self._mirror.changes()  # known to whoever has sent them
        self._events = EventReader(events)
        life, self._held = os.pipe()
        environ = {**os.environ, **order.environ, "PYTHONPATH": import_path()}
        self._worker = PackProcess(self.folder, order.members, order.threads, order.target, environ, life)
        os.close(life)
        return socket.gethostname()

    def listen(self, seconds: float) -> Told:
        """What there is to tell after so many seconds, or once the worker has ended."""
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._worker.process.wait(timeout=seconds)
        if code is not None:
            self.kill()  # what it has left behind
            code = STOPPED if code == -signal.SIGTERM else code  # before the worker could hear it
            if code not in ENDED_WELL:
                self._worker.write_failure(code)
        events = self._events.read()  # before the files, which hold what the events tell
        told = Told(events, self._mirror.changes(), code)
        if code is not None:
            _remove(self.folder, self._lock)
        return told

    def stop(self) -> None:
        """Have the worker write its checkpoint and end."""
        self._worker.process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._worker.process.pid, signal.SIGKILL)


def mirrored(entries: Mapping[str, Entry], members: Sequence[str]) -> list[str]:
    """What a pack writes that others read, below the sweep's folder: its members' folders and its log."""
    log, _ = logs(Path(), members)
    return [*(entries[member]["folder"] for member in members), str(log)]


def _fetched(parts: Sequence[Any]) -> Iterator[np.ndarray]:
    import ray

    for part in parts:
        yield ray.get(part)


def _folder_of_ones_own() -> tuple[Path, FileLock]:
    """A folder and the lock that says that somebody lives in it; those of the dead are removed."""
    top = Path(tempfile.gettempdir()) / f"vae-sweep-{os.getuid()}"
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in top.iterdir():
        if folder.is_dir():
            with contextlib.suppress(Timeout):
                (lock := _lock_of(folder)).acquire(timeout=0)
                _remove(folder, lock)
    lock = _lock_of(folder := top / secrets.token_hex(4))
    lock.acquire()
    folder.mkdir()
    return folder, lock


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_suffix(".lock"))


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)  # nobody else takes it: names are not used twice
    lock.release()
