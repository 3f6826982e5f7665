"""Any data set with items: a torch Dataset, a list, a Hugging Face set. Read once, by a child process, into the cache.

An item is an image, (image, label), or a mapping with an image and perhaps a label; an image is a PIL image, the bytes
of a picture file, a tensor (C, H, W) or an array (H, W, C). Items are read in their order, each once: random transforms
are drawn once and kept.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae_sweep.data import children
from vae_sweep.data.cache import cached_array, cached_folder
from vae_sweep.data.decoding import OF_PILLOW, Decoding, Notes, Unreadable, from_file, from_pil
from vae_sweep.data.folder import ImageFile, files_below, listing_digest
from vae_sweep.data.growing import Growing
from vae_sweep.data.image_data import DataError
from vae_sweep.data.item_labels import gathered_labels, plain_label
from vae_sweep.data.remarks import remarks
from vae_sweep.data.sources import source_digest
from vae_sweep.data.torch_file import numpy_of
from vae_sweep.runs.files import read_json, write_json

_IMAGES, _LABELS = ("image", "img", "pixel_values", "x"), ("label", "labels", "y", "target", "fine_label", "cls")
_VERSION = 3  # of what is kept in the cache


@dataclass(frozen=True)
class OwnSet:
    """images: (N, H, W, C), a memory map. labels: (N,) or None. in_bytes: they are those of pictures, which have been
    brought to bytes as `how` says. remarks: sentences on what that did to them."""

    images: np.ndarray
    labels: np.ndarray | None
    in_bytes: bool
    remarks: list[str]


def read_own(dataset: Mapping[str, Any], how: Decoding, cache_dir: Path) -> OwnSet:
    """dataset: `_target_` and its arguments.

    how: of pictures. Read again when the arguments are others, the source of a class has changed, or a file or folder
    among the arguments, at any depth. Raises DataError.
    """
    arguments = json.dumps(dataset, sort_keys=True).encode()
    key = {
        "kind": "own",
        "version": _VERSION,
        "of": str(dataset["_target_"]),
        "arguments": hashlib.sha256(arguments).hexdigest(),  # one may be a password, and the key is written
        "sources": [source_digest(name) for name in _targets(dataset)],
        "how": asdict(how),
        "files": [listing_digest(_files(path)) for path in _paths(dataset)],
    }

    def build(folder: Path) -> None:
        task = {"dataset": dataset, "how": asdict(how), "folder": str(folder)}
        if error := children.failure("vae_sweep.data.own_set", task):
            raise DataError(error if error.startswith("data.") else f"data.dataset: {error}")

    folder = cached_folder(cache_dir, key, str(dataset["_target_"]), build)
    labels = cached_array(folder / "labels.npy") if (folder / "labels.npy").exists() else None
    return OwnSet(cached_array(folder / "images.npy", "r"), labels, **read_json(folder / "about.json"))


def _targets(node: Any) -> Iterator[str]:
    """The classes and functions that are named at any depth, in the order of the arguments' names."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for name in sorted(node):
            yield from _targets(node[name])
    elif isinstance(node, (list, tuple)):
        for inner in node:
            yield from _targets(inner)


def _paths(node: Any) -> Iterator[str]:
    """The files and folders that there are among the texts at any depth, in the order of the arguments' names."""
    if isinstance(node, str):
        if node.strip("/") and os.path.exists(path := os.path.expanduser(node)):
            yield path
    elif isinstance(node, Mapping):
        for name in sorted(node):
            yield from _paths(node[name])
    elif isinstance(node, (list, tuple)):
        for inner in node:
            yield from _paths(inner)


def _files(path: str) -> list[ImageFile]:
    """A file by itself, a folder by all that is below it."""
    if os.path.isdir(path):
        return sorted(files_below(Path(path), all_of_them=False), key=lambda file: file.name)
    status = os.stat(path)
    return [ImageFile("", status.st_size, status.st_mtime_ns)]


def gathered(items: Iterable[Any], how: Decoding, out: Growing) -> tuple[np.ndarray | None, list[Notes], list[str]]:
    """(labels (N,) or (N, K), or None; what was done to those that are pictures; what is to be said of the labels).

    out: gets the images (N, H, W, C), of any type. Raises DataError for items that are none, or not alike.
    """
    first: np.ndarray | None = None
    labels: list[Any] = []
    notes: list[Notes] = []
    for number, item in enumerate(_each(items)):
        image, label = _parts(item, number)
        pixels = _pixels(image, how, number, notes)
        if 0 < len(notes) < number + 1:
            raise DataError(f"data.dataset: item {number} is {type(image).__name__}: pictures and arrays in one set")
        first = pixels if first is None else first
        if pixels.shape != first.shape:
            raise DataError(
                f"data.dataset: item {number} is {'x'.join(map(str, pixels.shape))}, item 0"
                f" {'x'.join(map(str, first.shape))}: a transform must make them alike (PIL images are cut by"
                " data.image_size)"
            )
        if pixels.dtype != first.dtype:
            raise DataError(
                f"data.dataset: item {number} has {pixels.dtype} pixels, item 0 has {first.dtype}: numbers of several"
                " types make no one set"
            )
        out.add(pixels[None])
        labels.append(plain_label(label))
    if first is None:
        raise DataError("data.dataset: it has no items")
    known, said = gathered_labels(labels)
    return known, notes, [said] if said else []


def _each(items: Any) -> Iterable[Any]:
    """By number where it has a length: a torch Dataset does not say where it ends otherwise."""
    if isinstance(items, Mapping):
        raise DataError(f"data.dataset: it is a {type(items).__name__} of {', '.join(map(str, items))}, not of items")
    if hasattr(items, "__getitem__") and hasattr(items, "__len__"):
        return (items[number] for number in range(len(items)))
    return iter(items)


def _parts(item: Any, number: int) -> tuple[Any, Any]:
    if is_dataclass(item):
        item = {field.name: getattr(item, field.name) for field in fields(item)}
    if isinstance(item, Mapping):
        found = [name for name in _IMAGES if name in item][:1] or [name for name in item if _is_image(item[name])]
        if len(found) != 1:
            which = f"of which {', '.join(map(str, found))} are images" if found else f"none of {', '.join(_IMAGES)}"
            raise DataError(f"data.dataset: item {number} has {', '.join(map(str, item))}, {which}")
        return item[found[0]], next((item[name] for name in _LABELS if name in item), None)
    if isinstance(item, (tuple, list)):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _is_image(value: Any) -> bool:
    return isinstance(value, (Image.Image, bytes)) or getattr(value, "ndim", 0) in (2, 3)


def _pixels(image: Any, how: Decoding, number: int, notes: list[Notes]) -> np.ndarray:
    """Notes are added of a picture."""
    if isinstance(image, (Image.Image, bytes)):
        if how.channels not in OF_PILLOW:
            raise DataError(f"data.channels={how.channels}: item {number} is a picture, which has 1, 3 or 4")
        try:
            pixels, note = from_file(io.BytesIO(image), how) if isinstance(image, bytes) else from_pil(image, how)
        except Unreadable as error:
            raise DataError(f"data.dataset: item {number}: {error}") from None
        notes.append(note)
        return pixels
    tensor = hasattr(image, "detach")
    array = numpy_of(image) if tensor else np.asarray(image)
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or array.dtype.kind not in "buif":
        hint = ", such as a DataLoader makes; its own data set has images" if array.ndim == 4 else ""
        raise DataError(f"data.dataset: item {number} is {type(image).__name__} of shape {array.shape}, no image{hint}")
    first, last = (array.shape[axis] in (1, 3, 4) for axis in (0, 2))
    first = first and not last if not tensor else first or not last
    return array.transpose(1, 2, 0) if first else array


def read(task: Mapping[str, Any]) -> None:
    """{"dataset", "how", "folder"}: its images and labels as arrays in the folder, in the child."""
    try:
        from hydra.utils import instantiate

        folder, how = Path(task["folder"]), Decoding(**task["how"])
        with Growing(folder / "images.npy") as out:
            labels, notes, said = gathered(instantiate(task["dataset"], _convert_="all"), how, out)
        if labels is not None:
            np.save(folder / "labels.npy", labels)
        write_json(folder / "about.json", {"in_bytes": bool(notes), "remarks": [*remarks(notes, how), *said]})
    except Exception as error:  # anybody's code
        cause = error.__cause__ or error
        if isinstance(cause, DataError):
            raise cause from None
        reason = " ".join(str(cause).split())[:300]
        raise RuntimeError(
            f"data.dataset._target_={task['dataset']['_target_']}: {type(cause).__name__}: {reason}"
        ) from None


if __name__ == "__main__":
    children.serve(read)
