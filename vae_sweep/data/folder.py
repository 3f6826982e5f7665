"""Pictures below a folder: known by their names, and where those say nothing by their bytes."""

import hashlib
import importlib.util
import json
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from vae_sweep.data.image_data import DataError
from vae_sweep.data.kinds import HEAD, HEIC, UNREADABLE, Kind, counted, kind_by_name, kind_of

log = logging.getLogger("vae_sweep")

# Taken to be pictures without a look: each is looked at when it is decoded.
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif", ".jp2", ".j2k"
)  # fmt: skip

_LOOKED_AT = 64  # files of one ending: if none of them is a picture, the others are none either


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file as found: what its cache entry is known by. `name`: relative to the folder, with forward slashes."""

    name: str
    size: int
    mtime_ns: int


def reads_heic() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def find_images(root: Path) -> list[ImageFile]:
    """All image files below `root`, sorted by name; others are counted and told.

    Raises DataError if there is none, or a folder cannot be read.
    """
    aside = Aside()
    found = [file for file in files_below(root) if aside.is_picture(os.path.join(root, file.name))]
    if not found:
        besides = f" among its {aside.total} files: {aside}" if aside.total else ""
        raise DataError(f"data.root: no images in {root}{besides} (looked for {' '.join(EXTENSIONS)})")
    if aside.total:
        log.info("%s: left aside %s", root, aside)
    return sorted(found, key=lambda file: file.name)


def files_below(root: Path, all_of_them: bool = True) -> Iterator[ImageFile]:
    """All files below `root`, but for hidden ones and those in hidden folders. Links are followed, each folder is
    entered once.

    Raises DataError if a folder cannot be read; without all_of_them it is left out.
    """
    entered: set[tuple[int, int]] = set()
    folders: list[tuple[str, Path]] = [("", root)]
    links: list[tuple[str, Path]] = []  # come last: a folder's own name is the one that counts
    while folders or links:
        prefix, folder = folders.pop() if folders else links.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not all_of_them:
                continue
            raise DataError(f"data.root: cannot read {folder}: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append((f"{prefix}{entry.name}/", Path(entry.path)))
            elif (file := _as_found(prefix + entry.name, entry)) is not None:
                yield file


def listing_digest(files: Sequence[ImageFile]) -> str:
    """Hex; another one when a file is added, removed, renamed or written."""
    listing = json.dumps([[file.name, file.size, file.mtime_ns] for file in files])
    return hashlib.sha256(listing.encode()).hexdigest()


class Aside:
    """What is no picture, counted by kind."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self._looked_at: Counter[str] = Counter()
        self._are_pictures: set[str] = set()  # endings

    @property
    def total(self) -> int:
        return self.kinds.total()

    def __str__(self) -> str:
        return counted(self.kinds)

    def is_picture(self, path: str, head: bytes | None = None) -> bool:
        """head: the file's first bytes, where it does not lie in a folder. What is none is counted."""
        ending = PurePath(path).suffix.lower()
        if ending in EXTENSIONS:
            return True
        if head is None and ending not in self._are_pictures and self._looked_at[ending] >= _LOOKED_AT:
            self.kinds[kind_by_name(path)] += 1
            return False
        self._looked_at[ending] += 1
        content = _head(path) if head is None else head
        kind = UNREADABLE if content is None else kind_of(content, path)
        if kind.picture and (kind != HEIC or reads_heic()):
            self._are_pictures.add(ending)
            return True
        self.kinds[kind] += 1
        return False


def _head(path: str) -> bytes | None:
    """None for what cannot be opened, such as a link to nowhere."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _as_found(name: str, entry: os.DirEntry[str]) -> ImageFile | None:
    """None for what is no file, such as a socket."""
    try:
        status = entry.stat()
    except OSError:  # a link to nowhere, or gone since: decoding will say so
        return ImageFile(name, 0, 0)
    return ImageFile(name, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
