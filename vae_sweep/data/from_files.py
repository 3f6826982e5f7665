"""Picture files: in a folder, in archives, or by a list."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_sweep.data import archive, image_cache, list_file, shards
from vae_sweep.data.bands import MISSING, reads_bands
from vae_sweep.data.cache import resolve_cache_dir
from vae_sweep.data.content import absolute, some_of
from vae_sweep.data.decoding import OF_PILLOW, Decoding
from vae_sweep.data.folder import ImageFile, find_images
from vae_sweep.data.image_data import DataError, ImageData, fingerprint
from vae_sweep.data.settings import require_all
from vae_sweep.data.split import split

log = logging.getLogger("vae_sweep")


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
    """Anybody's pictures, decoded once: below a folder, in a zip or tar, or by a list of paths (.txt, .csv, .tsv).

    Labels are those of the list, else the names of the first-level folders, if there are any.
    max_images: the images whose names (below root) have the lowest digests; only they are decoded.
    workers: processes that decode; null: one per core.
    """
    if root is None:
        raise DataError("data.root is not set: name the folder with the images, data.root=DIR")
    require_all(
        root=root, workers=workers, max_unreadable=max_unreadable, image_size=image_size, channels=channels, fit=fit,
        white=white, range=range, val_fraction=val_fraction, max_images=max_images,
    )  # fmt: skip
    if channels not in OF_PILLOW and not reads_bands():
        raise DataError(f"data.channels={channels}: {MISSING}")
    name, folder, files, listed = _pictures(absolute(root), resolve_cache_dir(cache_dir))
    rows = some_of(files, max_images)
    files = [files[row] for row in rows]
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
    if listed is None:
        labels, label_names = _folder_labels(names)
    else:  # by their place in it: one picture may be there twice, with two labels
        labels, label_names = _numbered([listed[rows[row]] for row in decoded.files]) if listed else (None, ())
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


def _pictures(path: Path, cache_dir: Path) -> tuple[str, Path, list[ImageFile], list[str] | None]:
    """(name of the set, folder, its files, their labels by a list, [] if it has none; None: labels are folders)"""
    if path.is_file() and path.suffix.lower() in list_file.LISTS:
        files, labels = list_file.read_list(path)
        return path.stem, path.parent, files, labels or []
    archives = [path] if archive.is_archive(path) else shards.shards_of(path, shards.ARCHIVES)
    if archives:
        folder, aside = archive.unpacked(archives, cache_dir)
        if aside:
            log.info("%s: left aside %s", path, aside)
        name = path.parent.name if path not in archives and not path.is_dir() else path.name.split(".")[0]
        return name, folder, find_images(folder), None
    return path.name, path, find_images(_existing_folder(path)), None


def _existing_folder(folder: Path) -> Path:
    if not folder.exists():
        raise DataError(f"data.root: no such folder: {folder}")
    if not folder.is_dir():
        arrays = "; data=arrays data.path=FILE reads arrays" if folder.suffix.lower() in shards.READ_AS_ARRAYS else ""
        raise DataError(
            f"data.root: not a folder: {folder}, nor a zip or tar, or a list of paths ({', '.join(list_file.LISTS)})"
            f"{arrays}"
        )
    return folder


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
