"""A cache of folders, each made once by whoever needs it first, and never seen half-made.

<cache_dir>/<key>/               a whole entry, published by one rename
<cache_dir>/<key>.<random>.tmp/  an entry in the making; of a dead process: removed by the next that makes one
<cache_dir>/<key>.lock           held while an entry is made; the system lets go of it when its holder dies
"""

import hashlib
import json
import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from filelock import AcquireReturnProxy, FileLock, Timeout
from platformdirs import user_cache_dir

from vae_sweep.cores import cores
from vae_sweep.data.image_data import DataError
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.records import UNREADABLE, read_record, write_record

log = logging.getLogger("vae_sweep")

_MANIFEST = "manifest.json"
_STRETCH = 16 << 20  # bytes


class _Entry(TypedDict):
    schema: int
    files: dict[str, int]
    checksums: dict[str, list[int]]


def resolve_cache_dir(cache_dir: str | None) -> Path:
    """`data.cache_dir`, by default the user's cache folder."""
    return Path(cache_dir).expanduser().absolute() if cache_dir else Path(user_cache_dir("vae-sweep"))


def cached_folder(cache_dir: Path, key: Mapping[str, Any], what: str, build: Callable[[Path], None]) -> Path:
    """The folder with the files that `build(folder)` writes; built now unless it is there.

    key: everything the content depends on, JSON-able. what: for messages ("image_folder artworks").
    Raises DataError if the cache cannot be written, and whatever `build` raises; nothing is left behind then.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_dir / name
    if _is_whole(folder):
        return folder
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / f"{name}.lock", what):
            if not _is_whole(folder):
                _remove_leftovers(cache_dir, name)
                if folder.exists():
                    log.info("%s: what was cached in %s is damaged, it is made again", what, folder)
                _make(folder, key, build)
                log.info("%s: cached in %s (%.1f MB)", what, folder, size_of(folder) / 1e6)
    except OSError as error:
        raise DataError(f"data.cache_dir: cannot write to {cache_dir}: {error.strerror or error}") from error
    return folder


def cached_array(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """An array of an entry. Raises DataError for one that is none: entries of older versions have no checksums."""
    try:
        array: np.ndarray = np.load(path, mmap_mode, allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(f"data.cache_dir: {path} is damaged ({error}): remove {path.parent}") from None
    return array


def size_of(folder: Path) -> int:
    """Bytes of the files in an entry."""
    return sum(file.stat().st_size for file in folder.iterdir())


def _is_whole(folder: Path) -> bool:
    """Every file is there as it was written: a cleaning tool may have taken some, a disk may have flipped a bit.

    Entries of older versions have no checksums: the sizes must do.
    """
    try:
        manifest = read_record(folder / _MANIFEST, _Entry, ("files",))
        sizes, checksums = manifest["files"], manifest.get("checksums", {})
        return all((folder / name).stat().st_size == size for name, size in sizes.items()) and all(
            _checksums(folder / name) == found for name, found in checksums.items()
        )
    except (RecordError, OSError):
        return False


def _checksums(path: Path) -> list[int]:
    """CRC-32 of every stretch of a file, on all cores: as fast as the disk gives it."""

    def of_stretch(first: int) -> int:
        with open(path, "rb") as file:
            file.seek(first)
            return zlib.crc32(file.read(_STRETCH))

    stretches = range(0, path.stat().st_size, _STRETCH)
    if len(stretches) <= 1:
        return [of_stretch(first) for first in stretches]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(of_stretch, stretches))


def _locked(path: Path, what: str) -> AcquireReturnProxy:
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: waiting for another process that is preparing it", what)
        return lock.acquire()


def _make(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> None:
    temporary = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        build(temporary)
        files = [path for path in temporary.rglob("*") if path.is_file()]  # an unpacked archive has folders
        sizes = {path.relative_to(temporary).as_posix(): path.stat().st_size for path in files}
        checksums = {name: _checksums(temporary / name) for name in sizes}
        write_record(temporary / _MANIFEST, {"schema": 1, "key": key, "files": sizes, "checksums": checksums})
        for path in [*temporary.iterdir(), temporary]:
            _sync(path)
        _remove(folder)  # an incomplete one; those who have it mapped keep their pages
        temporary.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _remove_leftovers(cache_dir: Path, name: str) -> None:
    """Temporary folders whose makers are dead: those whose lock is free. The lock `name` is ours."""
    for temporary in cache_dir.glob("*.tmp"):
        owner = temporary.name.split(".")[0]
        if owner == name:
            shutil.rmtree(temporary, ignore_errors=True)
            continue
        try:
            with FileLock(cache_dir / f"{owner}.lock", timeout=0):
                shutil.rmtree(temporary, ignore_errors=True)
        except Timeout:
            pass


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
