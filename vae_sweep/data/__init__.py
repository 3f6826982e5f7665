"""The data sets: what `conf/data/*.yaml` name as `_target_`. Each returns ImageData or raises DataError.

Everything slow is done once and kept in `data.cache_dir`. Nothing here loads torch. Relative paths are relative to the
current directory.
"""

import hashlib
import importlib
import inspect
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.checks import boolean, choice, integer, number, optional, text
from vae_sweep.data import (
    archive,
    array_file,
    canvas,
    image_cache,
    list_file,
    own_set,
    painters,
    shards,
    torchvision_sets,
)
from vae_sweep.data.array_file import LAYOUTS, ArrayFile, Meaning, read_array_file
from vae_sweep.data.bands import MISSING, reads_bands
from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.decoding import FITS, OF_PILLOW, Decoding
from vae_sweep.data.folder import ImageFile, find_images
from vae_sweep.data.image_data import DataError, ImageData, fingerprint, require
from vae_sweep.data.pixels import as_images
from vae_sweep.data.progress import progress
from vae_sweep.data.resizing import resized
from vae_sweep.data.split import DIGEST_BYTES, digest, digests, split, subset

__all__ = ["DataError", "ImageData", "load"]

log = logging.getLogger("vae_sweep")

_NOT_OURS = ("_target_", "batch_size", "augment")
_IMAGE_SIZE = integer(4, 1024)
_VAL_FRACTION = number(above=0, high=0.9)


def _span(value: Any) -> str | None:
    """Of what is black and what is white."""
    fine = isinstance(value, (list, tuple)) and len(value) == 2 and all(number()(end) is None for end in value)
    return None if fine and value[0] < value[1] else "[black, white], two rising numbers"


def _channel_list(value: Any) -> str | None:
    fine = isinstance(value, (list, tuple)) and value and all(integer(0)(band) is None for band in value)
    return None if fine else "a list of channels, from 0"


def load(config: Mapping[str, Any]) -> ImageData:
    """The data set of a member. config: its `data` section as a plain dict; `_target_` may be anybody's function.

    Raises DataError; whatever else a function of somebody else's raises is passed on.
    """
    module, _, name = str(config["_target_"]).rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"data._target_={config['_target_']}: {error}") from error
    settings = {key: value for key, value in config.items() if key not in _NOT_OURS}
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        raise DataError(f"data: {name}() {error}") from None
    try:
        data = function(**settings)
    except (MemoryError, OverflowError) as error:
        raise DataError(f"data: {name} does not fit into memory: {error}") from None
    if not isinstance(data, ImageData):
        raise DataError(f"data._target_={config['_target_']} returned {type(data).__name__}, not ImageData")
    return data


# The sets ------------------------------------------------------------------------------------------------------------


def paintings(
    image_size: int = 64,
    n_images: int = 2400,
    seed: int = 0,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Procedural abstract paintings with ground-truth factors; labels are the families. See data/painters.py."""
    require("image_size", image_size, integer(32, 256))
    require("n_images", n_images, integer(2, 10**7))
    require("seed", seed, integer(0, 2**32 - 1))
    require("val_fraction", val_fraction, _VAL_FRACTION)
    require("max_images", max_images, optional(integer(2)))
    # The painters' own source is part of the key: a changed brush makes new paintings.
    source = b"".join(Path(str(module.__file__)).read_bytes() for module in (canvas, painters))
    key = {
        "kind": "paintings",
        "source": hashlib.sha256(source).hexdigest(),
        "image_size": image_size,
        "n_images": n_images,
        "seed": seed,
    }

    def build(folder: Path) -> None:
        images = np.empty((n_images, image_size, image_size, 3), np.uint8)
        factors = np.empty((n_images, len(painters.FACTOR_NAMES)))
        with progress("painting", n_images) as advance:
            for row, (image, drawn) in enumerate(painters.paint_all(n_images, image_size, seed)):
                images[row], factors[row] = image, astuple(drawn)
                advance()
        np.save(folder / "images.npy", images)
        np.save(folder / "factors.npy", factors)

    folder = cached_folder(resolve_cache_dir(cache_dir), key, f"{n_images} paintings", build)
    images, factors = cached_array(folder / "images.npy", "r"), cached_array(folder / "factors.npy")
    return _split_by_content(
        ArrayFile(images, factors[:, 0].astype(np.int64), painters.FAMILY_NAMES, factors, painters.FACTOR_NAMES),
        digests(images),
        "paintings",
        val_fraction,
        max_images,
    )


def image_folder(
    root: str | None = None,
    image_size: int = 64,
    channels: int = 3,
    fit: str = "crop",
    white: int | None = None,
    range: Sequence[float] | None = None,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    max_unreadable: int = 0,
    workers: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Anybody's pictures, decoded once: below a folder, in a zip or tar, or by a list of paths (.txt, .csv).

    Labels are those of the list, else the names of the first-level folders, if there are any.
    max_images: the images whose names (below root) have the lowest digests; only they are decoded.
    workers: processes that decode; null: one per core.
    """
    if root is None:
        raise DataError("data.root is not set: name the folder with the images, data.root=DIR")
    require("root", root, text)
    require("workers", workers, optional(integer(1)))
    require("max_unreadable", max_unreadable, integer(0))
    require("image_size", image_size, _IMAGE_SIZE)
    require("channels", channels, integer(1, 1024))
    require("fit", fit, choice(*FITS))
    if channels not in OF_PILLOW and not reads_bands():
        raise DataError(f"data.channels={channels}: {MISSING}")
    require("white", white, optional(integer(1)))
    require("range", range, optional(_span))
    require("val_fraction", val_fraction, _VAL_FRACTION)
    require("max_images", max_images, optional(integer(2)))
    name, folder, files, labels_of = _pictures(_absolute(root), resolve_cache_dir(cache_dir))
    files = _some(files, max_images)
    how = Decoding(image_size, channels, fit, white, (float(range[0]), float(range[1])) if range else None)
    decoded = image_cache.decoded(folder, files, how, resolve_cache_dir(cache_dir), workers)
    for remark in decoded.remarks:
        log.info("%s: %s", name, remark)
    if decoded.unreadable:
        message = image_cache.unreadable_message(folder, decoded.unreadable)
        if len(decoded.unreadable) > max_unreadable:
            raise DataError(f"{message}; data.max_unreadable={len(decoded.unreadable)} leaves them out")
        log.warning("left out %s", message)
    names = [files[row].name for row in decoded.files]
    if labels_of is None:
        labels, label_names = _folder_labels(names)
    else:
        labels, label_names = _numbered([labels_of[name] for name in names]) if labels_of else (None, ())
    train, val = split(decoded.pixel_digests, val_fraction, decoded.file_digests, f"data.root: {root}")
    return ImageData(
        images=decoded.images,
        train=train,
        val=val,
        fingerprint=fingerprint(decoded.pixel_digests, decoded.images, train, val, labels),
        name=name,
        labels=labels,
        label_names=label_names,
        names=names,
    )


def _pictures(path: Path, cache_dir: Path) -> tuple[str, Path, list[ImageFile], dict[str, str] | None]:
    """(name of the set, folder, its files, their labels by a list; None: labels are folders)"""
    if path.is_file() and path.suffix.lower() in (".txt", ".csv"):
        files, labels = list_file.read_list(path)
        return path.stem, path.parent, files, {f.name: label for f, label in zip(files, labels or [], strict=False)}
    archives = [path] if archive.is_archive(path) else shards.shards_of(path, shards.ARCHIVES)
    if archives:
        folder, aside = archive.unpacked(archives, cache_dir)
        if aside:
            log.info("%s: left aside %s", path, aside)
        name = path.parent.name if path not in archives and not path.is_dir() else path.name.split(".")[0]
        return name, folder, find_images(folder), None
    return path.name, path, find_images(_existing_folder(path)), None


def arrays(
    path: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    layout: str = "auto",
    range: Sequence[float] | None = None,
    white: int | None = None,
    channels: int | None = None,
    bands: Sequence[int] | None = None,
    image_size: int | None = None,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    cache_dir: str | None = None,
) -> ImageData:
    """Images from a .npy or .npz file, in its order. See array_file.py for what it may hold, pixels.py for its numbers.

    images, labels: names of arrays in a .npz. image_size: null leaves the size as it is. An official split is kept.
    cache_dir: for the digests of memory-mapped files.
    """
    if path is None:
        raise DataError("data.path is not set: name the .npy or .npz file with the images, data.path=FILE")
    require("path", path, text)
    require("layout", layout, choice(*LAYOUTS))
    meaning = _meaning(layout, range, white, channels, bands)
    require("image_size", image_size, optional(_IMAGE_SIZE))
    require("val_fraction", val_fraction, _VAL_FRACTION)
    require("max_images", max_images, optional(integer(2)))
    file = _absolute(path)
    name = file.stem
    if several := shards.shards_of(file, shards.ARRAYS):
        name = file.name if file.is_dir() else file.parent.name
        content, file = shards.read_shards(several, meaning, images, labels, resolve_cache_dir(cache_dir))
    else:
        content = read_array_file(file, meaning, images, labels)
    contents = _array_digests(file, content.images, resolve_cache_dir(cache_dir))
    if image_size is not None:
        height, width = content.images.shape[1:3]
        if height != width:
            raise DataError(f"data.image_size={image_size}: the images of {file} are {height}x{width}, not square")
    return _split_by_content(content, contents, name, val_fraction, max_images, image_size, f"data.path: {path}")


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
    require("image_size", image_size, _IMAGE_SIZE)
    require("fit", fit, choice(*FITS))
    require("val_fraction", val_fraction, _VAL_FRACTION)
    require("max_images", max_images, optional(integer(2)))
    meaning = _meaning("nhwc", range, white, channels, None)
    folder = own_set.read_own(dataset, Decoding(image_size, channels or 3, fit), resolve_cache_dir(cache_dir))
    name = str(dataset["_target_"]).rsplit(".", 1)[-1]
    images = as_images(cached_array(folder / "images.npy", "r"), meaning, name)
    given = cached_array(folder / "labels.npy") if (folder / "labels.npy").exists() else None
    labels, label_names = array_file.known_labels(given, len(images), Path(name))
    content = ArrayFile(images, labels, label_names, None, ())
    return _split_by_content(content, digests(images), name, val_fraction, max_images)


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
    require("split", split, text)
    require("download", download, boolean)
    _require_decoding(image_size, channels, fit)
    place = _absolute(path)
    where = str(place) if place.exists() else path
    dataset = {
        "_target_": "vae_sweep.data.hugging_face.opened", "path": where, "split": split, "download": download,
    }  # fmt: skip
    return replace(own(dataset, image_size, fit, None, None, channels, val_fraction, max_images, cache_dir),
                   name=place.name)  # fmt: skip


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
    require("image_size", image_size, _IMAGE_SIZE)
    require("max_images", max_images, optional(integer(2)))
    require("workers", workers, optional(integer(1)))
    require("download", download, boolean)
    folder = _standard_root(root, cache_dir)
    torchvision_sets.ensure_files("celeba", folder, download)
    folder = folder / "celeba"
    partition = torchvision_sets.celeba_partition(folder)
    attributes, attribute_names = torchvision_sets.celeba_attributes(folder)
    files = [file for file in find_images(folder / "img_align_celeba") if partition.get(file.name) in (0, 1)]
    if not files:
        raise DataError(f"data.root: {folder / 'list_eval_partition.txt'} names none of the images beside it")
    files = _some(files, max_images)
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


# What they share -----------------------------------------------------------------------------------------------------


def _split_by_content(
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
        rows = subset(contents, max_images) if held_out is None else _share_of_both(contents, held_out, max_images)
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


def _share_of_both(contents: list[bytes], held_out: int, count: int) -> np.ndarray:
    """Rows of `count` images: of either part of a split its share, at least one."""
    n_train, n_val = len(contents) - held_out, max(round(count * held_out / len(contents)), 1)
    return np.concatenate([subset(contents[:n_train], count - n_val), n_train + subset(contents[n_train:], n_val)])


def _meaning(
    layout: str, span: Sequence[float] | None, white: int | None, channels: int | None, bands: Sequence[int] | None
) -> Meaning:
    """Raises DataError for settings that mean nothing."""
    require("range", span, optional(_span))
    require("white", white, optional(integer(1)))
    require("channels", channels, optional(integer(1)))
    require("bands", bands, optional(_channel_list))
    return Meaning(
        layout, (float(span[0]), float(span[1])) if span else None, white, channels, tuple(bands) if bands else None
    )


def _array_digests(path: Path, images: np.ndarray, cache_dir: Path) -> list[bytes]:
    """Of each image. Those of a memory-mapped file are kept, for it takes a while to read."""
    if not isinstance(images, np.memmap):
        return digests(images)
    status = path.stat()
    key = {
        "kind": "digests",
        "path": str(path),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "shape": images.shape,
    }

    def build(folder: Path) -> None:
        np.save(folder / "digests.npy", np.frombuffer(b"".join(digests(images)), np.uint8).reshape(-1, DIGEST_BYTES))

    folder = cached_folder(cache_dir, key, f"digests of {path.name}", build)
    return [row.tobytes() for row in cached_array(folder / "digests.npy")]


def _standard_set(
    name: str,
    root: str | None,
    download: bool,
    image_size: int,
    binarize: str,
    max_images: int | None,
    cache_dir: str | None,
) -> ImageData:
    require("image_size", image_size, _IMAGE_SIZE)
    require("binarize", binarize, choice("none", "static", "dynamic"))
    require("max_images", max_images, optional(integer(2)))
    require("download", download, boolean)
    folder = _standard_root(root, cache_dir)
    torchvision_sets.ensure_files(name, folder, download)
    entry = torchvision_sets.read_standard_set(
        name, folder, image_size, binarize == "static", resolve_cache_dir(cache_dir)
    )
    images, labels = cached_array(entry / "images.npy", "r"), cached_array(entry / "labels.npy")
    n_train = int(cached_array(entry / "n_train.npy"))
    contents = digests(images)
    if max_images is not None and max_images < len(images):
        rows = _share_of_both(contents, len(images) - n_train, max_images)
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
    return _absolute(root) if root else resolve_cache_dir(cache_dir) / "torchvision"


def _require_decoding(image_size: int, channels: int, fit: str) -> None:
    require("image_size", image_size, _IMAGE_SIZE)
    require("channels", channels, choice(1, 3, 4))
    require("fit", fit, choice(*FITS))


def _existing_folder(folder: Path) -> Path:
    if not folder.exists():
        raise DataError(f"data.root: no such folder: {folder}")
    if not folder.is_dir():
        raise DataError(f"data.root: not a folder: {folder}, nor a zip or tar, or a list of paths (.txt, .csv)")
    return folder


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _some(files: list[ImageFile], count: int | None) -> list[ImageFile]:
    """The `count` files (null: all) whose names have the lowest digests: a fixed random choice."""
    if count is None:
        return files
    return [files[row] for row in subset([digest(os.fsencode(file.name)) for file in files], count)]


def _folder_labels(names: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels from the first-level folders; images beside them are in the class ".". None if there are no folders."""
    classes = [name.split("/")[0] if "/" in name else "." for name in names]
    if set(classes) == {"."}:
        return None, ()
    return _numbered(classes)


def _numbered(classes: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels from 0, and the names that they stand for, sorted."""
    names, labels = np.unique(np.array(classes), return_inverse=True)
    return labels.astype(np.int64), tuple(names.tolist())
