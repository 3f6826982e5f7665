"""Every kind of file becomes the picture a viewer would show: 8-bit, upright, opaque, square."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_sweep.data.decoding import Decoding, Unreadable, decode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(mode: str = "RGB", size: int = 64) -> Image.Image:
    """Red, green / blue, white."""
    colours = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
    return Image.fromarray(colours.repeat(size // 2, 0).repeat(size // 2, 1)).convert(mode)


def corners(pixels: np.ndarray) -> np.ndarray:
    """The colours in the middle of the four quarters, (2, 2, C)."""
    return pixels[pixels.shape[0] // 4 :: pixels.shape[0] // 2, pixels.shape[1] // 4 :: pixels.shape[1] // 2].astype(
        int
    )


EXPECTED = np.array([[RED, GREEN], [BLUE, WHITE]])


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.jpg", "RGB", {"quality": 95, "subsampling": 0}),
        ("a.JPEG", "RGB", {"quality": 95, "subsampling": 0, "progressive": True}),
        ("a.jpg", "CMYK", {"quality": 95}),
        ("a.png", "RGB", {}),
        ("a.png", "P", {}),
        ("a.webp", "RGB", {"lossless": True}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.tiff", "CMYK", {}),
        ("a.gif", "P", {}),
        ("a.bmp", "RGB", {}),
    ],
)
def test_formats_and_modes(tmp_path: Path, name: str, mode: str, options: dict):
    quarters(mode).save(tmp_path / name, **options)
    _, pixels = decode(tmp_path / name, Decoding(16))
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(corners(pixels) - EXPECTED).max() < 12


def test_grey_and_colour(tmp_path: Path):
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    assert (decode(tmp_path / "grey.png", Decoding(4))[1] == 90).all()
    quarters().save(tmp_path / "colour.png")
    grey = decode(tmp_path / "colour.png", Decoding(16, channels=1))[1]
    assert grey.shape == (16, 16, 1)
    # ITU-R 601: .299, .587, .114
    assert np.abs(corners(grey)[..., 0] - [[76, 150], [29, 255]]).max() <= 1


def test_black_and_white(tmp_path: Path):
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "bits.png")
    assert np.array_equal(decode(tmp_path / "bits.png", Decoding(8))[1][..., 0], 255 * np.eye(8, dtype=np.uint8))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str):
    values = np.array([[0, 257], [32896, 65535]], np.uint16)
    Image.fromarray(values.repeat(8, 0).repeat(8, 1)).save(tmp_path / name)
    assert np.array_equal(corners(decode(tmp_path / name, Decoding(16))[1])[..., 0], [[0, 1], [128, 255]])


def test_float_grey_in_0_1_and_not(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "half.tif")
    assert (decode(tmp_path / "half.tif", Decoding(8))[1] == 128).all()
    Image.fromarray(np.full((8, 8), 700, np.float32)).save(tmp_path / "wild.tif")
    with pytest.raises(Unreadable, match=r"outside \[0, 1\]"):
        decode(tmp_path / "wild.tif", Decoding(8))


@pytest.mark.parametrize(
    ("mode", "name"), [("RGBA", "a.png"), ("LA", "a.png"), ("P", "a.png"), ("RGBA", "a.gif"), ("RGBA", "a.tif")]
)
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str, name: str):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    image.convert(mode).save(tmp_path / name)
    assert decode(tmp_path / name, Decoding(8))[1][4, :, 0].tolist() == [255] * 4 + [0] * 4


def test_half_transparent_red_on_white_is_pink(tmp_path: Path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "half.webp", lossless=True)
    pixel = decode(tmp_path / "half.webp", Decoding(4))[1][0, 0]
    assert pixel.tolist() == [255, 127, 127]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_orientation(tmp_path: Path, orientation: int, extension: str):
    """Stored turned, tagged, and decoded upright. The eight ways of the Exif standard, written out by hand."""
    stored = {
        1: [[RED, GREEN], [BLUE, WHITE]],
        2: [[GREEN, RED], [WHITE, BLUE]],
        3: [[WHITE, BLUE], [GREEN, RED]],
        4: [[BLUE, WHITE], [RED, GREEN]],
        5: [[RED, BLUE], [GREEN, WHITE]],
        6: [[GREEN, WHITE], [RED, BLUE]],
        7: [[WHITE, GREEN], [BLUE, RED]],
        8: [[BLUE, RED], [WHITE, GREEN]],
    }[orientation]
    image = Image.fromarray(np.array(stored, np.uint8).repeat(32, 0).repeat(32, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}.get(extension, {})
    image.save(tmp_path / f"a.{extension}", exif=exif, **options)
    assert np.abs(corners(decode(tmp_path / f"a.{extension}", Decoding(16))[1]) - EXPECTED).max() < 12


def test_the_first_frame_of_an_animation(tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert decode(tmp_path / name, Decoding(4))[1][0, 0].tolist() == list(RED)


def test_fits(tmp_path: Path):
    """A 30x10 picture: red, green, blue squares side by side."""
    stripes = np.array([RED, GREEN, BLUE], np.uint8).repeat(10, 0)
    Image.fromarray(np.broadcast_to(stripes, (10, 30, 3)).copy()).save(tmp_path / "wide.png")
    crop, pad, squeeze = (decode(tmp_path / "wide.png", Decoding(30, fit=fit))[1] for fit in ("crop", "pad", "squeeze"))
    assert crop[15, 15].tolist() == list(GREEN)
    assert np.abs(crop[:, 3:-3].astype(int) - GREEN).max() < 10  # hardly anything of the sides
    assert [pad[15, x].tolist() for x in (5, 15, 25)] == [list(RED), list(GREEN), list(BLUE)]
    assert (pad[:9] == 255).all()
    assert (pad[21:] == 255).all()
    assert [squeeze[y, x].tolist() for y in (2, 28) for x in (5, 25)] == [list(RED), list(BLUE)] * 2


def test_shrinking_does_not_alias(tmp_path: Path):
    """A fine chessboard is grey from afar, also by way of JPEG's own scaling."""
    board = np.indices((512, 512)).sum(0) % 2 * 255
    for name in ("board.png", "board.jpg"):
        Image.fromarray(board.astype(np.uint8)).save(tmp_path / name)
        pixels = decode(tmp_path / name, Decoding(32))[1]
        assert np.abs(pixels.astype(int) - 127).max() < 8


def test_jpegs_own_scaling_agrees_with_resampling_in_full(tmp_path: Path):
    smooth = np.add.outer(np.sin(np.arange(600) / 40), np.cos(np.arange(800) / 60)) * 60 + 128
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    fast = decode(tmp_path / "a.jpg", Decoding(32))[1][..., 0].astype(float)
    with Image.open(tmp_path / "a.jpg") as image:
        full = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS, (100, 0, 700, 600)), float)
    assert np.abs(fast - full).max() < 3


def test_one_pixel_lines(tmp_path: Path):
    Image.new("RGB", (1, 500), RED).save(tmp_path / "line.png")
    for fit in ("crop", "pad", "squeeze"):
        assert decode(tmp_path / "line.png", Decoding(8, fit=fit))[1].shape == (8, 8, 3)


def test_the_digest_is_of_the_file(tmp_path: Path):
    quarters().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    quarters().save(tmp_path / "c.png", compress_level=1)
    a, b, c = (decode(tmp_path / f"{name}.png", Decoding(8)) for name in "abc")
    assert a[0] == b[0] != c[0]
    assert np.array_equal(a[1], c[1])


def bomb(side: int = 20_000) -> bytes:
    """A PNG that claims side x side pixels in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"not a picture", "not an image"),
        (b"\xff\xd8\xff\xe0" + os.urandom(100), "."),
        (bomb(), "decompression bomb"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "."),
        (b"GIF89a" + b"\xff" * 20, "."),
        (b"II*\0" + b"\xff" * 60, "."),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\0" * 30, "."),
        (b"BM" + b"\0" * 60, "."),
    ],
)
def test_damaged_files_are_unreadable_in_one_line(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=reason) as caught:
        decode(path, Decoding(8))
    assert "\n" not in str(caught.value)


def test_pillows_warning_of_a_bomb_is_a_refusal(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(bomb(10_000))
    with pytest.raises(Unreadable, match="bomb"):
        decode(tmp_path / "a.png", Decoding(8))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tif", "a.bmp"])
def test_truncated_files(tmp_path: Path, name: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable):
        decode(tmp_path / name, Decoding(8))


def test_missing_file(tmp_path: Path):
    with pytest.raises(Unreadable, match="No such file"):
        decode(tmp_path / "gone.png", Decoding(8))
