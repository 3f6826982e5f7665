"""Large sets in several files: a folder of them, or a pattern such as 'shards/*.tar', is one data set.

In the order of their names. Arrays are written into the cache one file after another, and mapped from there: the set
need not fit into memory.
"""

import glob
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_sweep.data.array_file import ArrayFile, Meaning, known_labels, numbers_in, read_array_file
from vae_sweep.data.cache import cached_array, cached_folder
from vae_sweep.data.growing import Growing
from vae_sweep.data.image_data import DataError
from vae_sweep.data.pixels import settled
from vae_sweep.data.torch_file import TORCH
from vae_sweep.runs.files import read_json, write_json

log = logging.getLogger("vae_sweep")

ARCHIVES = (".tar", ".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
ARRAYS = (".npz", ".npy")
READ_AS_ARRAYS = (*ARRAYS, *TORCH)
_VERSION = 2  # of what is kept in the cache


def shards_of(path: Path, endings: Sequence[str]) -> list[Path]:
    """The files that `path` stands for, a pattern or a folder that holds nothing else; [] if it stands for none."""
    if path.is_dir():
        inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        found = [entry for entry in inside if entry.is_file() and entry.name.lower().endswith(tuple(endings))]
        return sorted(found) if len(found) == len(inside) else []
    if path.exists() or not glob.has_magic(str(path)):
        return []
    return sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())


def loader_of(path: Path) -> tuple[str, str]:
    """Which data set of ours reads what lies there, and the setting that names it: ("arrays", "data.path")."""
    arrays = path.name.lower().endswith(READ_AS_ARRAYS) or (path.is_dir() and shards_of(path, ARRAYS))
    return ("arrays", "data.path") if arrays else ("image_folder", "data.root")


def known_by(paths: Sequence[Path]) -> list[list[object]]:
    """What a cache entry of these files is known by."""
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def read_shards(
    paths: Sequence[Path], meaning: Meaning, images: str | None, labels: str | None, cache_dir: Path
) -> tuple[ArrayFile, Path]:
    """(the arrays of all files, the file that the images are mapped from). Raises DataError, which names the file."""
    key = {
        "kind": "array shards", "version": _VERSION, "files": known_by(paths), "meaning": repr(meaning),
        "images": images, "labels": labels,
    }  # fmt: skip
    what = f"{len(paths)} files of arrays"
    folder = cached_folder(cache_dir, key, what, lambda folder: _join(paths, meaning, images, labels, folder))
    mapped = cached_array(folder / "images.npy", "r")
    factor_names = tuple(read_json(folder / "factor_names.json"))
    kept = {
        name: cached_array(folder / f"{name}.npy") if (folder / f"{name}.npy").exists() else None
        for name in ("labels", "factors")
    }
    known, names = known_labels(kept["labels"], len(mapped), paths[0].parent)
    return ArrayFile(mapped, known, names, kept["factors"], factor_names), folder / "images.npy"


def _join(paths: Sequence[Path], meaning: Meaning, images: str | None, labels: str | None, folder: Path) -> None:
    """Reads every file twice: what a number means depends on those of all files."""
    numbers = [part for path in paths for part in numbers_in(path, meaning, images)]
    meaning = settled(meaning, numbers, str(paths[0].parent))
    first: ArrayFile | None = None
    found_labels, found_factors = [], []
    with Growing(folder / "images.npy") as out:
        for path in paths:
            found = read_array_file(path, meaning, images, labels)
            first = first or found
            if found.held_out is not None:
                raise DataError(f"data.path: {path} has an official split, which one file of several cannot have")
            for what, ours, others in (
                (
                    "images",
                    (*found.images.shape[1:], found.images.dtype),
                    (*first.images.shape[1:], first.images.dtype),
                ),
                ("labels", found.labels is None, first.labels is None),
                ("factors", (found.factors is None, found.factor_names), (first.factors is None, first.factor_names)),
            ):
                if ours != others:
                    raise DataError(f"data.path: {path} has other {what} than {paths[0]}: they make no one set")
            out.add(found.images)
            if found.labels is not None:
                names = np.array(found.label_names)
                found_labels.append(names[found.labels] if len(names) else found.labels)
            if found.factors is not None:
                found_factors.append(found.factors)
    assert first is not None
    for name, parts in (("labels", found_labels), ("factors", found_factors)):
        if parts:
            np.save(folder / f"{name}.npy", np.concatenate(parts))
    write_json(folder / "factor_names.json", list(first.factor_names))
