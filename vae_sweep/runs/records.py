"""Files of a sweep as they are read: whole, with the types of schema.py, of a schema that is known. Or one line.

A record (a JSON object) carries a checksum of its content, `crc32`; older ones and those that somebody wrote by hand
have none, and are taken as they are. The zip files of torch and numpy carry checksums that their readers do not, or
not always, compare.
"""

import functools
import io
import json
import logging
import tokenize
import types
import typing
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from vae_sweep.runs.files import RecordError, plain, read_json, write_bytes
from vae_sweep.runs.schema import SCHEMA

log = logging.getLogger("vae_sweep")

CHECKSUM = "crc32"
# What readers of zip files and arrays raise over bytes that are none.
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, SyntaxError, MemoryError, RuntimeError,
    OverflowError, NotImplementedError, zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip


class Damaged(RecordError):
    """A file that is there and is not what was written."""


def write_record(path: Path, record: Mapping[str, Any], indent: int | None = 1, copy: Path | None = None) -> None:
    """JSON with the checksum of its content. indent: None for what is too long to be read; copy: written before it."""
    content = plain(record)
    content[CHECKSUM] = _checksum(content)
    text = json.dumps(content, indent=indent, allow_nan=False) + "\n"
    for place in (copy, path) if copy else (path,):
        write_bytes(place, text.encode())


def read_record(path: Path, kind: Any, needs: Collection[str] = ()) -> dict[str, Any]:
    """A record of the type `kind`, a TypedDict. needs: keys without which it is none; older ones may lack the others.

    Raises RecordError if there is no such file or a newer version wrote it, Damaged if it is not what was written.
    """
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise RecordError(f"no such file: {path}") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: it is not valid JSON ({error})") from None
    if isinstance(record, dict) and isinstance(found := record.get("schema"), int) and found > SCHEMA:
        raise RecordError(
            f"{path} was written by a newer version of vae-sweep (schema {found}, here {SCHEMA}): update this one"
        )
    missing = [key for key in needs if isinstance(record, dict) and key not in record]
    wrong = f"it has no {missing[0]!r}" if missing else misfit(record, kind)
    if wrong:
        raise Damaged(f"{path} is damaged: {wrong}")
    kept = record.pop(CHECKSUM, None)
    if kept is not None and kept != _checksum(record):
        raise Damaged(f"{path} is damaged: it is not what its checksum {CHECKSUM} says")
    return record


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def misfit(value: Any, kind: Any, name: str = "it") -> str | None:
    """What is wrong with `value` as the type `kind` of schema.py; None if nothing is. Keys may be missing."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or origin is typing.NotRequired:
        return None if kind is Any else misfit(value, inside[0], name)
    if origin is Literal:
        return None if value in inside else f"{name} is {value!r}"
    if origin in (Union, types.UnionType):
        each = [misfit(value, one, name) for one in inside]
        return None if None in each else each[0]
    if typing.is_typeddict(kind) or origin is dict:
        if not isinstance(value, dict):
            return f"{name} is no object"
        hints = _hints(kind) if origin is None else dict.fromkeys(value, inside[1])
        found = (misfit(value[key], hint, key) for key, hint in hints.items() if key in value)
        return next((wrong for wrong in found if wrong), None)
    if origin is list:
        if not isinstance(value, list):
            return f"{name} is no list"
        return next((wrong for item in value if (wrong := misfit(item, inside[0], name))), None)
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    return None if fits else f"{name} is {json.dumps(value)[:40]}"


_hints = functools.cache(typing.get_type_hints)


def read_arrays(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of an .npz whose names begin with `prefix`. Raises RecordError as `read_record` does.

    Not by numpy.load, which does not always come to the checksum of what it reads.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = [name for name in file.namelist() if name.startswith(prefix) and name.endswith(".npy")]
            return {name.removesuffix(".npy"): _array(file.read(name)) for name in members}
    except FileNotFoundError:
        raise RecordError(f"no such file: {path}") from None
    except UNREADABLE as error:
        raise Damaged(f"{path} is damaged: {_in_a_line(error)}") from None


def _array(content: bytes) -> np.ndarray:
    return typing.cast(np.ndarray, np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))


def check_zip(path: Path) -> None:
    """Raises Damaged if `path` is no zip file, or one of its members is not what its checksum says."""
    try:
        with zipfile.ZipFile(path) as file:
            torn = file.testzip()
    except UNREADABLE as error:
        raise Damaged(f"{path} is damaged: {_in_a_line(error)}") from None
    if torn is not None:
        raise Damaged(f"{path} is damaged: its checksums do not fit")


def _in_a_line(error: BaseException) -> str:
    return (" ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__)[:120]
