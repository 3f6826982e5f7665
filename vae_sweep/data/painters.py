"""Procedural abstract paintings with known factors: a data set that needs no files and no network.

Each painting belongs to one of a dozen families of composition, each a bow to a painter. First its factors are
drawn, independently and uniformly, the same ones for every family; then the family's painter composes a picture
from them, with details of its own chance. So `family`, `hue`, `x`, ... are ground truth for measures of
disentanglement, and independent by construction, as those measures assume.

Painting i depends on (seed, i) alone, not on how many are painted, and its composition not on the size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from vae_sweep.data.canvas import Canvas, Colour, oklch


@dataclass(frozen=True)
class Factors:
    """What all families share; each reads them in its own way."""

    family: int
    hue: float  # of the main colour, turns of the OKLCH circle
    accent: float  # hue of the contrasting colour, turns away from `hue`
    lightness: float  # of the ground
    chroma: float  # strength of all colours
    x: float  # focus of the composition, in picture widths
    y: float
    scale: float  # size of the main form
    angle: float  # radians
    count: int  # of elements


FACTOR_NAMES = tuple(field.name for field in fields(Factors))


def draw_factors(rng: np.random.Generator) -> Factors:
    return Factors(
        family=int(rng.integers(len(FAMILIES))),
        hue=float(rng.uniform(0, 1)),
        accent=float(rng.uniform(0.2, 0.5)),
        lightness=float(rng.uniform(0.25, 0.92)),
        chroma=float(rng.uniform(0.06, 0.17)),
        x=float(rng.uniform(0.33, 0.67)),
        y=float(rng.uniform(0.35, 0.65)),
        scale=float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(-0.5, 0.5)),
        count=int(rng.integers(2, 6)),
    )


class Palette:
    """Colours in harmony: a ground, and others around the main hue or its accent, at a chosen lightness."""

    def __init__(self, f: Factors):
        self.f = f
        self.ground = oklch(f.lightness, 0.8 * f.chroma, f.hue)
        self.dark = oklch(0.22, 0.4 * f.chroma, f.hue + f.accent)
        self.light = oklch(0.93, 0.4 * f.chroma, f.hue)
        # What stands on the ground must part from it.
        self.main = self.tone(0.45 if f.lightness > 0.55 else 0.72)
        self.second = self.contrast(0.6 if f.lightness > 0.55 else 0.8)

    def tone(self, lightness: float, turn: float = 0.0, strength: float = 1.0) -> Colour:
        return oklch(lightness, strength * self.f.chroma, self.f.hue + turn)

    def contrast(self, lightness: float, turn: float = 0.0, strength: float = 1.0) -> Colour:
        return oklch(lightness, strength * self.f.chroma, self.f.hue + self.f.accent + turn)

    def any(self, rng: np.random.Generator, low: float = 0.3, high: float = 0.9) -> Colour:
        """A colour near the main hue (three in four) or its accent."""
        side = self.tone if rng.random() < 0.75 else self.contrast
        return side(float(rng.uniform(low, high)), float(rng.normal(0, 0.04)), float(rng.uniform(0.7, 1.2)))


Painter = Callable[[Factors, np.random.Generator, int], Canvas]


def colour_field(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Soft rectangles floating one above the other, after Rothko."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    canvas.shade(0.06 * canvas.cloud(rng, 4))
    edges = np.cumsum(rng.dirichlet(np.full(min(f.count, 4), 3.0)))
    edges = 0.07 + 0.86 * np.concatenate([[0], edges])
    edges[1:-1] += 0.3 * (f.y - 0.5)
    for top, bottom in pairwise(edges):
        middle, half = float(top + bottom) / 2, float(bottom - top) / 2 - 0.025
        colour = colours.any(rng)
        coverage = canvas.rectangle(
            0.5 + 0.15 * (f.x - 0.5), middle, 0.44 * f.scale, max(half, 0.02), 0.08 * f.angle, soft=0.05
        )
        canvas.lay(colour, coverage * (0.88 + 0.12 * canvas.cloud(rng, 5)))
    return canvas


def grid(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Dark lines, pale and coloured planes, after Mondrian and van Doesburg."""
    colours = Palette(f)
    pale = colours.tone(0.75 + 0.18 * f.lightness, strength=0.6)
    canvas = Canvas.primed(size, pale)
    p, q = canvas.frame(f.x, f.y, 0.15 * f.angle)
    columns = _spread(rng, 1 + f.count // 3)
    rows = _spread(rng, 1 + (f.count + 1) // 3)
    planes = (colours.tone(0.5, strength=1.2), colours.contrast(0.72, strength=1.2), colours.tone(0.8, turn=0.1))
    cells = np.tile(pale, (len(rows) + 1, len(columns) + 1, 1))
    for _ in range(2 + f.count // 2):
        cells[rng.integers(len(rows) + 1), rng.integers(len(columns) + 1)] = planes[rng.integers(len(planes))]
    canvas.pixels = _patches(canvas, p, q, columns, rows, cells)
    for coordinate, lines in ((p, columns), (q, rows)):
        for line in lines:
            canvas.lay(colours.dark, 0.75 * canvas.ink(np.abs(coordinate - float(line)) - 0.016 * f.scale))
    return canvas


def circles(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """A haloed disc, satellites and taut lines, after Kandinsky."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    canvas.shade(0.1 * canvas.cloud(rng, 3))
    radius = 0.26 * f.scale
    canvas.lay(colours.second, 0.55 * canvas.disc(f.x, f.y, 1.35 * radius, soft=0.5 * radius))
    canvas.lay(colours.main, canvas.disc(f.x, f.y, radius))
    canvas.lay(colours.dark, 0.9 * canvas.disc(f.x, f.y, 0.62 * radius))
    canvas.lay(colours.second, canvas.disc(f.x + 0.12 * radius, f.y - 0.1 * radius, 0.33 * radius))
    turn = float(rng.uniform(0, 2 * np.pi))
    for k in range(f.count):
        # Satellites keep clear of the disc and of each other by going round it.
        around = turn + 2 * np.pi * k / f.count
        reach = radius + float(rng.uniform(0.12, 0.3))
        x, y = f.x + reach * float(np.cos(around)), f.y + reach * float(np.sin(around))
        small = float(rng.uniform(0.035, 0.1))
        canvas.lay(colours.any(rng), 0.92 * canvas.disc(x, y, small))
        if rng.random() < 0.4:
            canvas.lay(colours.dark, canvas.ring(x, y, small, 0.018))
    for shift in (-0.18, 0.18):
        tilt = f.angle + float(rng.normal(0, 0.1))
        dx, dy = 0.55 * float(np.cos(tilt)), 0.55 * float(np.sin(tilt))
        x, y = 0.5 - shift * float(np.sin(f.angle)), 0.5 + shift * float(np.cos(f.angle))
        canvas.lay(colours.dark, 0.75 * canvas.stroke(x - dx, y - dy, x + dx, y + dy, 0.02))
    return canvas


def discs(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Concentric rings, each quarter in its own colour, after the Delaunays."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    p, q = canvas.frame(f.x, f.y, 0.6 * f.angle)
    right, lower = canvas.ink(-p), canvas.ink(-q)
    quarters = np.stack([right * lower, right * (1 - lower), (1 - right) * lower, (1 - right) * (1 - lower)])
    hues = rng.uniform(-0.07, 0.07, (f.count + 1, 1)) + rng.uniform(-0.05, 0.05, (1, 4))
    tones = 0.15 + 0.75 * f.lightness + rng.uniform(-0.1, 0.1, (f.count + 1, 1)) + rng.uniform(-0.1, 0.1, (1, 4))
    radii = 0.5 * f.scale * np.linspace(1, 0, f.count + 1, endpoint=False) ** 0.9
    for ring, radius in enumerate([2.0, *radii[:-1]]):
        # Neighbouring quarters alternate between the two sides of the colour circle.
        inks = np.stack(
            [
                (colours.tone if (ring + quarter // 2 + quarter) % 2 else colours.contrast)(
                    float(tones[ring, quarter]), float(hues[ring, quarter]), 0.85
                )
                for quarter in range(4)
            ]
        )
        picture = np.tensordot(quarters, inks, axes=(0, 0))
        canvas.lay(picture, canvas.disc(f.x, f.y, float(radius)))
    return canvas


def night(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """A swirling sky over a dark hill, stars in their halos, after van Gogh."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.tone(0.38 + 0.25 * f.lightness, strength=1.1))
    v = canvas.uv[1]
    canvas.lay(colours.tone(0.3, turn=-0.05, strength=1.1), np.clip(1.1 * (0.75 - v), 0, 0.8))
    bend = 0.1 * canvas.cloud(rng, 4)
    p, q = canvas.frame(f.x, 0.75 * f.y, f.angle)
    radius = np.sqrt(p * p + (1.3 * q) ** 2) + 1e-6
    swirl = np.sin((2 * f.count + 12) * (radius + bend) + 2 * np.arctan2(q, p))
    canvas.lay(colours.tone(0.72, turn=0.04), 0.75 * np.clip(0.5 + 0.5 * swirl, 0, 1) ** 1.5)
    for _ in range(f.count):
        x, y, r = float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.022, 0.045))
        canvas.lay(colours.contrast(0.82), 0.8 * canvas.disc(x, y, 2.4 * r * f.scale, soft=2.5 * r))
        canvas.lay(colours.contrast(0.95, strength=0.8), canvas.disc(x, y, r * f.scale))
    hill = 0.78 + 0.1 * (f.y - 0.5) + 0.09 * canvas.ridge(rng, 4)
    canvas.lay(colours.tone(0.34, turn=0.12, strength=0.9), canvas.below(hill))
    canvas.lay(colours.dark, canvas.below(hill + 0.09 + 0.05 * canvas.ridge(rng, 5)))
    side = 0.14 if f.x > 0.5 else 0.86
    tree = canvas.ellipse(side, 0.82, 0.07 * f.scale, 0.55 * f.scale, 0.15 * f.angle)
    canvas.lay(colours.dark * 0.8, tree)
    return canvas


def landscape(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Sky and sun, ranges of hills, and water or furrows before them, after Monet and Hodler."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.tone(0.55 + 0.35 * f.lightness, strength=0.7))
    u, v = canvas.uv
    horizon = 0.3 + 0.75 * (f.y - 0.3)
    canvas.lay(colours.contrast(0.9, strength=0.4), np.clip(1 - np.abs(v - horizon) / 0.45, 0, 1))
    radius = 0.09 * f.scale
    height = horizon - 0.16 + 0.2 * f.angle
    glow, sun = oklch(0.95, 0.05, 0.05 + 0.5 * (f.accent - 0.2)), oklch(0.85, 0.14, 0.02 + 0.5 * (f.accent - 0.2))
    canvas.lay(glow, 0.7 * canvas.disc(f.x, height, 2.2 * radius, soft=2.4 * radius))
    canvas.lay(sun, canvas.disc(f.x, height, radius))
    layers = 1 + f.count // 2
    for k in range(layers):
        depth = (k + 1) / layers
        ridge = horizon + 0.05 * k - (0.16 - 0.1 * depth) * (0.6 + canvas.ridge(rng, 3 + k)) * f.scale
        canvas.lay(colours.tone(0.72 - 0.38 * depth, 0.06 * k, 0.5 + 0.4 * depth), canvas.below(ridge))
    shore = horizon + 0.05 * layers
    if rng.random() < 0.5:
        water = canvas.below(np.full(size, shore))
        canvas.lay(colours.tone(0.62, strength=0.6), water)
        ripples = 0.5 + 0.5 * np.sin(60 * (v - shore) / (0.45 + 1.2 * np.maximum(v - shore, 0)))
        glitter = np.clip(1 - np.abs(u - f.x) / (0.06 + 0.25 * np.maximum(v - shore, 0)), 0, 1)
        canvas.lay(glow, water * ripples * glitter)
    else:
        field = canvas.below(shore + 0.02 * canvas.ridge(rng, 3))
        canvas.lay(colours.tone(0.6, -0.06), field)
        fan = (u - f.x) / np.maximum(v - shore + 0.12, 0.05)
        canvas.lay(colours.tone(0.45, -0.06), field * np.clip(0.5 + 1.5 * np.sin(9 * fan), 0, 0.8))
    return canvas


def portrait(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """A long face on a long neck, some with a halo, after Modigliani and Rublev."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    canvas.shade(0.12 * canvas.cloud(rng, 3))
    x, y, s = 0.5 + 0.6 * (f.x - 0.5), 0.4 + 0.3 * (f.y - 0.5), f.scale
    tilt = 0.5 * f.angle
    dx, dy = -float(np.sin(tilt)), float(np.cos(tilt))  # down the face
    skin = oklch(0.62 + 0.25 * float(rng.random()), 0.07, 0.15)
    hair, dress = oklch(0.15 + 0.35 * float(rng.random()), 0.06, 0.14), colours.main
    if f.count >= 4:
        canvas.lay(oklch(0.8, 0.13, 0.23), canvas.disc(x, y - 0.02, 0.34 * s))
        canvas.lay(oklch(0.5, 0.1, 0.18), canvas.ring(x, y - 0.02, 0.34 * s, 0.02))
    canvas.lay(hair, canvas.ellipse(x - 0.02 * dx, y - 0.05 * s, 0.2 * s, 0.25 * s, tilt))
    if f.count % 2:
        canvas.lay(hair, canvas.ellipse(x + 0.1 * dx, y + 0.14 * s, 0.2 * s, 0.3 * s, tilt))
    canvas.lay(dress, canvas.ellipse(x + 0.5 * dx, 1.0, 0.42 * s, 0.95 - y - 0.3 * s, 0))
    canvas.lay(skin * 0.9, canvas.stroke(x, y, x + 0.42 * s * dx, y + 0.42 * s * dy, 0.13 * s))
    canvas.lay(colours.second, canvas.ring(x + 0.42 * s * dx, y + 0.46 * s * dy, 0.1 * s, 0.03))
    canvas.lay(skin, canvas.ellipse(x, y, 0.145 * s, 0.22 * s, tilt))
    p, q = canvas.frame(x, y, tilt)
    face = canvas.ellipse(x, y, 0.145 * s, 0.22 * s, tilt)
    canvas.lay(skin * 0.72, 0.8 * face * np.clip(p / (0.2 * s) + 0.1, 0, 1))
    canvas.lay(skin * 0.6, face * canvas.ink(np.abs(p) - 0.012) * canvas.ink(np.abs(q - 0.02 * s) - 0.06 * s))
    for side in (-1, 1):
        eye = face * canvas.ink(((p - side * 0.06 * s) / (0.034 * s)) ** 2 + ((q + 0.04 * s) / (0.016 * s)) ** 2 - 1, 1)
        canvas.lay(colours.dark, np.clip(2 * eye, 0, 1))
    canvas.lay(
        oklch(0.5, 0.14, 0.07), face * canvas.ink(((p / 0.045) ** 2 + ((q - 0.125 * s) / 0.014) ** 2 - 1) * 0.02)
    )
    return canvas


def hatching(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Form out of lines that swell in the shadow, after Duerer's engravings."""
    colours = Palette(f)
    paper, ink = oklch(0.7 + 0.2 * f.lightness, 0.5 * f.chroma, f.hue), oklch(0.24, 0.03, f.hue)
    canvas = Canvas.primed(size, paper)
    u, v = canvas.uv
    r = 0.34 * f.scale
    p, q = u - f.x, v - f.y
    height = np.sqrt(np.maximum(r * r - p * p - q * q, 0)) / r
    body = canvas.disc(f.x, f.y, r)
    # Lambert's law on the sphere, a cast shadow beside it, and a sky that darkens upwards.
    light = np.clip((-p * float(np.cos(f.angle)) - q * float(np.sin(f.angle) + 0.7)) / r * 0.6 + 0.55 * height, 0, 1)
    shadow = canvas.ellipse(f.x + 0.5 * r, f.y + 0.95 * r, 1.1 * r, 0.3 * r, 0.0, soft=0.06)
    tone = 0.25 + 0.25 * np.clip(0.7 - v, 0, 1) + 0.1 * canvas.cloud(rng, 3)
    tone = tone + shadow * (0.7 - tone)
    tone = np.clip(tone + body * (0.85 * (1 - light) - tone), 0, 1)
    canvas.lay(colours.main, 0.25 * body)
    canvas.lay(ink, 0.55 * tone)
    lines = 3 + f.count
    for tilt, threshold in ((f.angle, 0.0), (f.angle + np.pi / 2, 0.4)):
        across = canvas.frame(f.x, f.y, tilt)[1] + 0.12 * height * body
        swell = np.cos(2 * np.pi * lines * across) - 1 + 2 * (tone - threshold)
        canvas.lay(ink, 0.38 * np.clip(0.5 + 1.2 * swell, 0, 1) * np.clip(8 * (tone - threshold), 0, 1))
    return canvas


def still_life(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Fruit and a bottle on a table in side light, after Cezanne and Morandi."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    u, v = canvas.uv
    canvas.shade(0.1 * canvas.cloud(rng, 3) - 0.25 * np.clip(u - 0.4, 0, 1))
    table = 0.45 + 0.4 * (f.y - 0.3)
    canvas.lay(colours.tone(0.68, 0.08, 0.7), canvas.below(table + 0.1 * f.angle * (u[0] - 0.5)))
    canvas.shade(-0.3 * np.clip(v - 0.8, 0, 1))
    base, bottle = table + 0.12, f.x
    tall = 0.42 * f.scale
    glass = colours.tone(0.36, strength=0.9)
    canvas.lay(colours.dark, 0.55 * canvas.ellipse(bottle + 0.16, base + 0.02, 0.2, 0.035, soft=0.04))
    parts = [
        canvas.rectangle(bottle, base - 0.5 * tall, 0.085 * f.scale, 0.5 * tall),
        canvas.ellipse(bottle, base - tall, 0.085 * f.scale, 0.09),
        canvas.rectangle(bottle, base - 1.25 * tall, 0.034 * f.scale, 0.3 * tall),
    ]
    body = np.maximum.reduce(parts)
    canvas.lay(glass, body)
    canvas.lay(1.0, 0.55 * body * canvas.ink(np.abs(u - bottle + 0.04 * f.scale) - 0.012))
    canvas.lay(glass * 0.5, 0.6 * body * np.clip((u - bottle) / 0.08, 0, 1))
    spots = np.sort(rng.uniform(0.1, 0.9, f.count))
    for x in spots:
        r = float(rng.uniform(0.065, 0.105)) * f.scale
        x, y = float(x), base + 0.06 + float(rng.uniform(0, 0.14))
        colour = colours.any(rng, 0.55, 0.8)
        canvas.lay(colours.dark, 0.55 * canvas.ellipse(x + 0.5 * r, y + 0.8 * r, 1.15 * r, 0.35 * r, soft=0.03))
        fruit = canvas.disc(x, y, r)
        canvas.lay(colour, fruit)
        away = np.sqrt((u - x + 0.4 * r) ** 2 + (v - y + 0.4 * r) ** 2) / r
        canvas.lay(colour * 0.4, fruit * np.clip(0.75 * (away - 0.6), 0, 0.85))
        canvas.lay(1.0, 0.7 * fruit * np.clip(1 - away / 0.35, 0, 1))
    return canvas


def patchwork(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """A quilt of tinted squares that drift from one hue to the other, after Klee."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.ground)
    p, q = canvas.frame(0.5, 0.5, 0.5 * f.angle)
    bend = 0.04 * canvas.cloud(rng, 3)
    n = f.count + 1
    lines = np.linspace(-0.6, 0.6, n + 1)
    columns = lines + 0.25 / n * rng.uniform(-1, 1, n + 1) + 0.3 / n * (f.x - 0.5)
    rows = lines + 0.25 / n * rng.uniform(-1, 1, n + 1) + 0.3 / n * (f.y - 0.5)
    cells = np.empty((n + 2, n + 2, 3), np.float32)
    for i in range(n + 2):
        for j in range(n + 2):
            near = np.exp(-(((j - 0.5) / n - f.x) ** 2 + ((i - 0.5) / n - f.y) ** 2) / (0.25 * f.scale**2))
            turn = f.accent * (1 - near) + float(rng.normal(0, 0.04))
            lightness = 0.3 + 0.3 * f.lightness + 0.25 * near + 0.22 * float(rng.uniform(-1, 1))
            cells[i, j] = colours.tone(lightness, turn, 0.9)
    canvas.pixels = _patches(canvas, p + bend, q + bend, columns, rows, cells, soft=0.02)
    return canvas


def suprematism(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Bars and squares adrift along one diagonal on an empty ground, after Malevich."""
    colours = Palette(f)
    canvas = Canvas.primed(size, oklch(0.7 + 0.25 * f.lightness, 0.6 * f.chroma, f.hue))
    canvas.shade(-0.05 * (1 + canvas.cloud(rng, 4)))
    tilt = 1.6 * f.angle
    if f.accent > 0.35:
        canvas.lay(colours.contrast(0.7, strength=0.8), canvas.disc(1 - f.x, 1 - f.y, 0.2 * f.scale))
    a, b = 0.24 * f.scale, (0.1 + 0.14 * float(rng.random())) * f.scale
    canvas.lay(colours.dark, canvas.rectangle(f.x, f.y, a, b, tilt))
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    for _ in range(f.count):
        p, q = float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.4, 0.4))
        x, y = f.x + p * cos - q * sin, f.y + p * sin + q * cos
        half, thick = float(rng.uniform(0.06, 0.26)) * f.scale, float(rng.uniform(0.025, 0.06)) * f.scale
        crosswise = np.pi / 2 if rng.random() < 0.3 else 0.0
        canvas.lay(colours.any(rng, 0.45, 0.8), canvas.rectangle(x, y, half, thick, tilt + crosswise))
    return canvas


def waves(f: Factors, rng: np.random.Generator, size: int) -> Canvas:
    """Bands that roll across the sheet under a pale sun, after Hokusai."""
    colours = Palette(f)
    canvas = Canvas.primed(size, colours.tone(0.9, strength=0.6))
    u = canvas.uv[0][0]
    canvas.lay(colours.contrast(0.72, strength=1.2), canvas.disc(1 - f.x, 0.2 + 0.2 * (f.y - 0.5), 0.12 * f.scale))
    bands = 1 + f.count
    for k in range(bands):
        depth = k / (bands - 1)
        crest = (
            0.2 + 0.4 * (f.y - 0.3) + 0.62 * depth**1.1
            + 0.09 * f.scale * np.sin(2 * np.pi * (0.9 + 0.5 * f.scale) * (u - f.x) + 0.9 * k)
            + 0.03 * canvas.ridge(rng, 4)
            + 0.35 * f.angle * (u - 0.5)
        )  # fmt: skip
        canvas.lay(colours.light, 0.8 * canvas.below(crest - 0.02))
        canvas.lay(colours.tone(0.75 - 0.5 * depth, -0.08 + 0.16 * depth, 1.2), canvas.below(crest))
    return canvas


def _spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Sorted positions about zero with room between them; one of them is the origin."""
    steps = np.cumsum(rng.uniform(0.17, 0.33, count))
    return steps - steps[rng.integers(count)]


def _patches(
    canvas: Canvas,
    p: np.ndarray,
    q: np.ndarray,
    columns: np.ndarray,
    rows: np.ndarray,
    cells: np.ndarray,
    soft: float = 0.0,
) -> np.ndarray:
    """(H, W, 3): the plane cut by lines across p and q, `cells` (rows + 1, columns + 1, 3) giving the colours."""
    across, down = canvas.strips(p, columns, soft), canvas.strips(q, rows, soft)
    by_row = np.tensordot(cells, across, axes=(1, 0))  # (rows + 1, 3, H, W)
    return np.einsum("ihw,ichw->hwc", down, by_row).astype(np.float32)


FAMILIES: tuple[Painter, ...] = (
    colour_field,
    grid,
    circles,
    discs,
    night,
    landscape,
    portrait,
    hatching,
    still_life,
    patchwork,
    suprematism,
    waves,
)
FAMILY_NAMES = tuple(painter.__name__ for painter in FAMILIES)


def paint(index: int, size: int, seed: int = 0) -> tuple[np.ndarray, Factors]:
    """Painting `index` of the endless series `seed`: ((size, size, 3) uint8, its factors)."""
    rng = np.random.default_rng([seed, index])
    factors = draw_factors(rng)
    canvas = FAMILIES[factors.family](factors, rng, size)
    return (np.clip(canvas.pixels, 0, 1) * 255 + 0.5).astype(np.uint8), factors


def paint_all(count: int, size: int, seed: int = 0) -> Iterator[tuple[np.ndarray, Factors]]:
    return (paint(index, size, seed) for index in range(count))
