"""images/reconstructions.png: held-out images above what the decoder makes of them. Fixed [0, 1] scale."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROWS = {"originals": "original", "recon_mean": "mean", "recon_sampled": "sampled"}
_IMAGES = 12
_MARGIN = 64  # for the words
_GAP = 2


def reconstruction_sheet(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A PNG of the arrays of evaluation.npz, (M, H, W, C) uint8 each: one row per kind that is there."""
    rows = [(word, arrays[key][:_IMAGES]) for key, word in ROWS.items() if key in arrays]
    height, width = rows[0][1].shape[1:3]
    scale = max(1, round(64 / height))
    cell_h, cell_w = height * scale + _GAP, width * scale + _GAP
    sheet = Image.new("RGB", (_MARGIN + cell_w * len(rows[0][1]), cell_h * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (word, images) in enumerate(rows):
        draw.text((4, row * cell_h + cell_h // 2), word, fill="black", anchor="lm", font=ImageFont.load_default(13))
        for column, image in enumerate(images):
            tile = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
            tile = tile.resize((width * scale, height * scale), Image.Resampling.NEAREST)
            sheet.paste(tile, (_MARGIN + column * cell_w, row * cell_h))
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
