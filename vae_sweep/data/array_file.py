"""Images from a .npy or .npz file that somebody else wrote: checked before they are believed, never unpickled.

Which arrays of a .npz are the images and the labels: those that are named (`images`, `labels`), else the names that
people use. Official splits are kept: x_train beside x_test, train_images beside val_images and test_images.
"""

import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_sweep.data.folder import EXTENSIONS
from vae_sweep.data.image_data import DataError
from vae_sweep.data.pixels import LAYOUTS, Meaning, Numbers, arranged, as_one_set, numbers_of

__all__ = ["LAYOUTS", "ArrayFile", "Meaning", "read_array_file"]

log = logging.getLogger("vae_sweep")

_IMAGES, _LABELS = ("images", "x", "imgs"), ("labels", "y", "targets")
_FACTORS, _NAMES = ("factors", "latents_values"), ("factor_names",)
# Training and held-out images with their labels, as Keras and MedMNIST have them.
_SPLITS = (
    (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
    (("X_train", "y_train"), ("X_val", "y_val"), ("X_test", "y_test")),
    (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
)
# Of the official dSprites file, whose own list of them is pickled.
_DSPRITES = ("color", "shape", "scale", "orientation", "posX", "posY")
_MAP_ABOVE = 256 << 20  # bytes: smaller files are read into memory

Read = Callable[[str], np.ndarray]
Opened = tuple[list[str], Read, Callable[[str], tuple[int, ...]]]


@dataclass(frozen=True)
class ArrayFile:
    """images: (N, H, W, C) uint8, or float32 in [0, 1]; a read-only memory map if the file is a big .npy.
    held_out: how many at the end are the official validation images; None: there is no official split."""

    images: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    factors: np.ndarray | None
    factor_names: tuple[str, ...]
    held_out: int | None = None


def read_array_file(
    path: Path, meaning: Meaning | str = "auto", images: str | None = None, labels: str | None = None
) -> ArrayFile:
    """meaning: of the pixels, or their layout alone. images, labels: names of arrays in a .npz; null: as above.

    Raises DataError, which names the file and what is wrong with it.
    """
    meaning = Meaning(meaning) if isinstance(meaning, str) else meaning
    with _opened(path) as opened:
        names, read, _ = opened
        pairs = _pairs(path, opened, images, labels)
        parts = as_one_set({_where(path, names, name): read(name) for name, _ in pairs}, meaning, str(path))
        if len(pairs) == 1:
            label = pairs[0][1] or next((name for name in _LABELS if name in names), None)
            found = None if label is None else _labels(read, label, asked=labels is not None, path=path)
            factors, factor_names = _factors_of(names, read, len(parts[0]), path)
        else:
            told = " and ".join(f"{len(part):,} of {name}" for (name, _), part in zip(pairs, parts, strict=True))
            log.info("%s: the official split, %s held out", path.name, told)
            found = np.concatenate([_flat(read(label)) for _, label in pairs if label]) if pairs[0][1] else None
            factors, factor_names = None, ()
    known, label_names = known_labels(found, sum(map(len, parts)), path)
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return ArrayFile(whole, known, label_names, factors, factor_names, len(parts[1]) if len(parts) > 1 else None)


def numbers_in(path: Path, meaning: Meaning, images: str | None = None) -> list[Numbers]:
    """Of the images as they are in the file, of each part of an official split. Raises DataError."""
    with _opened(path) as opened:
        names, read, _ = opened
        found = [(_where(path, names, name), name) for name, _ in _pairs(path, opened, images, None)]
        return [numbers_of(arranged(read(name), meaning, where), where) for where, name in found]


def _pairs(path: Path, opened: Opened, images: str | None, labels: str | None) -> list[tuple[str, str | None]]:
    """[(images, their labels)] by their names: one, or those of an official split."""
    names, _, shapes = opened
    for key, name in (("images", images), ("labels", labels)):
        if name is not None and name not in names:
            raise DataError(f"data.{key}={name}: {path} has {', '.join(names)}")
    if images is not None:
        return [(images, labels)]
    return _official(names) or [(_only(path, names, shapes), labels)]


def _labels(read: Read, name: str, asked: bool, path: Path) -> np.ndarray | None:
    """Those that nobody asked for are no reason to refuse the images."""
    try:
        return read(name)
    except ValueError as error:
        if asked or "pickle" not in str(error):
            raise
        log.info("%s: %s are pickled Python objects, which are never loaded, and left aside", path.name, name)
        return None


def _official(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """[(training images, their labels), (held-out images, their labels)], if the file has them. The official validation
    images, else the test images: nothing is chosen by either."""
    for (train, train_labels), *held_out in _SPLITS:
        for images, labels in held_out:
            if train in names and images in names:
                has = train_labels in names and labels in names
                return [(train, train_labels if has else None), (images, labels if has else None)]
    return []


def _only(path: Path, names: Sequence[str], shapes: Callable[[str], tuple[int, ...]]) -> str:
    """The array that must be the images. Raises DataError with the names where there are several."""
    for name in _IMAGES:
        if name in names:
            return name
    candidates = names if len(names) == 1 else [name for name in names if len(shapes(name)) in (3, 4)]
    if len(candidates) == 1:
        return candidates[0]
    if not names:
        raise DataError(f"data.path: {path} holds no arrays")
    listed = ", ".join(f"{name} {shapes(name)}" for name in candidates or names)
    raise DataError(f"data.path: {path} has several arrays; data.images=NAME says which are the images: {listed}")


def _where(path: Path, names: Sequence[str], name: str) -> str:
    return str(path) if len(names) == 1 else f"{path} ({name})"


@contextmanager
def _opened(path: Path) -> Iterator[Opened]:
    """(the names of the arrays, what reads one, what tells its shape from its header)

    Only what is asked for is read: a pickled array beside the images is no matter.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        pictures = path.is_dir() or path.suffix.lower() in EXTENSIONS
        hint = "data=image_folder data.root=... reads pictures" if pictures else "numpy.save writes such a file"
        raise DataError(f"data.path: {path} is neither .npy nor .npz, nor .pt; {hint}")
    if not path.is_file():
        raise DataError(f"data.path: no such file: {path}")
    with _refused(path):
        if path.suffix.lower() == ".npy" and path.stat().st_size > _MAP_ABOVE:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            yield ["images"], lambda _: mapped, lambda _: mapped.shape
            return
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                yield ["images"], lambda _: loaded, lambda _: loaded.shape
            else:
                yield list(loaded.files), loaded.__getitem__, lambda name: _shape(loaded.zip, name)


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """From the header alone. () of what is none, or holds pickled objects."""
    with archive.open(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return () if dtype.hasobject else shape


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, MemoryError, NotImplementedError, KeyError) as error:
        raise DataError(f"data.path: {path} is truncated or damaged: {_one_line(error)}") from None
    except (ValueError, TypeError, SyntaxError, UnicodeError, AttributeError) as error:
        if "pickle" in str(error):
            raise DataError(f"data.path: {path} holds pickled Python objects, which are never loaded") from None
        raise DataError(f"data.path: {path} is truncated or damaged: {_one_line(error)}") from None


def _flat(labels: np.ndarray) -> np.ndarray:
    """(N, 1), as Keras and MedMNIST have them, to (N,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def known_labels(array: np.ndarray | None, images: int, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """(labels (N,), the names they stand for); None for several labels to an image. Raises DataError."""
    if array is None:
        return None, ()
    array = _flat(array)
    if array.ndim == 2 and len(array) == images and _one_hot(array):
        array = array.argmax(1)
    if array.ndim == 2 and len(array) == images:
        log.info("%s: labels of shape %s are several to an image, and left aside", path.name, array.shape)
        return None, ()
    if array.shape != (images,):
        raise DataError(f"data.path: {path} has labels of shape {array.shape} for {images} images")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        names, labels = np.unique(array, return_inverse=True)
        return labels.astype(np.int64), tuple(names.tolist())
    if array.dtype.kind not in "bui" and not (array.dtype.kind == "f" and (array == np.round(array)).all()):
        raise DataError(f"data.path: {path} has labels of dtype {array.dtype}; they are whole numbers or text")
    return array.astype(np.int64), ()


def _one_hot(array: np.ndarray) -> bool:
    """Of several classes, one to an image."""
    plain = array.dtype.kind in "buif" and array.shape[1] > 1
    return plain and bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all())


def _factors_of(names: Sequence[str], read: Read, images: int, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    found = next((name for name in _FACTORS if name in names), None)
    if found is None:
        return None, ()
    array, named = read(found), next((read(name) for name in _NAMES if name in names), None)
    if found == "latents_values" and named is None and array.shape[1:] == (len(_DSPRITES),):
        named = np.array(_DSPRITES)
    factors, told = _factors(array, named, images, path)
    varies = np.ptp(factors, axis=0) > 0
    return (factors[:, varies], tuple(np.array(told)[varies].tolist())) if varies.any() else (None, ())


def _factors(
    array: np.ndarray, names: np.ndarray | None, images: int, path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.ndim != 2 or len(array) != images or array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise DataError(
            f"data.path: {path} has factors of shape {array.shape}, dtype {array.dtype}; expected finite ({images}, F)"
        )
    given = tuple(map(str, names.tolist())) if names is not None else ()
    if names is not None and len(given) != array.shape[1]:
        raise DataError(f"data.path: {path} has {len(given)} factor_names for {array.shape[1]} factors")
    return array.astype(np.float64), given or tuple(f"factor {k}" for k in range(array.shape[1]))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
