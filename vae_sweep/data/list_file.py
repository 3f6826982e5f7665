"""Pictures by a list: a .txt, .csv or .tsv of paths, with labels if it has them. Paths are relative to the list; the
ending of a picture may be left out, and Windows' backslashes are slashes."""

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path

from vae_sweep.data.folder import EXTENSIONS, ImageFile
from vae_sweep.data.image_data import DataError

LISTS = (".txt", ".csv", ".tsv")

_PATHS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "img_path",
    "image_name", "image_file",
)  # fmt: skip
_PERHAPS = ("name", "image_id", "id")  # paths, if there are such files
_LABELS = ("label", "class", "target", "category", "y")


def read_list(path: Path) -> tuple[list[ImageFile], list[str] | None]:
    """(files, a label of each or None). A .txt has a path per line, and may have a label after a tab, comma or space; a
    .csv or .tsv may begin with the columns' names; where none of those tells, the first column that has a file counts.

    Raises DataError for what is no such list, and for the first file that is not there.
    """
    try:
        lines = _text(path.read_bytes()).splitlines()
        rows = _rows(lines, path.parent) if path.suffix.lower() == ".txt" else _columns(lines, path.parent)
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


def _text(content: bytes) -> str:
    """UTF-8, UTF-16 with its mark, or what older Windows programs write."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _columns(lines: list[str], folder: Path) -> dict[int, list[str]]:
    """Number of the line -> [path, label] or [path]; by the names of the columns, else by the files that there are,
    else the first two. A row that is too short has what there is."""
    mark = max(",;\t", key=next((line for line in lines if line.strip()), "").count)
    reader = csv.reader(lines, delimiter=mark)
    cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = {number: row for number, row in cells if any(row)}
    first, second = [*rows.values(), [], []][:2]
    names = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in first]
    at = next((names.index(name) for name in _PATHS if name in names), None)
    perhaps = [names.index(name) for name in _PERHAPS if name in names]
    if at is None and perhaps:
        order = (*perhaps, *range(len(second)))
        at = next((k for k in order if _where(second[k : k + 1], folder) is not None), perhaps[0])
    if at is None:
        without = _where(first, folder) is not None
        at = _where(first if without else second, folder)
        if without or at is None:
            columns = [at or 0, *(k for k in range(len(first)) if k != (at or 0))][:2]
            return {number: [row[k] for k in columns if k < len(row)] for number, row in rows.items()}
    label = next((names.index(name) for name in _LABELS if name in names), None)
    columns = [at] if label is None else [at, label]
    return {n: [row[k] for k in columns if k < len(row)] if at < len(row) else [] for n, row in [*rows.items()][1:]}


def _where(row: list[str], folder: Path) -> int | None:
    """The first cell that is a file."""
    return next((k for k, cell in enumerate(row) if cell and _spelled(cell, Path.is_file, folder)), None)


def _spelled(name: str, there: Callable[[Path], bool], folder: Path) -> str | None:
    """The name of what is there, as it is or as other systems and lists of names write it."""
    file = os.path.expanduser(name)
    spellings = [file, file.replace("\\", "/")]
    if Path(file).suffix.lower() not in EXTENSIONS:
        spellings += [spellings[1] + ending for ending in EXTENSIONS]
    return next((spelling for spelling in spellings if there(folder / spelling)), None)


def _rows(lines: list[str], folder: Path) -> dict[int, list[str]]:
    return {number: _row(line, folder) for number, line in enumerate(lines, 1) if line.strip()}


def _row(line: str, folder: Path) -> list[str]:
    """A line that is a path as a whole has no label, whatever marks are in it."""
    line = line.strip()
    if _spelled(line, Path.exists, folder):
        return [line]
    for mark in ("\t", ",", " "):
        path, found, label = line.rpartition(mark)
        if found and _spelled(path.strip(), Path.exists, folder):
            return [path.strip(), label.strip()]
    return [line]


def _found(listing: Path, name: str, number: int) -> ImageFile:
    file = _spelled(name, Path.exists, listing.parent) or os.path.expanduser(name)
    try:
        status = (listing.parent / file).stat()
    except OSError as error:
        raise DataError(f"data.root: {listing}: {name} (line {number}): {error.strerror}") from None
    return ImageFile(file, status.st_size, status.st_mtime_ns)
