"""Files that grow on one machine, kept alike on another: what has changed since the last look, as bytes to send.

Either machine may die at any moment, and what has arrived must be a run that goes on. So a file arrives after what it
rests on: rows, then the checkpoint that counts on them, then the result that says how it ended. They are read in the
opposite order, since all of them only grow; and checkpoints, of which training goes on from those that the members of a
pack have in common, are read in a moment when none is written.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_sweep.runs.files import write_bytes

_LOOKS = 5  # at checkpoints that are written all the time
_UNFINISHED = (".tmp", ".incoming")


@dataclass(frozen=True)
class Change:
    """Of the file `path`: what follows its first `start` bytes; data: None if it is gone."""

    path: str
    start: int
    data: bytes | None


@dataclass(frozen=True)
class _Known:
    stamp: tuple[int, int, int]
    size: int
    digest: bytes


class Mirror:
    """paths: files and folders below `root` that are looked at; they need not be there yet."""

    def __init__(self, root: Path, paths: Sequence[str]):
        self.root = root
        self.paths = list(paths)
        self._known: dict[str, _Known] = {}

    def changes(self) -> list[Change]:
        """Since the last look, all of it at the first; in the order in which they are to arrive."""
        found = self._files()
        changes = self._of(path for path in found if _turn(path) == _RESULTS)
        changes += self._checkpoints()
        changes += self._of(path for path in found if _turn(path) == _REST)
        return [*self._gone(found), *reversed(changes)]

    def _checkpoints(self) -> list[Change]:
        """Those of all members at one moment; none if they do not stand still, since the next look will find them."""
        known = dict(self._known)
        for _ in range(_LOOKS):
            before = self._stamps()
            changes = self._of(before)
            if self._stamps() == before:
                return changes
            self._known = dict(known)
        return []

    def _stamps(self) -> dict[str, tuple[int, int, int]]:
        stamps = ((path, _stamp(self.root / path)) for path in self._files() if _turn(path) == _CHECKPOINTS)
        return {path: stamp for path, stamp in stamps if stamp}

    def _gone(self, found: Iterable[str]) -> list[Change]:
        gone = self._known.keys() - set(found)
        for path in gone:
            del self._known[path]
        return [Change(path, 0, None) for path in sorted(gone)]

    def _files(self) -> list[str]:
        found = []
        for path in self.paths:
            top = self.root / path
            found += [top] if top.is_file() else sorted(top.rglob("*"))
        return [
            os.fspath(file.relative_to(self.root))
            for file in found
            if not file.name.endswith(_UNFINISHED) and file.is_file() and not file.is_symlink()
        ]

    def _of(self, paths: Iterable[str]) -> list[Change]:
        changes = (self._change(path) for path in paths)
        return [change for change in changes if change]

    def _change(self, path: str) -> Change | None:
        known, stamp = self._known.get(path), _stamp(self.root / path)
        if stamp is None or (known and known.stamp == stamp):
            return None
        try:
            data = (self.root / path).read_bytes()
        except FileNotFoundError:
            return None
        self._known[path] = _Known(stamp, len(data), _digest(data))
        if known is None or known.digest != _digest(data[: known.size]):
            return Change(path, 0, data)
        return Change(path, known.size, data[known.size :]) if len(data) > known.size else None


def take(root: Path, changes: Iterable[Change]) -> None:
    """Make them below `root`, in their order. Raises OSError as the file system does."""
    for change in changes:
        path = root / change.path
        if change.data is None:
            path.unlink(missing_ok=True)
        elif change.start == 0:
            write_bytes(path, change.data)
        else:
            with open(path, "r+b") as file:
                file.seek(change.start)
                file.truncate()
                file.write(change.data)


_RESULTS, _CHECKPOINTS, _REST = range(3)


def _turn(path: str) -> int:
    """When it is read."""
    name = Path(path)
    return _RESULTS if name.name == "result.json" else _CHECKPOINTS if name.parent.name == "checkpoints" else _REST


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
