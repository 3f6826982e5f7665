"""From images and what is known of them to a data set with its split, which is made by their contents."""

import os
from pathlib import Path

import numpy as np

from vae_sweep.data.array_file import ArrayFile
from vae_sweep.data.folder import ImageFile
from vae_sweep.data.image_data import ImageData, fingerprint
from vae_sweep.data.resizing import resized
from vae_sweep.data.split import digest, split, subset


def split_by_content(
    content: ArrayFile,
    contents: list[bytes],
    name: str,
    val_fraction: float,
    max_images: int | None,
    image_size: int | None = None,
    where: str = "data",
) -> ImageData:
    """contents: the digest of each image before it is resized, so that every size has the same split."""
    images, labels, factors = content.images, content.labels, content.factors
    held_out = content.held_out
    if max_images is not None and max_images < len(images):
        rows = subset(contents, max_images) if held_out is None else share_of_both(contents, held_out, max_images)
        held_out = held_out and int((rows >= len(images) - held_out).sum())
        images, contents = images[rows], [contents[row] for row in rows]
        labels = labels if labels is None else labels[rows]
        factors = factors if factors is None else factors[rows]
    if image_size is not None:
        images = resized(images, image_size)
    if held_out is None:
        train, val = split(contents, val_fraction, where=where)
    else:
        train, val = np.split(np.arange(len(images)), [len(images) - held_out])
    return ImageData(
        images=images,
        train=train,
        val=val,
        fingerprint=fingerprint(contents, images, train, val, labels, factors),
        name=name,
        labels=labels,
        label_names=content.label_names,
        factors=factors,
        factor_names=content.factor_names,
    )


def share_of_both(contents: list[bytes], held_out: int, count: int) -> np.ndarray:
    """Rows of `count` images: of either part of a split its share, at least one."""
    n_train, n_val = len(contents) - held_out, max(round(count * held_out / len(contents)), 1)
    return np.concatenate([subset(contents[:n_train], count - n_val), n_train + subset(contents[n_train:], n_val)])


def some_of(files: list[ImageFile], count: int | None) -> np.ndarray:
    """Sorted rows of the `count` files (null: all) whose names have the lowest digests: a fixed random choice."""
    return subset([digest(os.fsencode(file.name)) for file in files], count)


def absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))
