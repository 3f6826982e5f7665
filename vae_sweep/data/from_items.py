"""Data sets in Python: anybody's, and Hugging Face's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vae_sweep.checks import choice
from vae_sweep.data import array_file, own_set
from vae_sweep.data.array_file import ArrayFile
from vae_sweep.data.cache import cached_array, resolve_cache_dir
from vae_sweep.data.content import absolute, split_by_content
from vae_sweep.data.decoding import OF_PILLOW, Decoding
from vae_sweep.data.image_data import DataError, ImageData, require
from vae_sweep.data.pixels import as_images
from vae_sweep.data.settings import meaning_of, require_all
from vae_sweep.data.split import digests


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

    dataset: `_target_` and its arguments. image_size, fit: of PIL images; tensors are taken as they are.
    """
    if not dataset or not dataset.get("_target_"):
        raise DataError("data.dataset._target_ is not set: name the class, data.dataset._target_=my_package.MyDataset")
    require_all(image_size=image_size, fit=fit, val_fraction=val_fraction, max_images=max_images)
    meaning = meaning_of("nhwc", range, white, channels, None)
    folder = own_set.read_own(dataset, Decoding(image_size, channels or 3, fit), resolve_cache_dir(cache_dir))
    name = str(dataset["_target_"]).rsplit(".", 1)[-1]
    images = as_images(cached_array(folder / "images.npy", "r"), meaning, name)
    given = cached_array(folder / "labels.npy") if (folder / "labels.npy").exists() else None
    labels, label_names = array_file.known_labels(given, len(images), Path(name))
    content = ArrayFile(images, labels, label_names, None, ())
    return split_by_content(content, digests(images), name, val_fraction, max_images)


def hf(
    path: str | None = None,
    split: str = "train",
    download: bool = False,
    image_size: int = 64,
    fit: str = "crop",
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
    return replace(own(dataset, image_size, fit, None, None, channels, val_fraction, max_images, cache_dir),
                   name=place.name)  # fmt: skip
