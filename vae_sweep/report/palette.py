"""One colour per KL weight: a sequential scale from blue (large) to amber (small), monotone in lightness.

Monotone lightness keeps the order for every kind of colour vision; its ends keep 3:1 against either background.
"""

import math
from collections.abc import Sequence

import numpy as np

# (L, a, b) in OKLab (Ottosson 2020): indigo, violet-rose, amber; lightness set per theme below.
_HUES = np.array([[0.0, 0.02, -0.15], [0.0, 0.155, 0.0], [0.0, 0.07, 0.125]])
_LIGHTNESS = {"light": (0.38, 0.64), "dark": (0.62, 0.84)}


def weight_positions(weights: Sequence[float]) -> list[float]:
    """Position of each weight on the scale, 0 (largest) to 1 (smallest), on a log axis; one weight alone: 0.5."""
    logs = [math.log(max(w, 1e-12)) for w in weights]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    return [0.5 if high == low else (high - x) / (high - low) for x in logs]


def colour(position: float, theme: str) -> str:
    """'#rrggbb' at a position of the scale, for theme 'light' or 'dark'."""
    dark, bright = _LIGHTNESS[theme]
    a, b = (np.interp(position, (0, 0.5, 1), _HUES[:, i]) for i in (1, 2))
    return _hex(np.array([dark + position * (bright - dark), a, b]))


def _hex(lab: np.ndarray) -> str:
    lms = (
        np.array(
            [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
        )
        @ lab
    )
    rgb = np.array(
        [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
         [-0.0041960863, -0.7034186147, 1.7076147010]]
    ) @ lms**3  # fmt: skip
    rgb = np.clip(rgb, 0, 1)
    srgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(255 * c)):02x}" for c in srgb)
