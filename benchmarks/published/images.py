"""MNIST as published examples have it: `data._target_=benchmarks.published.images.NAME`. Loads no torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae_sweep import data
from vae_sweep.checks import choice
from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.image_data import ImageData, fingerprint, require
from vae_sweep.data.split import digests


def resized(image_size: int, cache_dir: str | None = None, **settings: Any) -> ImageData:
    """Blown up to image_size x image_size bilinearly, as torchvision.transforms.Resize does, where data=mnist pads."""
    as_it_is = data.mnist(image_size=28, cache_dir=cache_dir, **settings)

    def build(folder: Path) -> None:
        np.save(folder / "images.npy", np.stack([_resized(image, image_size) for image in as_it_is.images]))

    key = {"kind": "MNIST, resized bilinearly", "of": as_it_is.fingerprint, "image_size": image_size}
    folder = cached_folder(resolve_cache_dir(cache_dir), key, "MNIST, resized", build)
    return _renamed(replace(as_it_is, images=cached_array(folder / "images.npy", "r")))


def all_of_it(**settings: Any) -> ImageData:
    """All 70,000 images to train on. The standard test set, among them, is `val` as well: it is not held out."""
    as_it_is = data.mnist(**settings)
    return _renamed(replace(as_it_is, train=np.arange(len(as_it_is.images))))


def larochelle(held_out: str = "test", **settings: Any) -> ImageData:
    """The first 50,000 images to train on, as in the binarised MNIST of Larochelle & Murray (2011).

    held_out: test, the standard test set, or validation, the other 10,000 of the standard training set.
    Raises DataError for another one.
    """
    require("held_out", held_out, choice("test", "validation"))
    as_it_is = data.mnist(**settings)
    cut = round(len(as_it_is.train) * 5 / 6)
    val = as_it_is.val if held_out == "test" else as_it_is.train[cut:]
    return _renamed(replace(as_it_is, train=as_it_is.train[:cut], val=val))


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 1) -> (size, size, 1) uint8."""
    plane = Image.fromarray(image[..., 0]).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(plane)[..., None]


def _renamed(images: ImageData) -> ImageData:
    parts = (images.train, images.val, images.labels, images.binarize)
    return replace(images, fingerprint=fingerprint(digests(images.images), images.images, *parts))
