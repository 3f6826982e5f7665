"""Pictures as people have them: of any kind and name, in folders, lists and archives; what was done to them is said."""

import errno
import io
import re
import struct
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from marks import slow
from PIL import Image

from vae_sweep.data import load
from vae_sweep.data.decoding import Decoding, Unreadable, decode, decode_noting
from vae_sweep.data.folder import find_images
from vae_sweep.data.image_data import DataError
from vae_sweep.data.kinds import kind_of
from vae_sweep.data.list_file import read_list
from vae_sweep.environment import install
from vae_sweep.evaluation.showing import as_bytes

RNG = np.random.default_rng(0)
HEIC_HEAD = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 100
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"


def picture(size=(16, 16), mode="RGB") -> Image.Image:
    bands = RNG.integers(0, 256, (*size[::-1], len(Image.new(mode, (1, 1)).getbands())), np.uint8)
    return Image.fromarray(bands.squeeze(), mode) if bands.shape[2] == 1 else Image.fromarray(bands).convert(mode)


def paint(folder: Path, *names: str, **how) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(**how).save(path)


@pytest.fixture
def read(tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture):
    """read(root, ...) -> (ImageData, what was said)"""
    caplog.set_level("INFO", "vae_sweep")
    cache = tmp_path_factory.mktemp("cache")

    def read(root: Path, **settings):
        section = {"_target_": "vae_sweep.data.image_folder", "root": str(root), "image_size": 8, "workers": 1}
        caplog.clear()
        return load({**section, "cache_dir": str(cache), **settings}), caplog.text

    return read


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "gif", "bmp", "avif", "jp2", "ppm"])
def test_a_picture_is_known_by_its_bytes(tmp_path: Path, ending: str) -> None:
    """Under a strange name, and under another format's."""
    paint(tmp_path, f"a.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()
    assert kind_of(content[:512]).picture
    for name in ("b", "c.dat", "d.jpg"):
        (tmp_path / name).write_bytes(content)
    assert [file.name for file in find_images(tmp_path)] == sorted([f"a.{ending}", "b", "c.dat", "d.jpg"])
    expected = decode(tmp_path / f"a.{ending}", Decoding(8))[1]
    assert np.array_equal(decode(tmp_path / "d.jpg", Decoding(8))[1], expected)


def test_what_is_left_aside_is_counted_by_kind(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("vae_sweep.data.folder.reads_heic", lambda: False)
    caplog.set_level("INFO", "vae_sweep")
    paint(tmp_path, "1.jpg", "2.png")
    (tmp_path / "a.heic").write_bytes(HEIC_HEAD)
    for name in ("a.svg", "b.svg"):
        (tmp_path / name).write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>')
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    for name in ("a.npz", "a.docx"):
        (tmp_path / name).write_bytes((tmp_path / "a.zip").read_bytes())
    (tmp_path / "notes").write_text("words")
    (tmp_path / "movie.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom")
    assert len(find_images(tmp_path)) == 2
    assert "left aside 2 SVG drawings, 1 .docx file, 1 .mp4 file, 1 HEIC picture" in caplog.text
    assert f"({install('heic')} reads them)" in caplog.text
    assert "1 NumPy file (data=arrays data.path=FILE reads it)" in caplog.text
    assert "1 zip archive (data.root=FILE.zip reads one)" in caplog.text
    assert "1 extensionless file" in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEIC_HEAD, re.escape(f"in truth a HEIC picture: {install('heic')} reads them")),
        (LFS, "in truth a Git-LFS pointer: `git lfs pull` fetches the pictures"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "in truth a HTML page: what a server sends"),
        (b"no picture at all", "not an image, or damaged at its start"),
    ],
)
def test_what_calls_itself_a_picture_is_named(tmp_path: Path, content: bytes, said: str, monkeypatch) -> None:
    monkeypatch.setattr("vae_sweep.data.decoding.reads_heic", lambda: False)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(Unreadable, match=said):
        decode(tmp_path / "a.jpg", Decoding(8))


def test_bytes_with_a_sign_are_named(tmp_path: Path) -> None:
    sample_format = 339  # of TIFF: 1 without a sign, 2 with one
    for kind in (1, 2):
        picture(mode="L").save(tmp_path / f"{kind}.tif", tiffinfo={sample_format: kind})
    decode(tmp_path / "1.tif", Decoding(8))
    with pytest.raises(Unreadable, match="8-bit numbers with a sign"):
        decode(tmp_path / "2.tif", Decoding(8))


def test_heic_is_read_where_the_extra_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    smooth = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic")
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")
    assert np.abs(decode(tmp_path / "a.jpg", Decoding(64))[1].astype(int) - smooth).max() < 12


def test_many_files_of_one_ending_are_not_all_opened(tmp_path: Path, monkeypatch) -> None:
    paint(tmp_path, "1.jpg")
    for number in range(100):
        (tmp_path / f"{number}.caption").write_text("words")
    opened = []
    monkeypatch.setattr("vae_sweep.data.folder._head", lambda path: opened.append(path) or b"words")
    assert len(find_images(tmp_path)) == 1
    assert len(opened) == 64


def test_a_fourth_band_is_opacity_or_data(tmp_path: Path, read) -> None:
    """RGB and infrared of 100 each: laid on white the greys are 225 (100 * a + 255 * (1 - a), a = 100 / 255)."""
    for number in range(4):
        bands = np.full((8, 8, 4), 100, np.uint8)
        bands[0, 0, 0] = number
        Image.fromarray(bands).save(tmp_path / f"{number}.tif")
    data, said = read(tmp_path)
    assert np.abs(data.images[:, 4:, 4:].astype(int) - 194).max() <= 1  # 100 + (255 - 100) * (1 - 100/255)
    assert "4 of 4 pictures have a fourth band below 255, read as opacity: 61% of each" in said
    data, said = read(tmp_path, channels=4)
    assert data.shape == (4, 8, 8)
    assert (data.images[:, 4:, 4:] == 100).all()
    assert "read as opacity" not in said


def test_twelve_bits_in_sixteen(tmp_path: Path, read) -> None:
    for number in range(3):
        values = RNG.integers(0, 4096, (8, 8), np.uint16)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    dark, said = read(tmp_path, channels=1)
    assert "pixels use 0..4" in said
    assert "data.white=4095 makes their variance 256 times as large" in said
    bright, said = read(tmp_path, channels=1, white=4095)
    assert "white" not in said
    assert bright.images.astype(float).var() / dark.images.astype(float).var() == pytest.approx(256, rel=0.1)
    with pytest.raises(DataError, match=r"integer pixels outside 0\.\.255"):
        read(tmp_path, white=255)


def _png_of_16_bits(bands: np.ndarray) -> bytes:
    """(H, W, 3) uint16. Pillow reads such files, and writes none."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = bands.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in bands.astype(">u2"))
    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def test_sixteen_bits_in_several_bands_are_read_by_their_upper_byte_and_no_white_is_feigned(tmp_path: Path) -> None:
    bands = RNG.integers(0, 4096, (8, 8, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(_png_of_16_bits(bands))
    _, pixels, notes = decode_noting(tmp_path / "a.png", Decoding(8))
    assert np.array_equal(pixels, bands >> 8)
    assert notes["high"] == (bands.max() >> 8) * 256 + 255
    with pytest.raises(Unreadable, match=r"16 bits in each of 3 bands, which data\.white needs as TIFF"):
        decode(tmp_path / "a.png", Decoding(8, white=4095))
    bmp = Image.fromarray(bands.astype(np.uint8))
    bmp.save(tmp_path / "a.bmp")
    assert "high" not in decode_noting(tmp_path / "a.bmp", Decoding(8, white=4095))[2]


@pytest.mark.parametrize("kind", ["16 bits", "double", "colour"])
def test_tiffs_whose_numbers_pillow_does_not_read(kind: str, tmp_path: Path, monkeypatch) -> None:
    tifffile = pytest.importorskip("tifffile")
    levels = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    numbers = {"16 bits": levels.astype(np.uint16) * 16, "double": levels[..., 0] / 255,
               "colour": (levels / 255).astype(np.float32)}[kind]  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="minisblack" if kind == "double" else "rgb")
    how = Decoding(8, white=4080 if kind == "16 bits" else None)
    expected = levels[..., :1].repeat(3, 2) if kind == "double" else levels
    assert np.array_equal(decode(tmp_path / "a.tif", how)[1], expected)
    grey = np.asarray(Image.fromarray(expected).convert("L"))[..., None]
    assert np.array_equal(decode(tmp_path / "a.tif", replace(how, channels=1))[1], grey)
    monkeypatch.setattr("vae_sweep.data.decoding.reads_bands", lambda: False)
    with pytest.raises(Unreadable, match=re.escape(install("tiff"))):
        decode(tmp_path / "a.tif", how)


def test_floating_point_files(tmp_path: Path, read) -> None:
    for number in range(3):
        Image.fromarray(np.full((8, 8), number - 1, np.float32)).save(tmp_path / f"{number}.tif")
    with pytest.raises(DataError, match=r"floating-point pixels outside \[0, 1\]"):
        read(tmp_path)
    data, _ = read(tmp_path, range=[-1, 1])
    assert sorted(np.unique(data.images)) == [0, 128, 255]


def test_what_a_crop_throws_away_is_said(tmp_path: Path, read) -> None:
    paint(tmp_path, "a.png", "b.png", size=(30, 200))
    paint(tmp_path, "c.png", size=(200, 30))
    assert "data.fit=crop keeps 15% of the median picture" in read(tmp_path)[1]
    assert "data.fit=pad: 85% of all pixels are white bars" in read(tmp_path, fit="pad")[1]
    assert "data.fit" not in read(tmp_path, fit="squeeze")[1]


# Where they lie ------------------------------------------------------------------------------------------------------


def test_a_list_with_and_without_labels(tmp_path: Path, read) -> None:
    paint(tmp_path / "pics", "a b.png", "c,d.png", "e.png")
    absolute = tmp_path / "pics" / "e.png"
    (tmp_path / "plain.txt").write_text(f"pics/a b.png\npics/c,d.png\n\n{absolute}\n")
    data, _ = read(tmp_path / "plain.txt")
    assert len(data.images) == 3
    assert data.labels is None
    (tmp_path / "labelled.txt").write_text(f"pics/a b.png cat\npics/c,d.png\tdog\n{absolute},cat\n")
    (tmp_path / "list.csv").write_text(f'id,label,path\n1,cat,pics/a b.png\n2,dog,"pics/c,d.png"\n3,cat,{absolute}\n')
    for name in ("labelled.txt", "list.csv"):
        data, _ = read(tmp_path / name)
        told = {Path(name).name: data.label_names[label] for name, label in zip(data.names, data.labels, strict=True)}
        assert told == {"a b.png": "cat", "c,d.png": "dog", "e.png": "cat"}


@pytest.mark.parametrize(
    ("ending", "content", "labels"),
    [
        ("csv", "\ufefffilename,label\r\nü.png,cat\r\nb.png,dog\r\n".encode(), ["cat", "dog"]),
        ("csv", "filename;label\r\nü.png;cat\r\nb.png;dog\r\n".encode("cp1252"), ["cat", "dog"]),
        ("csv", "filename,label\nü.png,cat\nb.png,dog\n".encode("utf-16"), ["cat", "dog"]),
        ("tsv", "Image Path\tLabel\nü.png\tcat\nb.png\tdog\n".encode(), ["cat", "dog"]),
        ("csv", "id,label\nü,cat\nb,dog\n".encode(), ["cat", "dog"]),
        ("csv", "id,picture,label\n1,ü.png,cat\n2,b.png,dog\n".encode(), ["cat", "dog"]),
        ("csv", "id,name,label\n1,ü,cat\n2,b,dog\n".encode(), ["cat", "dog"]),
        ("csv", "name,picture,label\nPat,ü.png,cat\nSam,b.png,dog\n".encode(), ["cat", "dog"]),
        ("csv", ",what,label\n0,ü.png,cat\n1,b.png,dog\n".encode(), ["cat", "dog"]),
        ("csv", "0,ü.png\n1,b.png\n".encode(), ["0", "1"]),
        ("csv", "path,label\n..\\pics\\ü.png,cat\n.\\b.png,dog\n".encode(), ["cat", "dog"]),
        ("txt", "ü cat\rb dog\r".encode(), ["cat", "dog"]),
    ],
)
def test_a_list_as_other_programs_write_it(tmp_path: Path, ending: str, content: bytes, labels: list[str]) -> None:
    paint(tmp_path / "pics", "ü.png", "b.png")
    path = tmp_path / "pics" / f"list.{ending}"
    path.write_bytes(content)
    files, found = read_list(path)
    assert [Path(file.name).name for file in files] == ["ü.png", "b.png"]
    assert found == labels


def test_a_picture_that_is_listed_twice_has_both_labels(tmp_path: Path, read) -> None:
    """All of a list, and those of it that the names choose."""
    paint(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "list.csv").write_text("path,label\na.png,cat\nb.png,dog\na.png,cow\nc.png,eel\n")
    given = {("a.png", "cat"), ("b.png", "dog"), ("a.png", "cow"), ("c.png", "eel")}
    for count in (4, 3):
        data, _ = read(tmp_path / "list.csv", max_images=count)
        told = {(name, data.label_names[label]) for name, label in zip(data.names, data.labels, strict=True)}
        assert len(told) == count
        assert told <= given


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        ("txt", "\ngone.png\n", r"gone.png \(line 2\): No such file"),
        ("txt", "\n", "no paths in it"),
        ("txt", "a.png x\n\na.png\n", "line 3 has no label, others have"),
        ("csv", "", "no paths in it"),
        ("csv", "path,label\n", "no paths in it"),
        ("csv", "id,label\n1,cat\n2,dog\n", r"1 \(line 2\): No such file"),
        ("csv", "path,thumb\ngone.png,a.png\n", r"gone.png \(line 2\): No such file"),
        ("csv", "path,label\n\na.png,cat\na.png\n", "line 4 has no label, others have"),
        ("csv", "a.png,cat\na.png\n", "line 2 has no label, others have"),
        ("csv", "label,path\ncat,a.png\ncat\n", "line 3 has no path"),
        ("csv", "a.png," + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, read, ending: str, content: str, said: str) -> None:
    paint(tmp_path, "a.png")
    (tmp_path / f"list.{ending}").write_text(content)
    with pytest.raises(DataError, match=rf"^data.root: .*list.{ending}: .*{said}"):
        read(tmp_path / f"list.{ending}")


def _packed(tmp_path: Path, ending: str, members: dict[str, bytes]) -> Path:
    path = tmp_path / f"set.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if ending == "tar.gz" else "w") as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("ending", ["tar.gz", *slow("tar", "zip")])
def test_an_archive_is_a_folder(tmp_path: Path, read, ending: str) -> None:
    """The same pictures, labels and split as unpacked; what leads outside stays inside; the rest is counted."""
    paint(tmp_path / "pics", *(f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(5)))
    members = {
        f"top/{file.relative_to(tmp_path / 'pics')}": file.read_bytes() for file in (tmp_path / "pics").rglob("*.png")
    }
    extra = {"top/notes.txt": b"words", "__MACOSX/._0.png": b"", "top/.hidden.png": b""}
    data, said = read(_packed(tmp_path, ending, members | extra))
    assert "left aside 1 .txt file" in said
    unpacked, _ = read(tmp_path / "pics")
    assert np.array_equal(data.images, unpacked.images)
    assert data.label_names == ("cat", "dog")
    assert np.array_equal(data.val, unpacked.val)
    one, two = members["top/cat/0.png"], members["top/dog/1.png"]
    data, _ = read(_packed(tmp_path, ending, {"../../out.png": one, "a.png": two}))
    assert sorted(data.names) == ["a.png", "out.png"]
    assert not list(tmp_path.parent.glob("out.png"))


def test_no_archive(tmp_path: Path, read) -> None:
    (tmp_path / "set.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"not a folder: .*, nor a zip or tar, or a list of paths"):
        read(tmp_path / "set.rar")
    with pytest.raises(DataError, match=r"no images in .* among 1 .txt file"):
        read(_packed(tmp_path, "zip", {"a.txt": b"words"}))


@pytest.mark.parametrize("broken", [(zipfile.ZipExtFile, "read"), (tarfile, "is_tarfile")], ids=lambda at: at[1])
def test_an_archive_that_cannot_be_read_is_no_fault_of_the_cache(tmp_path: Path, read, broken, monkeypatch) -> None:
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "set.zip"
    path.write_bytes(b"neither zip nor tar")
    if broken[0] is not tarfile:
        _packed(tmp_path, "zip", {"a.png": b"\x89PNG"})
    monkeypatch.setattr(*broken, fails)
    with pytest.raises(DataError, match=rf"^data.root: {path} cannot be read: Input/output error$"):
        read(path)


def test_bands_beyond_three_are_shown_by_the_first_three() -> None:
    bands = torch.rand(2, 5, 4, 4)
    assert np.array_equal(as_bytes(bands), as_bytes(bands[:, :3]))
    assert np.array_equal(as_bytes(bands[:, :2]), as_bytes(bands[:, [0, 1, 1]]))
    assert as_bytes(bands[:, :1]).shape == (2, 4, 4, 1)
