"""Data sets of somebody's own, which a child process imports by their dotted paths. Not a test."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


class Drawn:
    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> tuple[Image.Image, int]:
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        return Image.fromarray(pixels), number % 3


def twelve_bits(count: int) -> list[Image.Image]:
    """Grey, twice as wide as high, of numbers to 4095."""
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 4096, (8, 16), np.uint16)) for _ in range(count)]


def behind_a_door(root: str, token: str) -> list[np.ndarray]:
    """root/CLASS/*.npy. Refuses to read where the token stands on the command line, for anybody to see."""
    assert not any(token in word for word in sys.orig_argv)
    return [np.load(path) for path in sorted(Path(root).glob("*/*.npy"))]
