"""A data set of somebody's own, which a child process imports by its dotted path. Not a test."""

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
