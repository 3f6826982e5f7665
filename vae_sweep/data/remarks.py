"""What decoding did to the pictures, in sentences, where somebody should know: cut, laid on white, nearly black."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_sweep.data.decoding import Decoding
from vae_sweep.data.pixels import few_levels

_WORTH_SAYING = 0.02  # share of a picture


def remarks(notes: Sequence[Mapping[str, Any]], how: Decoding) -> list[str]:
    """notes: of each picture, as decoding.py makes them."""
    told = []
    kept = np.array([note["kept"] for note in notes])
    if how.fit == "crop" and len(kept) and 1 - kept.min() > _WORTH_SAYING:
        told.append(
            f"data.fit=crop keeps {np.median(kept):.0%} of the median picture, {kept.min():.0%} of the longest;"
            " pad and squeeze keep all of it"
        )
    if how.fit == "pad" and len(kept) and 1 - kept.mean() > _WORTH_SAYING:
        told.append(f"data.fit=pad: {1 - kept.mean():.0%} of all pixels are white bars, which the model learns, too")
    white = np.array([note["white"] for note in notes if note.get("white", 0) > 0])
    if len(white):
        told.append(
            f"{len(white)} of {len(notes)} pictures have a fourth band below 255, read as opacity: {white.mean():.0%}"
            " of each, in the mean, is the white behind it; where that band is data, data.channels=4 keeps it"
        )
    if frames := sum("frames" in note for note in notes):
        told.append(f"{frames} of {len(notes)} files have several frames or pages: the first is taken")
    if profiles := sum("profile" in note for note in notes):
        told.append(
            f"{profiles} of {len(notes)} pictures are CMYK or have a colour profile other than sRGB, which is not"
            " applied: their colours may be off"
        )
    deep = [note["high"] for note in notes if "high" in note]
    if deep and how.white is None and (said := few_levels(max(deep), 65535)):
        told.append(said)
    elif deep:
        told.append(f"{len(deep)} of {len(notes)} pictures have more than 8 bits, and are read in 256 levels")
    return told
