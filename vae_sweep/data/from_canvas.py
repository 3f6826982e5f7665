"""The paintings, made once."""

import hashlib
from dataclasses import astuple
from pathlib import Path

import numpy as np

from vae_sweep.checks import integer
from vae_sweep.data import canvas, painters
from vae_sweep.data.array_file import ArrayFile
from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.content import split_by_content
from vae_sweep.data.image_data import ImageData, require
from vae_sweep.data.progress import progress
from vae_sweep.data.settings import require_all
from vae_sweep.data.split import digests


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
    require_all(n_images=n_images, seed=seed, val_fraction=val_fraction, max_images=max_images)
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
    return split_by_content(
        ArrayFile(images, factors[:, 0].astype(np.int64), painters.FAMILY_NAMES, factors, painters.FACTOR_NAMES),
        digests(images),
        "paintings",
        val_fraction,
        max_images,
    )
