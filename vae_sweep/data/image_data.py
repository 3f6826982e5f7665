"""What a data set is to the rest of the tool: pixels, a split, a fingerprint, and what is known about each image."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.checks import Check


class DataError(ValueError):
    """Images that cannot be used as asked. One line; it names the file, folder or key and what is wrong with it."""


@dataclass(frozen=True)
class ImageData:
    """Images in memory or in a read-only memory map, with their split into training and validation.

    images: (N, H, W, C) uint8, or float32 in [0, 1]; any number C of bands
    train, val: int64 rows of `images`, sorted, disjoint
    fingerprint: hex; the same for the same pixels, labels, factors and split, wherever they lie
    labels: (N,) int64, or None; label_names[label] where the classes have names
    factors: (N, F) float64 ground truth, or None; factor_names has F names
    names: (N,) of the files that the images come from, or None
    binarize: none | static (already applied to `images`) | dynamic (to be drawn anew, x ~ Bernoulli(x), at each step)
    """

    images: np.ndarray
    train: np.ndarray
    val: np.ndarray
    fingerprint: str
    name: str
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    factors: np.ndarray | None = None
    factor_names: tuple[str, ...] = ()
    binarize: str = "none"
    names: Sequence[str] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width


def require(key: str, value: Any, check: Check) -> None:
    """Raises DataError unless `value` passes; `check` says what was expected."""
    if expected := check(value):
        raise DataError(f"data.{key}={'null' if value is None else value}: expected {expected}")


def fingerprint(digests: list[bytes], images: np.ndarray, *rest: np.ndarray | str | None) -> str:
    """Hex digest of images (by their digests, in order), of their shape and type, and of what goes with them."""
    total = hashlib.sha256(repr((images.shape[1:], images.dtype.str)).encode())
    total.update(b"".join(digests))
    for part in rest:
        total.update(b"|" + (part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()))
    return total.hexdigest()[:32]
