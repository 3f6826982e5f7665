"""Any data set with items: a torch Dataset, a list, a Hugging Face set. Read once, by a child process, into the cache.

An item is an image, (image, label), or a mapping with an image and perhaps a label; an image is a PIL image, a tensor
(C, H, W) or an array (H, W, C). Items are read in their order, each once: random transforms are drawn once and kept.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae_sweep.data import children
from vae_sweep.data.cache import cached_folder
from vae_sweep.data.decoding import Decoding, Unreadable, from_pil
from vae_sweep.data.folder import ImageFile, files_below, listing_digest
from vae_sweep.data.image_data import DataError

_IMAGES, _LABELS = ("image", "img", "pixel_values", "x"), ("label", "labels", "y", "target", "fine_label")


def read_own(dataset: Mapping[str, Any], how: Decoding, cache_dir: Path) -> Path:
    """A folder with images.npy, and labels.npy where there are labels. dataset: `_target_` and its arguments.

    how: of PIL images. Read again when the arguments are others, or a file or folder among them has changed, at any
    depth. Raises DataError.
    """
    arguments = json.dumps(dataset, sort_keys=True).encode()
    key = {
        "kind": "own",
        "of": str(dataset["_target_"]),
        "arguments": hashlib.sha256(arguments).hexdigest(),  # one may be a password, and the key is written
        "how": asdict(how),
        "files": [listing_digest(_files(path)) for path in _paths(dataset)],
    }

    def build(folder: Path) -> None:
        asked = json.dumps({"dataset": dataset, "how": asdict(how), "folder": str(folder)})
        with children.start("vae_sweep.data.own_set") as child:  # whose command line anybody may read
            out, _ = child.communicate(asked)
        if child.returncode:
            said = out.strip().splitlines()
            raise DataError(said[-1] if said else f"data.dataset: reading it ended with code {child.returncode}")

    return cached_folder(cache_dir, key, str(dataset["_target_"]), build)


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


def gathered(items: Iterable[Any], how: Decoding) -> tuple[np.ndarray, np.ndarray | None]:
    """(images (N, H, W, C) of any type, labels (N,) or None). Raises DataError for items that are none."""
    images: list[np.ndarray] = []
    labels: list[Any] = []
    for number, item in enumerate(_each(items)):
        image, label = _parts(item, number)
        pixels = _pixels(image, how, number)
        if images and pixels.shape != images[0].shape:
            raise DataError(
                f"data.dataset: item {number} is {'x'.join(map(str, pixels.shape))}, item 0"
                f" {'x'.join(map(str, images[0].shape))}: a transform must make them alike (PIL images are cut by"
                " data.image_size)"
            )
        images.append(pixels)
        labels.append(label)
    if not images:
        raise DataError("data.dataset: it has no items")
    known = all(isinstance(label, (int, str, np.integer)) for label in labels)
    return np.stack(images), np.array(labels) if known else None


def _each(items: Any) -> Iterable[Any]:
    """By number where it has a length: a torch Dataset does not say where it ends otherwise."""
    if hasattr(items, "__getitem__") and hasattr(items, "__len__"):
        return (items[number] for number in range(len(items)))
    return iter(items)


def _parts(item: Any, number: int) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = next((name for name in _IMAGES if name in item), None)
        if found is None:
            raise DataError(
                f"data.dataset: item {number} has {', '.join(map(str, item))}, none of {', '.join(_IMAGES)}"
            )
        return item[found], _plain(next((item[name] for name in _LABELS if name in item), None))
    if isinstance(item, (tuple, list)):
        return item[0], _plain(item[1]) if len(item) > 1 else None
    return item, None


def _plain(label: Any) -> Any:
    """A tensor or array of one number as that number."""
    return label.item() if hasattr(label, "item") and getattr(label, "ndim", 0) == 0 else label


def _pixels(image: Any, how: Decoding, number: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        try:
            return from_pil(image, how)
        except Unreadable as error:
            raise DataError(f"data.dataset: item {number}: {error}") from None
    tensor = hasattr(image, "detach")
    array = np.asarray(image.detach().cpu() if tensor else image)
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise DataError(f"data.dataset: item {number} is {type(image).__name__} of shape {array.shape}, no image")
    first = tensor or (array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4))
    return array.transpose(1, 2, 0) if first else array


def main() -> None:
    """The child, which is asked on stdin. Exit code 0, or the reason as the last line of stdout."""
    asked = json.load(sys.stdin)
    target = asked["dataset"]["_target_"]
    try:
        from hydra.utils import instantiate

        images, labels = gathered(instantiate(asked["dataset"], _convert_="all"), Decoding(**asked["how"]))
        np.save(Path(asked["folder"]) / "images.npy", images)
        if labels is not None:
            np.save(Path(asked["folder"]) / "labels.npy", labels)
    except DataError as error:
        _leave(str(error))
    except Exception as error:  # anybody's code
        cause = error.__cause__ or error
        _leave(f"data.dataset._target_={target}: {type(cause).__name__}: {' '.join(str(cause).split())[:300]}")


def _leave(reason: str) -> None:
    print(reason)
    sys.exit(1)


if __name__ == "__main__":
    main()
