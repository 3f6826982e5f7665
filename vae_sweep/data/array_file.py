"""Images from a .npy or .npz file that somebody else wrote: checked before they are believed, never unpickled."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_sweep.data.image_data import DataError

LAYOUTS = ("auto", "nhw", "nhwc", "nchw")

_IMAGES, _LABELS, _FACTORS, _NAMES = ("images", "x"), ("labels", "y"), ("factors",), ("factor_names",)
_MAP_ABOVE = 256 << 20  # bytes: smaller files are read into memory
_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class ArrayFile:
    """images: (N, H, W, C) uint8, or float32 in [0, 1]; a read-only memory map if the file is a big .npy."""

    images: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    factors: np.ndarray | None
    factor_names: tuple[str, ...]


def read_array_file(path: Path, layout: str = "auto") -> ArrayFile:
    """.npy: the images. .npz: `images` or `x`, else its first array; `labels` or `y`; `factors`, `factor_names`.

    Raises DataError, which names the file and what is wrong with it.
    """
    arrays = _load(path)
    name = next((name for name in _IMAGES if name in arrays), next(iter(arrays)))
    images = _checked_images(_with_channels(arrays[name], layout, path), path)
    labels, label_names = _labels(_first(arrays, _LABELS), len(images), path)
    factors, factor_names = _factors(_first(arrays, _FACTORS), _first(arrays, _NAMES), len(images), path)
    return ArrayFile(images, labels, label_names, factors, factor_names)


def _first(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in (".npy", ".npz"):
        raise DataError(f"data.path: {path} is neither .npy nor .npz")
    if not path.is_file():
        raise DataError(f"data.path: no such file: {path}")
    try:
        if path.suffix == ".npy" and path.stat().st_size > _MAP_ABOVE:
            return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            is_one = isinstance(loaded, np.ndarray)
            arrays = {"images": loaded} if is_one else {name: loaded[name] for name in loaded.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, MemoryError, NotImplementedError, KeyError) as error:
        raise DataError(f"data.path: {path} is truncated or damaged: {_one_line(error)}") from None
    except (ValueError, TypeError, SyntaxError, UnicodeError, AttributeError) as error:
        if "pickle" in str(error):
            raise DataError(f"data.path: {path} holds pickled Python objects, which are never loaded") from None
        raise DataError(f"data.path: {path} is truncated or damaged: {_one_line(error)}") from None
    if not arrays:
        raise DataError(f"data.path: {path} holds no arrays")
    return arrays


def _with_channels(array: np.ndarray, layout: str, path: Path) -> np.ndarray:
    """(N, H, W, C), whatever the layout."""
    if array.dtype.kind not in "buif":
        raise DataError(f"data.path: {path} has dtype {array.dtype}; images are uint8, or float in [0, 1]")
    if layout == "auto":
        layout = _guess_layout(array.shape, path)
    if array.ndim != len(layout):
        raise DataError(f"data.layout={layout}: {path} has shape {array.shape}, which has not {len(layout)} axes")
    array = array[..., None] if layout == "nhw" else array.transpose(0, 2, 3, 1) if layout == "nchw" else array
    if 0 in array.shape:
        raise DataError(f"data.path: {path} is empty: its shape is {array.shape}")
    if array.shape[-1] not in (1, 3):
        raise DataError(f"data.path: {path} has {array.shape[-1]} channels as {layout}; images have 1 or 3")
    return array


def _guess_layout(shape: tuple[int, ...], path: Path) -> str:
    if len(shape) == 3:
        return "nhw"
    if len(shape) != 4:
        raise DataError(f"data.path: {path} has shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W)")
    fits = [layout for layout, channels in (("nhwc", shape[3]), ("nchw", shape[1])) if channels in (1, 3)]
    if len(fits) == 2:
        raise DataError(f"data.layout=auto: {path} of shape {shape} may be either; set data.layout=nhwc or nchw")
    if not fits:
        raise DataError(f"data.path: {path} has shape {shape}, in which no axis is 1 or 3 channels")
    return fits[0]


def _checked_images(array: np.ndarray, path: Path) -> np.ndarray:
    """uint8 as it is, bool as black and white, floats as float32."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind in "ui" and array.dtype != np.uint8:
        raise DataError(f"data.path: {path} has dtype {array.dtype}; images are uint8, or float in [0, 1]")
    step = max(_CHUNK_BYTES // max(array[0].nbytes, 1), 1)
    low, high = np.inf, -np.inf
    for first in range(0, len(array), step):
        chunk = array[first : first + step]
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        if not np.isfinite([low, high]).all():  # min and max of a chunk with NaN are NaN
            row = first + int(np.flatnonzero(~np.isfinite(chunk).all((1, 2, 3)))[0])
            raise DataError(f"data.path: {path} holds NaN or infinite pixels, first in image {row}")
    if array.dtype == np.uint8:
        if high <= 1 < array.size:
            raise DataError(f"data.path: {path} is uint8 but holds only 0 and 1: save it as bool, or scaled to 0..255")
        return np.ascontiguousarray(array) if not isinstance(array, np.memmap) else array
    if low < 0 or high > 1:
        raise DataError(
            f"data.path: {path} has float pixels in [{low:.4g}, {high:.4g}]; they must be in [0, 1]"
            + (", or uint8" if high > 2 else "")
        )
    return (
        array if isinstance(array, np.memmap) and array.dtype == np.float32 else np.ascontiguousarray(array, np.float32)
    )


def _labels(array: np.ndarray | None, images: int, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if array is None:
        return None, ()
    if array.shape != (images,):
        raise DataError(f"data.path: {path} has labels of shape {array.shape} for {images} images")
    if array.dtype.kind == "U":
        names, labels = np.unique(array, return_inverse=True)
        return labels.astype(np.int64), tuple(names.tolist())
    if array.dtype.kind not in "bui" and not (array.dtype.kind == "f" and (array == np.round(array)).all()):
        raise DataError(f"data.path: {path} has labels of dtype {array.dtype}; they are whole numbers or text")
    return array.astype(np.int64), ()


def _factors(
    array: np.ndarray | None, names: np.ndarray | None, images: int, path: Path
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if array is None:
        return None, ()
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
