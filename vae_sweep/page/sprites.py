"""Pictures as sprite sheets in the page: one WebP per sheet, as a data URI.

How good they can be follows from how many there are, so that the page stays one file of a bearable size.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

LOSSLESS_PIXELS = 12_000_000  # about 20 MB of page
MOST_PIXELS = 60_000_000  # about 20 MB of page at QUALITY
QUALITY = 82
SMALLEST_TILE = 32


@dataclass(frozen=True)
class Detail:
    """How pictures are stored. `scale`, `side_scale`: of reconstructions and of the other pictures (samples, traversals)."""

    lossless: bool
    scale: float = 1.0
    side_scale: float = 1.0

    @property
    def words(self) -> str:
        """For the page: what was done to the pixels."""
        kind = "lossless" if self.lossless else f"WebP quality {QUALITY}"
        size = "" if self.scale == 1 else f", at {100 * self.scale:.0f} % size"
        side = "" if self.side_scale == 1 else f"; samples and traversals at {100 * self.side_scale:.0f} %"
        return kind + size + side


def choose_detail(tile: int, tiles: int, side_tiles: int) -> Detail:
    """`tile`: side of an image in pixels; `tiles`, `side_tiles`: how many reconstructions and other pictures in all."""
    main, side = tiles * tile**2, side_tiles * tile**2
    if main + side <= LOSSLESS_PIXELS:
        return Detail(lossless=True)
    side_scale = 1.0 if main + side <= MOST_PIXELS else max(0.5, SMALLEST_TILE / tile)
    left = MOST_PIXELS - side * side_scale**2
    scale = 1.0 if main <= left else max(SMALLEST_TILE / tile, (max(left, MOST_PIXELS / 4) / main) ** 0.5)
    return Detail(False, min(1.0, scale), min(1.0, side_scale))


def sheet(images: np.ndarray) -> np.ndarray:
    """(rows, columns, H, W, C) uint8 -> one picture (rows H, columns W, C)."""
    rows, columns, h, w, c = images.shape
    return images.transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)


def encode(images: np.ndarray, detail: Detail, scale: float = 1.0) -> dict[str, object]:
    """(rows, columns, H, W, C) uint8 -> {"uri", "rows", "columns", "tile": [w, h] as stored}."""
    rows, columns, h, w, c = images.shape
    if scale < 1:
        size = max(1, round(w * scale)), max(1, round(h * scale))
        flat = images.reshape(rows * columns, h, w, c)
        images = np.stack([_resize(image, size) for image in flat]).reshape(rows, columns, size[1], size[0], c)
        h, w = size[1], size[0]
    picture = Image.fromarray(sheet(images)[..., 0] if c == 1 else sheet(images))
    out = io.BytesIO()
    if detail.lossless:
        picture.save(out, "WEBP", lossless=True, quality=30, method=1)
    else:
        picture.convert("RGB").save(out, "WEBP", quality=QUALITY, method=1)
    uri = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return {"uri": uri, "rows": rows, "columns": columns, "tile": [w, h]}


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    grey = image.shape[-1] == 1
    out = np.asarray(Image.fromarray(image[..., 0] if grey else image).resize(size, Image.Resampling.BOX))
    return out[..., None] if grey else out
