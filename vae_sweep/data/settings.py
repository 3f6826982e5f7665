"""The range of every setting that several data sets have, and what numbers of arrays mean by them."""

from collections.abc import Sequence
from typing import Any

from vae_sweep.checks import SHARE_HELD_OUT, Check, boolean, choice, integer, number, optional, text
from vae_sweep.data.array_file import LAYOUTS, Meaning
from vae_sweep.data.decoding import FITS
from vae_sweep.data.image_data import require


def _span(value: Any) -> str | None:
    """Of what is black and what is white."""
    fine = isinstance(value, (list, tuple)) and len(value) == 2 and all(number()(end) is None for end in value)
    return None if fine and value[0] < value[1] else "[black, white], two rising numbers"


def _channel_list(value: Any) -> str | None:
    fine = isinstance(value, (list, tuple)) and value and all(integer(0)(band) is None for band in value)
    return None if fine else "a list of channels, from 0"


CHECKS: dict[str, Check] = {
    "root": text,
    "path": text,
    "split": text,
    "download": boolean,
    "image_size": integer(4, 1024),
    "n_images": integer(2, 10**7),
    "seed": integer(0, 2**32 - 1),
    "channels": integer(1, 1024),
    "bands": optional(_channel_list),
    "fit": choice(*FITS),
    "layout": choice(*LAYOUTS),
    "white": optional(integer(1)),
    "range": optional(_span),
    "binarize": choice("none", "static", "dynamic"),
    "val_fraction": SHARE_HELD_OUT,
    "max_images": optional(integer(2)),
    "max_unreadable": integer(0),
    "workers": optional(integer(1)),
}


def require_all(**settings: Any) -> None:
    """Raises DataError for the first that is out of its range."""
    for key, value in settings.items():
        require(key, value, CHECKS[key])


def meaning_of(
    layout: str, span: Sequence[float] | None, white: int | None, channels: int | None, bands: Sequence[int] | None
) -> Meaning:
    """Raises DataError for settings that mean nothing."""
    require("channels", channels, optional(integer(1)))
    require_all(range=span, white=white, bands=bands)
    return Meaning(
        layout, (float(span[0]), float(span[1])) if span else None, white, channels, tuple(bands) if bands else None
    )
