"""Images that come with the folder of a sweep, on a machine where the files that they were made of do not lie.

They travel in parts, are kept once per machine in the cache, and are found below `<sweep>/.images/<fingerprint>`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.data.cache import cached_array, cached_folder
from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.files import read_json, write_json

_FOLDER = ".images"
_PART_BYTES = 64 << 20
_ARRAYS = ("train", "val", "labels", "factors")
_WORDS = ("fingerprint", "name", "label_names", "factor_names", "binarize", "names")


def parts(images: np.ndarray) -> Iterator[np.ndarray]:
    """The images a stretch at a time, in memory."""
    rows = max(1, _PART_BYTES // max(1, images[:1].nbytes))
    for first in range(0, len(images), rows):
        yield np.array(images[first : first + rows])


def without_images(data: ImageData) -> ImageData:
    """All that is known of them. The array is empty, of their shape and type."""
    return replace(data, images=np.array(data.images[:0]))


def carry(
    sweep: Path, rest: ImageData, count: int, images: Callable[[], Iterable[np.ndarray]], cache_dir: Path
) -> None:
    """Put a data set of `count` images into the folder of a sweep, for `carried`.

    rest: `without_images` of it; images: its parts, asked for if they are not in the cache yet.

    Raises DataError if the cache cannot be written.
    """
    words = {name: getattr(rest, name) for name in _WORDS}
    digest = hashlib.sha256(json.dumps(words, sort_keys=True, default=list).encode()).hexdigest()

    def build(folder: Path) -> None:
        file = np.lib.format.open_memmap(
            folder / "images.npy", "w+", rest.images.dtype, (count, *rest.images.shape[1:])
        )
        row = 0
        for part in images():
            file[row : row + len(part)] = part
            row += len(part)
        file.flush()
        for name in _ARRAYS:
            if getattr(rest, name) is not None:
                np.save(folder / f"{name}.npy", getattr(rest, name))
        write_json(folder / "words.json", words)

    key = {"kind": "carried", "fingerprint": rest.fingerprint, "words": digest}
    entry = cached_folder(cache_dir, key, f"images of {rest.name}", build)
    link = sweep / _FOLDER / rest.fingerprint
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(entry, target_is_directory=True)


def carried(sweep: Path, fingerprint: str | None) -> ImageData | None:
    """The data set that came with the folder; None if none did. Raises DataError if it is damaged."""
    entry = sweep / _FOLDER / str(fingerprint)
    if not entry.exists():
        return None
    words: dict[str, Any] = read_json(entry / "words.json")
    arrays: dict[str, Any] = {name: cached_array(path) for name in _ARRAYS if (path := entry / f"{name}.npy").exists()}
    words |= {name: tuple(words[name]) for name in ("label_names", "factor_names")}
    return ImageData(images=cached_array(entry / "images.npy", "r"), **arrays, **words)
