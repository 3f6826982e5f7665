"""Numbers of any array to pixels: (N, H, W, C), uint8 or float32 in [0, 1]. Their meaning is said, not guessed.

What is taken as it is: uint8, floats in [0, 1], bool, and uint8 of 0 and 1 alone (black and white). Whole numbers of
more bits are scaled by `white`, floats of another range by `span`. `bands` chooses channels, of which the first three
are shown. Numbers of a set in several parts mean the same in each.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vae_sweep.data.image_data import DataError

log = logging.getLogger("vae_sweep")

LAYOUTS = ("auto", "nhw", "nhwc", "nchw")
FEW_LEVELS = 0.25  # of the white that is assumed: below that somebody should know
_CHUNK_BYTES = 64 << 20
_STRETCH = 1 << 20  # numbers that are floats at a time


@dataclass(frozen=True)
class Meaning:
    """layout: of the axes. span: (black, white) of floats; None: (0, 1). white: of whole numbers; None: the largest of
    their type. channels: how many there are; None: 1 or 3. bands: which of them, in this order; None: all."""

    layout: str = "auto"
    span: tuple[float, float] | None = None
    white: int | None = None
    channels: int | None = None
    bands: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Numbers:
    """Of an array (N, H, W, C): its type, its smallest and largest number, how many there are. where: for messages."""

    where: str
    dtype: np.dtype
    low: float
    high: float
    count: int


def as_images(array: np.ndarray, meaning: Meaning, where: str) -> np.ndarray:
    """where: of the array, for messages. Raises DataError, which says what to set."""
    return as_one_set({where: array}, meaning, where)[0]


def as_one_set(arrays: Mapping[str, np.ndarray], meaning: Meaning, where: str) -> list[np.ndarray]:
    """As `as_images`, of the parts of one set by where they are, whose numbers mean the same."""
    parts = {part: arranged(array, meaning, part) for part, array in arrays.items()}
    numbers = [numbers_of(array, part) for part, array in parts.items()]
    meaning = settled(meaning, numbers, where)
    return [_in_units(array, meaning, found) for array, found in zip(parts.values(), numbers, strict=True)]


def arranged(array: np.ndarray, meaning: Meaning, where: str) -> np.ndarray:
    """(N, H, W, C) of its own numbers, with the bands that are asked for. Raises DataError."""
    array = _with_channels(array, meaning, where)
    if meaning.bands is not None:
        if max(meaning.bands) >= array.shape[-1]:
            raise DataError(f"data.bands={list(meaning.bands)}: {where} has {array.shape[-1]} channels, from 0")
        array = array[..., list(meaning.bands)]
    return array


def numbers_of(array: np.ndarray, where: str) -> Numbers:
    """Raises DataError for what is not finite."""
    low, high = (0.0, 1.0) if array.dtype == np.bool_ else _ends(array, where)
    return Numbers(where, array.dtype, low, high, array.size)


def settled(meaning: Meaning, parts: Sequence[Numbers], where: str) -> Meaning:
    """The meaning of all parts of a set: with its `white`, where they are whole numbers.

    0 and 1 alone are black and white, bytes are as they are, more bits go to the largest of their type. where: the
    set. Raises DataError for types that make no one set, and for numbers that nobody has said the white of.
    """
    first = parts[0]
    for part in parts:
        if _family(part.dtype) != _family(first.dtype):
            raise DataError(
                f"data.path: {part.where} has {part.dtype} pixels, {first.where} has {first.dtype}: numbers of several"
                " types make no one set"
            )
    if first.dtype.kind not in "ui":
        return meaning
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if meaning.white is None and low >= 0 and high <= 1 and sum(part.count for part in parts) > 1:
        log.info("%s holds 0 and 1 alone: read as black and white", where)
        return replace(meaning, white=1)
    white = meaning.white or (255 if first.dtype.kind == "i" and high <= 255 else int(np.iinfo(first.dtype).max))
    for part in parts:
        untold = meaning.white is None and first.dtype.itemsize > 2 and white != 255
        if part.low < 0 or part.high > white or untold:
            raise DataError(
                f"data.path: {part.where} has {part.dtype} pixels in [{part.low:.0f}, {part.high:.0f}];"
                f" data.white={max(int(high), 1)} says which number is white, and 0 is black"
            )
    if meaning.white is None and first.dtype != np.uint8 and (said := few_levels(high, white)):
        log.warning("%s: %s", where, said)
    return replace(meaning, white=white)


def _family(dtype: np.dtype) -> np.dtype | str:
    """Alike for types whose numbers mean the same: floats of any width, and either order of bytes."""
    return "float" if dtype.kind == "f" else dtype.newbyteorder("=")


def to_bytes(values: np.ndarray, white: float) -> np.ndarray:
    """Whole numbers 0..white to 0..255, rounded; what is above is white. A few MB beside the result at a time."""
    out = np.empty(values.shape, np.uint8)
    step = max(_STRETCH // max(values[0].size, 1), 1)
    for first in range(0, len(values), step):
        scaled = values[first : first + step].astype(np.float64)
        scaled *= 255 / white
        scaled += 0.5
        out[first : first + step] = np.minimum(scaled, 255, out=scaled)
    return out


def few_levels(high: float, white: float) -> str:
    """What is to be said of whole numbers that use little of their range; "" for nothing."""
    if not 0 < high < FEW_LEVELS * white:
        return ""
    proposed = 2 ** int(np.ceil(np.log2(high + 1))) - 1
    return (
        f"pixels use 0..{high:.0f} of 0..{white:.0f}, and are nearly black: data.white={proposed} makes their variance"
        f" {(white / proposed) ** 2:.0f} times as large, and so the weights at which codes collapse"
    )


def _with_channels(array: np.ndarray, meaning: Meaning, where: str) -> np.ndarray:
    """(N, H, W, C), whatever the layout."""
    if array.dtype.kind not in "buif":
        raise DataError(f"data.path: {where} has dtype {array.dtype}; images are whole numbers or floats")
    known = (1, 3) if meaning.channels is None else (meaning.channels,)
    layout = meaning.layout if meaning.layout != "auto" else _guess_layout(array.shape, known, where)
    if array.ndim != len(layout):
        raise DataError(f"data.layout={layout}: {where} has shape {array.shape}, which has not {len(layout)} axes")
    array = array[..., None] if layout == "nhw" else array.transpose(0, 2, 3, 1) if layout == "nchw" else array
    if 0 in array.shape:
        raise DataError(f"data.path: {where} is empty: its shape is {array.shape}")
    if array.shape[-1] not in known:
        raise DataError(
            f"data.path: {where} has {array.shape[-1]} channels as {layout}; images have 1 or 3, or as many as"
            f" data.channels says"
        )
    return array


def _guess_layout(shape: tuple[int, ...], known: Sequence[int], where: str) -> str:
    if len(shape) == 3:
        if shape[2] in (3, 4) and shape[1] != shape[2]:
            raise DataError(
                f"data.layout=auto: {where} of shape {shape} is one image, or {shape[0]} that are {shape[2]} pixels"
                " wide, which data.layout=nhw says"
            )
        return "nhw"
    if len(shape) != 4:
        hint = _flattened(*shape) if len(shape) == 2 else ""
        raise DataError(
            f"data.path: {where} has shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W){hint}"
        )
    fits = [layout for layout, channels in (("nhwc", shape[3]), ("nchw", shape[1])) if channels in known]
    if len(fits) == 2:
        raise DataError(f"data.layout=auto: {where} of shape {shape} may be either; set data.layout=nhwc or nchw")
    if not fits:
        few = min(shape[1], shape[3])
        hint = f"; data.channels={few} takes {few} bands" if few <= 64 else ""
        raise DataError(
            f"data.path: {where} has shape {shape}, in which no axis is {' or '.join(map(str, known))} channels{hint}"
        )
    return fits[0]


def _flattened(_: int, pixels: int) -> str:
    """What makes images of rows, if those can be square ones."""
    for bands, shape in ((1, "{0}, {0}"), (3, "3, {0}, {0}")):
        side = math.isqrt(pixels // bands)
        if side > 1 and bands * side**2 == pixels:
            return f"; rows of {pixels} may be reshape(-1, {shape.format(side)})"
    return ""


def _in_units(array: np.ndarray, meaning: Meaning, numbers: Numbers) -> np.ndarray:
    """meaning: settled."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind in "ui":
        if array.dtype == np.uint8 and meaning.white == 255:
            return array if isinstance(array, np.memmap) else np.ascontiguousarray(array)
        return to_bytes(array, meaning.white or 255)
    low, high, where = numbers.low, numbers.high, numbers.where
    if meaning.span is None:
        if low < 0 or high > 1:
            raise DataError(f"data.path: {where} has float pixels in [{low:.4g}, {high:.4g}]; {_advice(low, high)}")
        if isinstance(array, np.memmap) and array.dtype == np.float32:
            return array
        return np.ascontiguousarray(array, np.float32)
    black, white = meaning.span
    slack = 1e-6 * (white - black)
    if low < black - slack or high > white + slack:
        raise DataError(f"data.range=[{black:g}, {white:g}]: {where} has pixels in [{low:.4g}, {high:.4g}]")
    scaled = (array.astype(np.float32) - np.float32(black)) / np.float32(white - black)
    return np.ascontiguousarray(scaled.clip(0, 1))


def _ends(array: np.ndarray, where: str) -> tuple[float, float]:
    """The smallest and the largest pixel. Raises DataError for what is not finite."""
    step = max(_CHUNK_BYTES // max(array[0].nbytes, 1), 1)
    low, high = np.inf, -np.inf
    for first in range(0, len(array), step):
        chunk = array[first : first + step]
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        if not np.isfinite([low, high]).all():  # min and max of a chunk with NaN are NaN
            row = first + int(np.flatnonzero(~np.isfinite(chunk).all((1, 2, 3)))[0])
            raise DataError(f"data.path: {where} holds NaN or infinite pixels, first in image {row}")
    return low, high


def _advice(low: float, high: float) -> str:
    """What to set for floats that are not in [0, 1], and what becomes of a weight that was found on them."""
    if low >= 0:
        span = (0.0, 255.0 if high > 2 and high <= 255 else float(f"{high:.3g}"))
    elif low >= -1 and high <= 1:
        span = (-1.0, 1.0)
    else:
        span = tuple(np.trunc([low * 10 - 1, high * 10 + 1]) / 10)  # standardised
        return (
            f"standardised? data.range=[{span[0]:g},{span[1]:g}] takes them as black to white, better the images before"
            f" that; squared errors, and the weights that mean the same, are then {(span[1] - span[0]) ** 2:.3g} times"
            " smaller"
        )
    return (
        f"data.range=[{span[0]:g},{span[1]:g}] takes them; squared errors, and weights that mean the same, are then"
        f" {(span[1] - span[0]) ** 2:.6g} times smaller"
    )
