"""Training and validation rows, chosen by what the images hold.

Every distinct content gets a rank by its digest, and the first `val_fraction` of them are validation. So the split
depends neither on the order of the files nor on a seed; exact duplicates share a rank and never straddle it; its size
is exact however small the set (a threshold on the digest would leave small sets without a validation image); and when
images are added, only those next to the border change sides.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from vae_sweep.data.image_data import DataError

DIGEST_BYTES = 16
EVALUATION_SEED = 0  # validation and evaluation draw the same noise for every run, whatever its own seed


def digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def digests(images: Iterable[np.ndarray]) -> list[bytes]:
    """Of the bytes of each image."""
    return [digest(np.ascontiguousarray(image).data) for image in images]


def split(
    contents: Sequence[bytes], val_fraction: float, ranks: Sequence[bytes] | None = None, where: str = "data"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (train, val), int64 and sorted.

    contents: digest of each image; equal means duplicate. ranks: what to sort by, by default the contents themselves;
    duplicates go by their lowest rank. (Files are ranked by their bytes, so that a folder is split alike at every
    image size, but are duplicates when their decoded pixels are equal.)
    Raises DataError, which names `where` they lie, where there are no two distinct images.
    """
    lowest: dict[bytes, bytes] = {}
    for content, rank in zip(contents, contents if ranks is None else ranks, strict=True):
        lowest[content] = min(rank, lowest.get(content, rank))
    if len(lowest) < 2:
        raise DataError(
            f"{where}: {len(contents)} image(s), {len(lowest)} distinct: a training and a validation image need at"
            " least two"
        )
    in_order = sorted(lowest, key=lambda content: (lowest[content], content))
    held_out = set(in_order[: min(max(round(val_fraction * len(lowest)), 1), len(lowest) - 1)])
    is_val = np.fromiter((content in held_out for content in contents), bool, len(contents))
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)


def subset(contents: Sequence[bytes], count: int | None) -> np.ndarray:
    """Sorted rows of the `count` images (null: all) with the lowest digests: a fixed random choice."""
    if count is None or count >= len(contents):
        return np.arange(len(contents))
    return np.sort(np.array(sorted(range(len(contents)), key=lambda row: contents[row])[:count]))


def chosen(rows: np.ndarray, images: int | None) -> np.ndarray:
    """`rows` in a random order that depends on their number alone, cut off after `images` (None: all).

    The images that evaluation measures and shows, and those that the forecast shows, are the same in every run.
    """
    order = np.random.Generator(np.random.Philox(key=[EVALUATION_SEED, len(rows)])).permutation(len(rows))
    return rows[order[:images]]
