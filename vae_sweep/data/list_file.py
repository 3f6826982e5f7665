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
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = _columns(lines) if path.suffix.lower() == ".csv" else _rows(lines, path.parent)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.root: {path}: cannot be read as a list of paths: {error}") from None
    if not rows:
        raise DataError(f"data.root: {path}: no paths in it")
    labelled = max(len(row) for row in rows.values()) == 2
    for number, row in rows.items():
        if len(row) != 1 + labelled:
            raise DataError(f"data.root: {path}: line {number} has no {'label, others have' if row else 'path'}")
    files = [_found(path, row[0], number) for number, row in rows.items()]
    return files, [row[1] for row in rows.values()] if labelled else None


def _columns(lines: list[str]) -> dict[int, list[str]]:
    """Number of the line -> [path, label] or [path]; by the names of the columns, else the first two. A row that is too
    short has what there is."""
    mark = max(",;\t", key=next((line for line in lines if line.strip()), "").count)
    reader = csv.reader(lines, delimiter=mark)
    cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = {number: row for number, row in cells if any(row)}
    names = [cell.lower() for cell in next(iter(rows.values()), [])]
    at = next((names.index(name) for name in _PATHS if name in names), None)
    if at is None:
        return {number: row[:2] for number, row in rows.items()}
    label = next((names.index(name) for name in _LABELS if name in names), None)
    columns = [at] if label is None else [at, label]
    return {n: [row[k] for k in columns if k < len(row)] if at < len(row) else [] for n, row in [*rows.items()][1:]}


def _rows(lines: list[str], folder: Path) -> dict[int, list[str]]:
    return {number: _row(line, folder) for number, line in enumerate(lines, 1) if line.strip()}


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
        raise DataError(f"data.root: {listing}: {name} (line {number}): {error.strerror}") from None
    return ImageFile(file, status.st_size, status.st_mtime_ns)
