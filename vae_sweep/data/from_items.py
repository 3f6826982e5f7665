"""Data sets in Python: anybody's, and Hugging Face's."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.checks import choice
from vae_sweep.data import array_file, own_set
from vae_sweep.data.array_file import ArrayFile
from vae_sweep.data.cache import resolve_cache_dir
from vae_sweep.data.content import absolute, split_by_content
from vae_sweep.data.decoding import OF_PILLOW, Decoding
from vae_sweep.data.image_data import DataError, ImageData, require
from vae_sweep.data.pixels import Meaning, as_images
from vae_sweep.data.settings import meaning_of, require_all
from vae_sweep.data.split import digests

log = logging.getLogger("vae_sweep")


def own(
    dataset: Mapping[str, Any] | None = None,
    image_size: int = 64,
    fit: str = "crop",
    range: Sequence[float] | None = None,
    white: int | None = None,
    channels: int | None = None,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Anybody's data set with items, such as a torch Dataset: see own_set.py.

    dataset: `_target_` and its arguments. image_size, fit: of pictures; tensors are taken as they are.
    """
    if not dataset or not dataset.get("_target_"):
        raise DataError("data.dataset._target_ is not set: name the class, data.dataset._target_=my_package.MyDataset")
    name = str(dataset["_target_"]).rsplit(".", 1)[-1]
    return _with_items(name, dataset, image_size, fit, range, white, channels, val_fraction, max_images, cache_dir)


def hf(
    path: str | None = None,
    split: str = "train",
    download: bool = False,
    image_size: int = 64,
    fit: str = "crop",
    range: Sequence[float] | None = None,
    white: int | None = None,
    channels: int = 3,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """A Hugging Face data set on disk or in its cache: see hugging_face.py."""
    if path is None:
        raise DataError("data.path is not set: name the folder, file or data set, data.path=DIR")
    require("channels", channels, choice(*OF_PILLOW))
    require_all(split=split, download=download)
    place = absolute(path)
    where = str(place) if place.exists() else path
    dataset = {
        "_target_": "vae_sweep.data.hugging_face.opened", "path": where, "split": split, "download": download,
    }  # fmt: skip
    return _with_items(
        place.name, dataset, image_size, fit, range, white, channels, val_fraction, max_images, cache_dir
    )


def _with_items(
    name: str,
    dataset: Mapping[str, Any],
    image_size: int,
    fit: str,
    span: Sequence[float] | None,
    white: int | None,
    channels: int | None,
    val_fraction: float,
    max_images: int | None,
    cache_dir: str | None,
) -> ImageData:
    require_all(image_size=image_size, fit=fit, val_fraction=val_fraction, max_images=max_images)
    meaning = meaning_of("nhwc", span, white, channels, None)
    how = Decoding(image_size, channels or 3, fit, white, meaning.span)
    found = own_set.read_own(dataset, how, resolve_cache_dir(cache_dir))
    for remark in found.remarks:
        log.info("%s: %s", name, remark)
    if found.in_bytes:
        meaning = Meaning("nhwc", white=255, channels=channels)
    images = as_images(found.images, meaning, name)
    labels, label_names = array_file.known_labels(found.labels, len(images), Path(name))
    content = ArrayFile(images, labels, label_names, None, ())
    return split_by_content(content, digests(images), name, val_fraction, max_images)
