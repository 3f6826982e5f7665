"""A folder as people have them: odd files and odd names together. One summary, and no pixel is other without a word."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from test_pictures_as_they_are import HEIC_HEAD, LFS
from test_typed import ODD

from vae_sweep.data import load
from vae_sweep.data.image_data import DataError, ImageData

RNG = np.random.default_rng(0)
SIDE = 16


def rgb(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "b")
    return out.getvalue()


def wide(kind: str = "PNG") -> bytes:
    return encoded(Image.fromarray(RNG.integers(0, 256, (SIDE, 3 * SIDE, 3), dtype=np.uint8)), kind)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(rgb(), "PNG", exif=exif)


def frames(kind: str) -> bytes:
    return encoded(rgb(), kind, save_all=True, append_images=[rgb(), rgb()])


def see_through() -> bytes:
    picture = rgb("RGBA")
    picture.putalpha(Image.fromarray(RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)))
    return encoded(picture, "PNG")


def deep(high: int = 65536) -> bytes:
    return encoded(Image.fromarray(RNG.integers(0, high, (SIDE, SIDE), dtype=np.uint16)), "PNG")


# Pictures whose pixels are kept: name -> content. What is expected of them is Pillow's own reading, upright, in colour.
KEPT: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: encoded(rgb(), "PNG"),
    "a.jpg": lambda: encoded(rgb(), "JPEG", quality=95),
    "progressive.jpeg": lambda: encoded(rgb(), "JPEG", progressive=True),
    "A.JPG": lambda: encoded(rgb(), "JPEG"),
    "a.webp": lambda: encoded(rgb(), "WEBP", lossless=True),
    "a.bmp": lambda: encoded(rgb(), "BMP"),
    "a.tif": lambda: encoded(rgb(), "TIFF", compression="tiff_lzw"),
    "a.gif": lambda: encoded(rgb("P"), "GIF"),
    "a.avif": lambda: encoded(rgb(), "AVIF"),
    "a.jp2": lambda: encoded(rgb(), "JPEG2000"),
    "a.ppm": lambda: encoded(rgb(), "PPM"),
    "palette.png": lambda: encoded(rgb("P"), "PNG"),
    "grey.png": lambda: encoded(rgb("L"), "PNG"),
    "bits.png": lambda: encoded(rgb("1"), "PNG"),
    "png that calls itself.jpg": lambda: encoded(rgb(), "PNG"),
    "no ending": lambda: encoded(rgb(), "PNG"),
    "mirrored.png": lambda: turned(2),
    "on its side.png": lambda: turned(6),
    "upside down.png": lambda: turned(3),
    "words after.png": lambda: encoded(rgb(), "PNG") + b"words after its end",
}
# Pictures whose pixels are others afterwards: content, what says so.
CHANGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "see-through.png": (see_through, "2 of {n} pictures have a fourth band below 255"),
    "see-through 2.png": (see_through, "the white behind it"),
    "wide.png": (wide, "33% of the longest"),
    "wide.jpg": (lambda: wide("JPEG"), "data.fit=crop keeps"),
    "moving.gif": (lambda: frames("GIF"), "5 of {n} files have several frames or pages: the first is taken"),
    "moving.webp": (lambda: frames("WEBP"), "the first is taken"),
    "moving.png": (lambda: frames("PNG"), "the first is taken"),
    "pages.tiff": (lambda: frames("TIFF"), "the first is taken"),
    "moving.avif": (lambda: frames("AVIF"), "the first is taken"),
    "print.jpg": (lambda: encoded(rgb("CMYK"), "JPEG"), "2 of {n} pictures are CMYK or have a colour profile"),
    "camera.jpg": (lambda: encoded(rgb(), "JPEG", icc_profile=b"Adobe RGB (1998)" * 9), "which is not applied"),
    "deep.png": (deep, "1 of {n} pictures have more than 8 bits, and are read in 256 levels"),
}
# Not taken, and counted by kind in the one summary.
ASIDE: dict[str, tuple[bytes, str]] = {
    "notes.txt": (b"words", "1 .txt file"),
    "table.csv": (b"a,b\n1,2\n", "1 .csv file"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "1 SVG drawing"),
    "paper.pdf": (b"%PDF-1.7", "1 PDF"),
    "old.zip": (zipped(), "1 zip archive (data.root=FILE.zip reads one)"),
    "film.mp4": (b"\x00\x00\x00\x18ftypisom", "1 .mp4 file"),
    "x.npy": (b"\x93NUMPY\x01\x00", "1 NumPy file"),
    "README": (b"words", "1 extensionless file"),
    "photo.heic": (HEIC_HEAD, "1 HEIC picture"),
    "page": (b"<!DOCTYPE html><html></html>", "HTML page"),
    "nothing": (b"", "1 empty file"),
    "pointer": (LFS, "1 Git-LFS pointer"),
    "x.gz": (b"\x1f\x8b\x08", "1 gzip file"),
}
# They call themselves pictures and give none: refused by name and reason until data.max_unreadable allows it.
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "empty file"),
    "html.jpg": (b"<!DOCTYPE html><html></html>", "in truth a HTML page"),
    "lfs.png": (LFS, "in truth a Git-LFS pointer"),
    "words.png": (b"no picture at all", "not an image, or damaged at its start"),
    "cut.png": (encoded(rgb(), "PNG")[:200], "cut.png ("),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for name, make in KEPT.items():
        (root / name).write_bytes(make())
    for name, (changed, _) in CHANGED.items():
        (root / name).write_bytes(changed())
    for name, (content, _) in {**ASIDE, **REFUSED}.items():
        (root / name).write_bytes(content)
    (root / ".hidden.png").write_bytes(b"hidden")
    (root / "link to nowhere.txt").symlink_to("nowhere")
    os.mkfifo(root / "pipe.png")
    return root


def odd_paths(root: Path) -> dict[str, bytes]:
    """A picture below a folder of each odd name, and under the name itself."""
    made = {}
    for number, name in enumerate(ODD):
        plain = name.replace("~/", "~").replace("/", "").strip()
        if plain in ("", ".", "..") or plain.startswith("."):
            continue
        (root / plain).mkdir(exist_ok=True)
        place = root / plain / (f"{plain}.png" if number % 2 else "a.png")
        place.write_bytes(encoded(rgb(), "PNG"))
        made[str(place.relative_to(root))] = place.read_bytes()
    return made


def pixels(content: bytes) -> np.ndarray:
    """As Pillow has them, upright and in colour."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))


def test_fifty_odd_files_and_forty_odd_paths(folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr("vae_sweep.data.folder.reads_heic", lambda: False)
    caplog.set_level("INFO", "vae_sweep")
    odd = odd_paths(folder)
    assert len(KEPT) + len(CHANGED) + len(ASIDE) + len(REFUSED) >= 50
    assert len(odd) >= 40
    section = {"_target_": "vae_sweep.data.image_folder", "root": str(folder), "image_size": SIDE, "workers": 1}
    section["cache_dir"] = str(folder.parent / "cache")
    with pytest.raises(DataError) as refused:
        load(section)
    assert len(str(refused.value).splitlines()) == 1
    assert f"{len(REFUSED)} unreadable file(s)" in str(refused.value)
    assert f"data.max_unreadable={len(REFUSED)} leaves them out" in str(refused.value)
    for name, (_, reason) in REFUSED.items():
        assert name in str(refused.value)
        assert reason in str(refused.value)

    caplog.clear()
    found = load({**section, "max_unreadable": len(REFUSED)})
    taken = [*KEPT, *CHANGED, *odd]
    assert isinstance(found, ImageData)
    assert sorted(found.names) == sorted(taken)
    [summary] = [line for line in caplog.messages if "left aside" in line]
    for counted in (*(words for _, words in ASIDE.values()), "1 unreadable file"):
        assert counted in summary
    said = "\n".join(caplog.messages)
    for _, (_, words) in CHANGED.items():
        assert words.format(n=len(taken)) in said
    assert "Traceback" not in said
    assert all(line.count("\n") == 0 for line in caplog.messages)

    row = {name: np.asarray(found.images[number]) for number, name in enumerate(found.names)}
    for name, content in {name: (folder / name).read_bytes() for name in [*KEPT, *odd]}.items():
        np.testing.assert_array_equal(row[name], pixels(content), err_msg=name)
