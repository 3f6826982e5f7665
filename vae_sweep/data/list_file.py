"""Pictures by a list: a .txt or .csv of paths, with labels if it has them. Paths are relative to the list."""

import csv
import os
from pathlib import Path

from vae_sweep.data.folder import ImageFile
from vae_sweep.data.image_data import DataError

_PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "img", "image_path", "name")
_LABELS = ("label", "class", "target", "category", "y")


def read_list(path: Path) -> tuple[list[ImageFile], list[str] | None]:
    """(files, a label of each or None). A .txt has a path per line, and may have a label after a tab, comma or space; a
    .csv may begin with the columns' names.

    Raises DataError for what is no such list, and for the first file that is not there.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.root: {path}: cannot be read as a list of paths: {error}") from None
    if not lines:
        raise DataError(f"data.root: {path}: no paths in it")
    rows = _columns(lines) if path.suffix.lower() == ".csv" else [_row(line, path.parent) for line in lines]
    if {len(row) for row in rows} not in ({1}, {2}):
        raise DataError(f"data.root: {path}: some lines have a label, others none")
    files = [_found(path, row[0], number) for number, row in enumerate(rows, 1)]
    return files, [row[1] for row in rows] if len(rows[0]) == 2 else None


def _columns(lines: list[str]) -> list[list[str]]:
    """[path, label] or [path] of every row; by the names of the columns, else the first two."""
    mark = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=mark))
    names = [cell.strip().lower() for cell in rows[0]]
    at = next((names.index(name) for name in _PATHS if name in names), None)
    if at is None:
        return [[cell.strip() for cell in row[:2]] for row in rows]
    label = next((names.index(name) for name in _LABELS if name in names), None)
    return [[row[k].strip() for k in (at, label) if k is not None] for row in rows[1:]]


def _row(line: str, folder: Path) -> list[str]:
    """A line that is a path as a whole has no label, whatever marks are in it."""
    line = line.strip()
    if (folder / line).exists():
        return [line]
    for mark in ("\t", ",", " "):
        path, found, label = line.rpartition(mark)
        if found and (folder / path.strip()).exists():
            return [path.strip(), label.strip()]
    return [line]


def _found(listing: Path, name: str, number: int) -> ImageFile:
    file = os.path.expanduser(name)
    try:
        status = (listing.parent / file).stat()
    except OSError as error:
        raise DataError(f"data.root: {listing}: {name} ({number} in the list): {error.strerror}") from None
    return ImageFile(file, status.st_size, status.st_mtime_ns)
