"""TIFF files of any number of bands, and of numbers that Pillow does not read in several, such as satellites and
microscopes make: by tifffile, the extra `tiff`.

Bands are axes of a picture (H, W, C) or (C, H, W), or pages of a file. None is opacity, and none is left out.
"""

import importlib.util
from collections.abc import Sequence
from typing import IO

import numpy as np

from vae_sweep.environment import install

MISSING = f"{install('tiff')} reads TIFF files of other bands, and of 16 bits or floats in several"
_ORIENTATION = 274


def reads_bands() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("tifffile") is not None


def read_bands(file: IO[bytes], channels: Sequence[int]) -> tuple[np.ndarray, int, bool]:
    """((H, W, bands) of the file's own numbers, its orientation from 1 to 8, whether it has more than that picture).

    A page that has bands itself is the picture; else all pages are. channels: how many bands there may be. Raises
    ValueError, a line, where there are others; else as tifffile does.
    """
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        banded = page.ndim > 2
        array = page.asarray() if banded else tiff.asarray()
        more = len(tiff.pages) > 1 if banded else len(tiff.series) > 1 or array.ndim > 3
        tag = page.tags.get(_ORIENTATION)
    while array.ndim > 3:
        array = array[0]
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise ValueError(f"an array of shape {array.shape}, which is no picture")
    if array.shape[2] not in channels and array.shape[0] in channels:
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in channels:
        raise ValueError(f"{min(array.shape[0], array.shape[2])} bands, of {channels[0]}")
    return array, int(tag.value) if tag is not None else 1, more
