"""The standard sets, with their official split."""

from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.checks import optional, text
from vae_sweep.data import image_cache, torchvision_sets
from vae_sweep.data.cache import cached_array, resolve_cache_dir
from vae_sweep.data.content import absolute, share_of_both, some_of
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.folder import find_images
from vae_sweep.data.image_data import DataError, ImageData, fingerprint, require
from vae_sweep.data.settings import require_all
from vae_sweep.data.split import digests


def mnist(
    root: str | None = None,
    download: bool = False,
    image_size: int = 28,
    binarize: str = "none",
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Handwritten digits, 60,000 + 10,000 of 28x28; `val` is the standard test set. Larger sizes are padded with zeros.

    binarize: none, static (one Bernoulli draw per pixel, from a fixed seed) or dynamic (a new draw at every step)
    """
    return _standard_set("mnist", root, download, image_size, binarize, max_images, cache_dir)


def fashion_mnist(
    root: str | None = None,
    download: bool = False,
    image_size: int = 28,
    binarize: str = "none",
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Clothes, in the format of MNIST."""
    return _standard_set("fashion_mnist", root, download, image_size, binarize, max_images, cache_dir)


def cifar10(
    root: str | None = None,
    download: bool = False,
    image_size: int = 32,
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Photographs in ten classes, 50,000 + 10,000 of 32x32; `val` is the standard test set."""
    return _standard_set("cifar10", root, download, image_size, "none", max_images, cache_dir)


def celeba(
    root: str | None = None,
    download: bool = False,
    image_size: int = 64,
    max_images: int | None = None,
    workers: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Faces, aligned and centre-cropped to 178x178, with 40 attributes as factors (0 or 1).

    `train` and `val` are the set's own training and validation partitions; its test partition is left out.
    """
    require_all(image_size=image_size, max_images=max_images, workers=workers, download=download)
    folder = _standard_root(root, cache_dir)
    torchvision_sets.ensure_files("celeba", folder, download)
    folder = folder / "celeba"
    partition = torchvision_sets.celeba_partition(folder)
    attributes, attribute_names = torchvision_sets.celeba_attributes(folder)
    files = [file for file in find_images(folder / "img_align_celeba") if partition.get(file.name) in (0, 1)]
    if not files:
        raise DataError(f"data.root: {folder / 'list_eval_partition.txt'} names none of the images beside it")
    files = [files[row] for row in some_of(files, max_images)]
    decoded = image_cache.decoded(
        folder / "img_align_celeba", files, Decoding(image_size), resolve_cache_dir(cache_dir), workers
    )
    if decoded.unreadable:
        raise DataError(image_cache.unreadable_message(folder, decoded.unreadable))
    ordered = [files[row].name for row in decoded.files]
    is_val = np.array([partition[name] == 1 for name in ordered])
    factors = np.array([attributes[name] for name in ordered], np.float64)
    return _standard(
        decoded.images, np.flatnonzero(~is_val), np.flatnonzero(is_val), "celeba", decoded.pixel_digests,
        factors=factors, factor_names=attribute_names,
    )  # fmt: skip


def _standard_set(
    name: str,
    root: str | None,
    download: bool,
    image_size: int,
    binarize: str,
    max_images: int | None,
    cache_dir: str | None,
) -> ImageData:
    require_all(image_size=image_size, binarize=binarize, max_images=max_images, download=download)
    folder = _standard_root(root, cache_dir)
    torchvision_sets.ensure_files(name, folder, download)
    entry = torchvision_sets.read_standard_set(
        name, folder, image_size, binarize == "static", resolve_cache_dir(cache_dir)
    )
    images, labels = cached_array(entry / "images.npy", "r"), cached_array(entry / "labels.npy")
    n_train = int(cached_array(entry / "n_train.npy"))
    contents = digests(images)
    if max_images is not None and max_images < len(images):
        rows = share_of_both(contents, len(images) - n_train, max_images)
        images, labels, contents = images[rows], labels[rows], [contents[row] for row in rows]
        n_train = int((rows < n_train).sum())
    rows = np.arange(len(images))
    return _standard(images, rows[:n_train], rows[n_train:], name, contents, labels=labels, binarize=binarize)


def _standard(
    images: np.ndarray, train: np.ndarray, val: np.ndarray, name: str, contents: list[bytes], **known: Any
) -> ImageData:
    """A set that comes with its split."""
    if not len(train) or not len(val):
        raise DataError(f"{name}: {len(train)} training and {len(val)} validation images; data.max_images is too small")
    parts = (known.get("labels"), known.get("factors"), known.get("binarize", "none"))
    return ImageData(images, train, val, fingerprint(contents, images, train, val, *parts), name, **known)


def _standard_root(root: str | None, cache_dir: str | None) -> Path:
    require("root", root, optional(text))
    return absolute(root) if root else resolve_cache_dir(cache_dir) / "torchvision"
