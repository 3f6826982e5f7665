"""Arrays in .npy and .npz files, and tensors in .pt files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_sweep.checks import optional
from vae_sweep.data import shards, torch_file
from vae_sweep.data.array_file import read_array_file
from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.content import absolute, split_by_content
from vae_sweep.data.image_data import DataError, ImageData, require
from vae_sweep.data.settings import CHECKS, meaning_of, require_all
from vae_sweep.data.split import DIGEST_BYTES, digests


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
    """Images from a .npy, .npz or .pt file, in its order. See array_file.py and torch_file.py for what it may hold,
    pixels.py for its numbers.

    images, labels: names of arrays in a .npz. image_size: null leaves the size as it is. An official split is kept.
    cache_dir: for the digests of memory-mapped files.
    """
    if path is None:
        raise DataError("data.path is not set: name the .npy or .npz file with the images, data.path=FILE")
    require("image_size", image_size, optional(CHECKS["image_size"]))
    require_all(path=path, layout=layout, val_fraction=val_fraction, max_images=max_images)
    meaning = meaning_of(layout, range, white, channels, bands)
    file = absolute(path)
    name = file.stem
    if several := shards.shards_of(file, shards.ARRAYS):
        name = file.name if file.is_dir() else file.parent.name
        content, file = shards.read_shards(several, meaning, images, labels, resolve_cache_dir(cache_dir))
    elif file.suffix.lower() in torch_file.TORCH:
        made = torch_file.as_arrays(file, resolve_cache_dir(cache_dir))
        try:
            content, file = read_array_file(made, meaning, images, labels), made
        except DataError as error:
            raise DataError(str(error).replace(str(made), str(file))) from None
    else:
        content = read_array_file(file, meaning, images, labels)
    contents = _array_digests(file, content.images, resolve_cache_dir(cache_dir))
    if image_size is not None:
        height, width = content.images.shape[1:3]
        if height != width:
            raise DataError(f"data.image_size={image_size}: the images of {file} are {height}x{width}, not square")
    return split_by_content(content, contents, name, val_fraction, max_images, image_size, f"data.path: {path}")


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
