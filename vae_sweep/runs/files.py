"""Files that are there whole or not at all, JSON in its strict form, and rows that survive a crash."""

import errno
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# What a file system says that takes no more, whoever asks: full, over quota, a file too large, read-only.
_TAKES_NO_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def takes_no_more(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is the disk's, and no fault of what was written."""
    if error is None:
        return False
    return (isinstance(error, OSError) and error.errno in _TAKES_NO_MORE) or takes_no_more(error.__cause__)


class RecordError(ValueError):
    """A file or folder that is not what it should be; the message names it."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under `path` whole or not at all: temporary neighbour, fsync, rename.

    Raises OSError as the file system does; nothing is left behind then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile: its files are their owner's alone, and to read the umask is to set it for all threads.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_dir():
            set_aside(path)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def set_aside(path: Path) -> Path | None:
    """Rename what cannot be read, so that it is in nobody's way and not lost. None if another process has."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{f'-{number}' if number > 1 else ''}")).exists():
        number += 1
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


def remove_leftovers(folder: Path) -> None:
    """Temporary files below `folder`, of a process that was killed while it wrote."""
    for leftover in folder.rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_file(path) as file:
        file.write(data)


def write_note(path: Path, text: str) -> None:
    """A small file for people, whole or not at all while the machine runs: nothing waits for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # a path may be no UTF-8
    os.replace(temporary, path)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Strict JSON; numbers that are not finite become null. indent: None for what is too long to be read."""
    write_bytes(path, (json.dumps(plain(value), indent=indent, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Of a file of one's own. Raises OSError, ValueError or RecursionError; records.py has the reader for others'."""
    return json.loads(Path(path).read_bytes())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one line to a .jsonl file in a single write, so that a crash tears at most the last line; after a torn one
    a line of its own."""
    line = json.dumps(plain(row), allow_nan=False) + "\n"
    with open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(line.encode())


def read_rows(path: Path, key: str = "step", kind: type = int) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; none if it is missing. A torn line (the last one, after a crash) is left out.

    key, kind: what every row has. Raises RecordError if it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from None
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get(key), kind):
            rows.append(row)
    return rows


def truncate_rows(path: Path, last_step: int) -> None:
    """Drop rows after `last_step`: a resumed run writes them again, identically."""
    if os.path.lexists(path):
        kept = [row for row in read_rows(path) if row["step"] <= last_step]
        write_bytes(path, "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in kept).encode())


def plain(value: Any) -> Any:
    """JSON's types only: numpy scalars and arrays unwrapped, paths as text, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
