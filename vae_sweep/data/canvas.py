"""A canvas and the few antialiased marks that every painter in `paintings` uses.

Coordinates are resolution-free: u runs right and v runs down over [0, 1], lengths are in picture widths,
angles in radians. A mark is its coverage (H, W) in [0, 1]: a signed distance turned into ink, one pixel wide at
the edge, so the same composition can be painted at any size. Colours are sRGB in [0, 1].
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BRUSH_EDGE = 0.022  # of the picture's width: paint, not vector graphics

Colour = np.ndarray  # (3,) float32
Field = np.ndarray  # (H, W) float32

_OKLAB_TO_LMS = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


_LESS_CHROMA = np.linspace(1, 0, 21)


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB of an OKLCH colour; hue in turns. Ottosson 2020, "A perceptual color space".

    Equal steps look equal, which keeps palettes drawn at random in harmony. A colour outside the gamut loses
    chroma, not hue: clipping its channels would turn it neon.
    """
    chromas = chroma * _LESS_CHROMA
    lab = np.stack([np.full(21, lightness), chromas * np.cos(2 * np.pi * hue), chromas * np.sin(2 * np.pi * hue)])
    candidates = _LMS_TO_RGB @ (_OKLAB_TO_LMS @ lab) ** 3  # (3, 21), linear light
    inside = ((candidates > -1e-3) & (candidates < 1.001)).all(0)
    linear = np.clip(candidates[:, int(inside.argmax())], 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return srgb.astype(np.float32)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Field, Field]:
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    v, u = np.meshgrid(centres, centres, indexing="ij")
    u.setflags(write=False)
    v.setflags(write=False)
    return u, v


@lru_cache(maxsize=64)
def _hermite(size: int, knots: int) -> np.ndarray:
    """(size, knots) weights that interpolate `knots` equidistant values smoothly at the pixel centres."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size * (knots - 1)
    left = np.minimum(at.astype(int), knots - 2)
    t = at - left
    t = t * t * (3 - 2 * t)
    weights = np.zeros((size, knots), np.float32)
    weights[np.arange(size), left] = 1 - t
    weights[np.arange(size), left + 1] = t
    weights.setflags(write=False)
    return weights


@dataclass
class Canvas:
    """A picture in the making: `pixels` (H, W, 3) float32, and the marks that can be laid on it."""

    pixels: np.ndarray

    @classmethod
    def primed(cls, size: int, colour: Colour) -> "Canvas":
        return cls(np.broadcast_to(colour, (size, size, 3)).astype(np.float32))

    @property
    def size(self) -> int:
        return self.pixels.shape[0]

    @property
    def uv(self) -> tuple[Field, Field]:
        return _grid(self.size)

    # laying colour -------------------------------------------------------------------------------------------

    def lay(self, colour: Colour | float, coverage: Field) -> None:
        """Cover the picture with a colour, a grey or another picture (H, W, 3), where `coverage` says so."""
        self.pixels += coverage[..., None] * (colour - self.pixels)

    def shade(self, amount: Field) -> None:
        """Lighten (amount > 0, towards white) or darken (amount < 0, towards black)."""
        up, down = np.maximum(amount, 0), np.maximum(-amount, 0)
        self.pixels += up[..., None] * (1 - self.pixels)
        self.pixels *= (1 - down)[..., None]

    # marks: coverage (H, W) ----------------------------------------------------------------------------------

    def ink(self, distance: Field, soft: float = 0.0) -> Field:
        """Coverage of the region where a signed distance is negative; `soft` is the width of its edge."""
        return np.clip(0.5 - distance / max(1 / self.size, soft, BRUSH_EDGE), 0, 1)

    def frame(self, x: float, y: float, angle: float = 0.0) -> tuple[Field, Field]:
        """Coordinates about (x, y), turned by `angle`."""
        u, v = self.uv
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        u, v = u - x, v - y
        return cos * u + sin * v, cos * v - sin * u

    def disc(self, x: float, y: float, radius: float, soft: float = 0.0) -> Field:
        u, v = self.uv
        return self.ink(np.sqrt((u - x) ** 2 + (v - y) ** 2) - radius, soft)

    def ring(self, x: float, y: float, radius: float, width: float) -> Field:
        u, v = self.uv
        return self.ink(np.abs(np.sqrt((u - x) ** 2 + (v - y) ** 2) - radius) - width / 2)

    def ellipse(self, x: float, y: float, a: float, b: float, angle: float = 0.0, soft: float = 0.0) -> Field:
        """Half axes a and b. The distance is first-order (value over gradient): exact at the edge."""
        p, q = self.frame(x, y, angle)
        p, q = p / a, q / b
        k = np.sqrt(p * p + q * q)
        slope = np.sqrt((p / a) ** 2 + (q / b) ** 2) + 1e-6
        return self.ink(k * (k - 1) / slope, soft)

    def rectangle(self, x: float, y: float, a: float, b: float, angle: float = 0.0, soft: float = 0.0) -> Field:
        """Half sides a and b."""
        p, q = self.frame(x, y, angle)
        return self.ink(np.maximum(np.abs(p) - a, np.abs(q) - b), soft)

    def stroke(self, x0: float, y0: float, x1: float, y1: float, width: float, soft: float = 0.0) -> Field:
        """A round-ended line."""
        u, v = self.uv
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((u - x0) * dx + (v - y0) * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
        return self.ink(np.sqrt((u - x0 - t * dx) ** 2 + (v - y0 - t * dy) ** 2) - width / 2, soft)

    def polygon(self, corners: np.ndarray) -> Field:
        """A convex polygon, (K, 2) corners in clockwise order on the screen."""
        u, v = self.uv
        distance = np.full_like(u, -1)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
            dx, dy = float(x1 - x0), float(y1 - y0)
            outward = ((u - float(x0)) * dy - (v - float(y0)) * dx) / (np.hypot(dx, dy) + 1e-9)
            distance = np.maximum(distance, outward.astype(np.float32))
        return self.ink(distance)

    def below(self, heights: np.ndarray, soft: float = 0.0) -> Field:
        """Everything below a curve v = heights(u), (W,)."""
        return self.ink(heights[None, :].astype(np.float32) - self.uv[1], soft)

    def strips(self, coordinate: Field, edges: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """(len(edges) + 1, H, W): the share of each pixel in each strip between sorted edges; sums to one."""
        left = [np.ones_like(coordinate)] + [self.ink(float(e) - coordinate, soft) for e in edges]
        return np.stack([a - b for a, b in zip(left, [*left[1:], np.zeros_like(coordinate)], strict=True)])

    # randomness ----------------------------------------------------------------------------------------------

    def cloud(self, rng: np.random.Generator, knots: int) -> Field:
        """Smooth noise in [-1, 1] with about `knots` features across the picture."""
        weights = _hermite(self.size, knots)
        values = rng.uniform(-1, 1, (knots, knots)).astype(np.float32)
        return weights @ values @ weights.T

    def ridge(self, rng: np.random.Generator, knots: int) -> np.ndarray:
        """Smooth noise in [-1, 1] along u, (W,)."""
        return _hermite(self.size, knots) @ rng.uniform(-1, 1, knots).astype(np.float32)
