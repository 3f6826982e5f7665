"""Pictures as sprite sheets in the page: one WebP per sheet, as a data URI.

How good they can be follows from how many there are, so that the page stays one file of a bearable size.
"""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

LOSSLESS_PIXELS = 12_000_000  # about 20 MB of page
MOST_PIXELS = 100_000_000  # about 30 MB of page at QUALITY
MOST_SIDE = 16_383  # pixels of a WebP
QUALITY = 82
SMALLEST_TILE = 32


@dataclass(frozen=True)
class Detail:
    """How pictures are stored: sides divided by `shrink` (reconstructions) and `side_shrink` (samples, traversals)."""

    lossless: bool
    shrink: int = 1
    side_shrink: int = 1

    @property
    def words(self) -> str:
        """For the page: what was done to the pixels."""
        kind = "lossless" if self.lossless else f"WebP quality {QUALITY}"
        size = "" if self.shrink == 1 else f", at 1/{self.shrink} of their size"
        side = "" if self.side_shrink == 1 else f"; samples and traversals at 1/{self.side_shrink}"
        return kind + size + side


def choose_detail(tile: tuple[int, int], tiles: int, side_tiles: int) -> Detail:
    """`tile`: height and width of an image; `tiles`, `side_tiles`: how many reconstructions, and others, in all."""
    main, side = tiles * tile[0] * tile[1], side_tiles * tile[0] * tile[1]
    if main + side <= LOSSLESS_PIXELS:
        return Detail(lossless=True)
    shrinks = _shrinks(tile)
    for shrink in shrinks:  # the reconstructions are what the page is for: the others give way first
        for side_shrink in shrinks:
            if side_shrink >= shrink and main / shrink**2 + side / side_shrink**2 <= MOST_PIXELS:
                return Detail(False, shrink, side_shrink)
    return Detail(False, shrinks[-1], shrinks[-1])


def _shrinks(tile: tuple[int, int]) -> list[int]:
    """Divisors of both sides that leave a tile of SMALLEST_TILE or more; 1 always."""
    return [
        k
        for k in range(1, min(tile) + 1)
        if k == 1 or (tile[0] % k == tile[1] % k == 0 and min(tile) // k >= SMALLEST_TILE)
    ]


def across(rows: int, columns: int, h: int, w: int) -> int:
    """How many tiles stand side by side in a picture of no more than MOST_SIDE: `columns`, if its sides then do."""
    if max(rows * h, columns * w) <= MOST_SIDE:
        return columns
    return min(MOST_SIDE // w, math.ceil(rows * columns / (MOST_SIDE // h)))


def sheet(images: np.ndarray, beside: int) -> np.ndarray:
    """(rows, columns, H, W, C) uint8 -> one picture: the tiles in their order, so many side by side; then black."""
    h, w, c = images.shape[2:]
    tiles = images.reshape(-1, h, w, c)
    if missing := -len(tiles) % beside:
        tiles = np.concatenate([tiles, np.zeros((missing, h, w, c), np.uint8)])
    lines = len(tiles) // beside
    return tiles.reshape(lines, beside, h, w, c).transpose(0, 2, 1, 3, 4).reshape(lines * h, beside * w, c)


def encode(images: np.ndarray, lossless: bool, shrink: int = 1) -> dict[str, object]:
    """(rows, columns, H, W, C) uint8 -> {"uri", "rows", "columns", "across", "tile": [w, h] as stored}."""
    rows, columns, h, w, c = images.shape
    beside = across(rows, columns, h // shrink, w // shrink)
    pixels = sheet(images, beside)
    picture = Image.fromarray(pixels[..., 0] if c == 1 else pixels)
    if shrink > 1:  # divides the tiles, so that no pixel mixes two of them
        picture = picture.reduce(shrink)
    out = io.BytesIO()
    if lossless:
        picture.save(out, "WEBP", lossless=True, quality=30, method=1)
    else:
        picture.convert("RGB").save(out, "WEBP", quality=QUALITY, method=0)
    uri = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return {"uri": uri, "rows": rows, "columns": columns, "across": beside, "tile": [w // shrink, h // shrink]}
