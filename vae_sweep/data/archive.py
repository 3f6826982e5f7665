"""Pictures in a zip or tar: unpacked into the cache once, without what is no picture. Nothing is written elsewhere."""

import errno
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from vae_sweep.data.cache import cached_folder
from vae_sweep.data.folder import Aside
from vae_sweep.data.image_data import DataError
from vae_sweep.data.kinds import HEAD
from vae_sweep.data.shards import known_by
from vae_sweep.runs.files import read_json, write_json

_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError
)  # fmt: skip
_STRETCH = 1 << 20  # bytes


def is_archive(path: Path) -> bool:
    """Raises DataError for a file that cannot be read."""
    with _read(path):
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpacked(paths: Sequence[Path], cache_dir: Path) -> tuple[Path, str]:
    """(folder with the pictures of the archive, or of several, what was left aside). Raises DataError."""
    key = {"kind": "archives", "files": known_by(paths)}
    what = paths[0].name if len(paths) == 1 else f"{len(paths)} archives"
    entry = cached_folder(cache_dir, key, f"pictures of {what}", lambda folder: _unpack(paths, folder))
    folder = entry / "files"
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]  # what was packed as one folder
    return folder, read_json(entry / "aside.json")


def _unpack(paths: Sequence[Path], folder: Path) -> None:
    aside = Aside()
    for path in paths:
        _unpack_one(path, folder, aside)
    write_json(folder / "aside.json", str(aside) if aside.total else "")


def _unpack_one(path: Path, folder: Path, aside: Aside) -> None:
    count = 0
    for name, size, stretches in _members(path):
        head = next(stretches, b"")
        if not aside.is_picture(name, head):
            continue
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, f"no room for the pictures of {path.name}")
        target = folder / "files" / name
        if target.exists():  # another archive of the set, or this one, has the name, too
            target = target.with_name(f"{target.stem}--{path.name.split('.')[0]}-{count}{target.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as out:
            out.write(head)
            out.writelines(stretches)
        count += 1
    if not count:
        raise DataError(f"data.root: no images in {path}" + (f" among {aside}" if aside.total else ""))


def _members(path: Path) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Regular files by a safe name (none leads out of the folder, none is hidden), their bytes and what those are."""
    with _read(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if not member.is_dir() and (name := _safe(member.filename)):
                        with archive.open(member) as file:
                            yield name, member.file_size, _stretches(file, path)
        else:
            with tarfile.open(path) as tar:
                for entry in tar:
                    if entry.isfile() and (name := _safe(entry.name)) and (stream := tar.extractfile(entry)):
                        yield name, entry.size, _stretches(stream, path)


def _stretches(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The first HEAD bytes, then the others."""
    size = HEAD
    with _read(path):
        while stretch := file.read(size):
            yield stretch
            size = _STRETCH


@contextmanager
def _read(path: Path) -> Iterator[None]:
    """What reading raises as DataError: it is no fault of the cache that is written meanwhile."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"data.root: {path} is damaged, or locked by a password: {error}") from None
    except OSError as error:
        raise DataError(f"data.root: {path} cannot be read: {error.strerror or error}") from None


def _safe(name: str) -> str | None:
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    hidden = not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return None if hidden else "/".join(parts)
