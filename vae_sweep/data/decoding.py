"""One image file to pixels; and, run as a module, a worker that decodes file after file.

Whatever the file holds, the result is 8-bit sRGB or grey, upright, square:
- EXIF orientation is applied; of an animation or a multi-page file the first frame is taken
- transparency is laid on white, unless four channels are asked for; `fit=pad` pads with white
- other numbers of bands are those of TIFF files (bands.py)
- 16-bit grey is scaled to 8 bits by `white`; floating-point grey must lie in `span`
- colour profiles are not applied
"""

import errno
import hashlib
import json
import os
import re
import sys
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from vae_sweep.data.bands import MISSING, read_bands, reads_bands
from vae_sweep.data.folder import reads_heic
from vae_sweep.data.kinds import HEAD, HEIC, kind_of
from vae_sweep.data.pixels import to_bytes
from vae_sweep.data.split import DIGEST_BYTES, digest

FITS = ("crop", "pad", "squeeze")
OF_PILLOW = (1, 3, 4)  # bands
_OF_FRAMES = ("GIF", "TIFF", "WEBP", "PNG", "AVIF")  # not JPEGs of telephones, whose second is a preview

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT, _SIGNED = 339, 2  # of TIFF
_DEEP = re.compile(r"(?:RGB|LA|CMYK)\w*;16[BLN]")  # raw modes of Pillow


Notes = dict[str, float]


class Unreadable(ValueError):
    """A file that gives no image; the message says why, not which."""


@dataclass(frozen=True)
class Decoding:
    """How files become pixels.

    fit: crop (the largest centred square), pad (the whole picture, centred on white), squeeze (both sides to size)
    white: which number is white in files of more than 8 bits; None: 65535
    span: which numbers are black and white in floating-point files; None: 0 and 1
    """

    image_size: int
    channels: int = 3
    fit: str = "crop"
    white: int | None = None
    span: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_size, self.image_size, self.channels


def decode(path: Path, how: Decoding) -> tuple[bytes, np.ndarray]:
    """(digest of the file's bytes, (H, W, C) uint8). Raises Unreadable."""
    return decode_noting(path, how)[:2]


def decode_noting(path: Path, how: Decoding) -> tuple[bytes, np.ndarray, Notes]:
    """As `decode`, with the notes of `from_file`."""
    try:
        with open(path, "rb") as file:
            file_digest = hashlib.file_digest(file, "sha256").digest()[:DIGEST_BYTES]
            return file_digest, *from_file(file, how)
    except OSError as error:
        raise Unreadable(_one_line(error.strerror or error)) from None


def from_file(file: IO[bytes], how: Decoding) -> tuple[np.ndarray, Notes]:
    """(H, W, C) uint8 of an open file, with what was done to the picture. Raises Unreadable.

    kept: share of it that is left by a crop, or that a padded one has of the square; white: share of it that is the
    white behind a transparent picture; high: the largest number of a file of more than 8 bits; profile: 1 where its
    colours are CMYK's or have a profile other than sRGB; frames: 1 where it has more than the one that is taken.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of what it repairs. Above its limit of pixels it warns too, and fails only at twice that.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if not file.seek(0, os.SEEK_END):
                raise Unreadable("empty file")
            file.seek(0)
            return _pixels(file, how)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(_what_else(file)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels: refused as a decompression bomb") from None
    except OSError as error:
        raise Unreadable(_one_line(error.strerror or error)) from None
    except Exception as error:  # decoders of damaged files raise nearly everything
        raise Unreadable(_one_line(f"damaged ({type(error).__name__}: {error})")) from None


def _pixels(file: IO[bytes], how: Decoding) -> tuple[np.ndarray, Notes]:
    kind = kind_of(file.read(HEAD))
    if kind == HEIC and reads_heic():
        import pillow_heif

        pillow_heif.register_heif_opener()
    file.seek(0)
    if how.channels not in OF_PILLOW:
        return _banded(file, how)
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if kind.name != "TIFF":
            raise
        if not reads_bands():
            raise Unreadable(f"{_what_else(file)}; {MISSING}") from None
        return _banded(file, how)
    if image.mode == "L" and _SIGNED in getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ()):
        raise Unreadable("8-bit numbers with a sign, which Pillow reads as if they had none")
    planes = _in_planes(image)
    if planes or (_upper_bytes(image) and how.white not in (None, 65535)):
        if kind.name != "TIFF" or not reads_bands():
            several = "planes" if planes else "bands, which data.white needs as TIFF"
            said = f"16 bits in each of {len(image.getbands())} {several}"
            raise Unreadable(said if reads_bands() else f"{said}; {MISSING}")
        return _banded(file, how)
    return from_pil(image, how)


def from_pil(image: Image.Image, how: Decoding) -> tuple[np.ndarray, Notes]:
    """As `from_file`, of a picture that Pillow has opened or made. Raises Unreadable for numbers beyond `how`."""
    sides = sorted(image.size)
    # JPEG can decode at 1/2, 1/4 or 1/8 of its size, several times faster; twice the wanted size leaves the resampling
    # enough to work on.
    image.draft(None, (2 * how.image_size, 2 * how.image_size))
    upper = _upper_bytes(image)
    image.load()
    notes: Notes = {"kept": 1.0 if how.fit == "squeeze" else sides[0] / sides[1]}
    if upper:
        levels = np.asarray(image)[..., : -1 if image.mode.endswith("A") else None]
        notes["high"] = int(levels.max()) * 256 + 255
    profile = image.info.get("icc_profile")
    if (profile and b"sRGB" not in profile) or image.mode == "CMYK":
        notes["profile"] = 1.0
    flat = _flat(image, how, notes)
    pixels = np.asarray(_fitted(flat, how, _turn(image))).reshape(how.shape)
    if image.format in _OF_FRAMES and _has_more(image):
        notes["frames"] = 1.0
    return pixels, notes


def _upper_bytes(image: Image.Image) -> bool:
    """Whether Pillow will read the upper byte alone of each number: so of 16 bits in several bands."""
    return any(_DEEP.search(str(tile[3])) for tile in getattr(image, "tile", []))


def _in_planes(image: Image.Image) -> bool:
    """Whether Pillow will take each half of 16 bits for a pixel: so in TIFF files whose bands lie one after another."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return len(bits) > 1 and max(bits) > 8 and not _upper_bytes(image)


def _has_more(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except Exception:  # there is none, or it is damaged: the first is whole
        return False
    return True


def _banded(file: IO[bytes], how: Decoding) -> tuple[np.ndarray, Notes]:
    """Every band is resized as a grey picture. Of grey and colour, either is made of the other."""
    if not reads_bands():
        raise Unreadable(MISSING)
    file.seek(0)
    try:
        array, orientation, more = read_bands(file, (how.channels, *({1: (3,), 3: (1,)}.get(how.channels, ()))))
    except (ValueError, KeyError, IndexError) as error:  # tifffile's are ValueErrors
        raise Unreadable(_one_line(error)) from None
    notes: Notes = {"kept": 1.0 if how.fit == "squeeze" else min(array.shape[:2]) / max(array.shape[:2])}
    if more:
        notes["frames"] = 1.0
    levels = _as_bytes(array, how, notes)
    if levels.shape[2] > how.channels:
        levels = np.asarray(Image.fromarray(np.ascontiguousarray(levels)).convert("L"))[..., None]
    levels = np.broadcast_to(levels, (*levels.shape[:2], how.channels))
    grey, turn = replace(how, channels=1), _UPRIGHT.get(orientation)
    bands = [_fitted(Image.fromarray(np.ascontiguousarray(levels[..., k])), grey, turn) for k in range(how.channels)]
    return np.stack([np.asarray(band) for band in bands], axis=-1), notes


def _as_bytes(array: np.ndarray, how: Decoding, notes: Notes) -> np.ndarray:
    """Whole numbers by `white`, those of 8 bits as they are, floats by `span`. Raises Unreadable for what is beyond."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "ui":
        white = how.white or 65535
        if array.min() < 0 or array.max() > white:
            hint = "" if how.white else "; data.white says which number is white"
            raise Unreadable(f"integer pixels outside 0..{white}{hint}")
        notes["high"] = int(array.max())
        return to_bytes(array, white)
    black, top = how.span or (0, 1)
    if array.dtype.kind != "f" or not (array.min() >= black and array.max() <= top):  # NaN fails too
        raise Unreadable(f"floating-point pixels outside [{black:g}, {top:g}]")
    return ((array - black) / (top - black) * 255 + 0.5).astype(np.uint8)


def _what_else(file: IO[bytes]) -> str:
    """What a file is that is no picture."""
    file.seek(0)
    kind = kind_of(file.read(HEAD))
    if kind == HEIC or (not kind.picture and kind.told):
        return f"in truth a {kind.name}" + (f": {kind.hint}" if kind.hint else "")
    return "not an image, or damaged at its start"


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the loaded image upright."""
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged metadata do not make a picture unreadable
        return None


def _flat(image: Image.Image, how: Decoding, notes: Notes) -> Image.Image:
    """8 bits, opaque, of 1 or 3 channels; or the four bands that there are."""
    if image.mode.startswith("I"):
        image = Image.fromarray(_as_bytes(np.asarray(image).astype(np.int64), how, notes))
    elif image.mode == "F":
        levels = np.asarray(image)
        image = Image.fromarray(_as_bytes(levels, how, notes))
    elif how.channels == 4:
        if len(image.getbands()) != 4:
            raise Unreadable(f"{len(image.getbands())} bands, of four")
        return Image.merge("CMYK", image.split())  # four plain bands: resizing would weigh RGB by opacity
    elif image.has_transparency_data:
        picture = image.convert("RGBA")
        opacity = np.asarray(picture.getchannel("A"))
        notes["white"] = float(1 - opacity.mean() / 255)
        white_sheet = Image.new("RGBA", image.size, "white")
        white_sheet.alpha_composite(picture)
        image = white_sheet
    if how.channels == 4:
        raise Unreadable("1 band, of four")
    if image.mode not in ("L", "RGB"):  # CMYK and others have no direct way to grey
        image = image.convert("RGB")
    wanted = "L" if how.channels == 1 else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _fitted(image: Image.Image, how: Decoding, turn: Image.Transpose | None) -> Image.Image:
    """Square and upright. All three fits commute with the turn, which is cheaper on the small picture."""
    size, (width, height) = how.image_size, image.size
    if how.fit == "crop":
        side = min(width, height)
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        image = _resized(image, size, size, box)
    elif how.fit == "squeeze":
        image = _resized(image, size, size)
    else:
        scale = size / max(width, height)
        image = _resized(image, max(round(width * scale), 1), max(round(height * scale), 1))
        white = (255,) * 4 if image.mode == "CMYK" else "white"
        whole = Image.new(image.mode, (size, size), white)
        whole.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        image = whole
    return image.transpose(turn) if turn is not None else image


def _resized(
    image: Image.Image, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    # Pillow widens the kernel when it shrinks a picture, so nothing aliases.
    return image.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]


# The worker ----------------------------------------------------------------------------------------------------------


def worker_arguments(how: Decoding, rows: Path) -> str:
    return json.dumps({"how": asdict(how), "rows": str(rows)})


def main() -> None:
    """Reads {"row", "path"} lines, writes pixels to their row of the file `rows`, answers one line each.

    Answers: {"file", "pixels"} (hex digests) with "notes", {"unreadable": reason} or {"failed": [errno, text]}.
    """
    os.nice(5)  # what imports torch meanwhile goes first: it cannot be shared out among the cores
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    how = Decoding(**arguments["how"])
    row_bytes = int(np.prod(how.shape))
    rows = os.open(arguments["rows"], os.O_WRONLY)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            file_digest, pixels, notes = decode_noting(Path(request["path"]), how)
            # Written, not mapped: a full disk is then an error and not a SIGBUS.
            content = pixels.tobytes()
            if os.pwrite(rows, content, request["row"] * row_bytes) != row_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            answer = {"file": file_digest.hex(), "pixels": digest(content).hex(), "notes": notes}
        except Unreadable as error:
            answer = {"unreadable": str(error)}
        except OSError as error:
            answer = {"failed": [error.errno, error.strerror]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
