"""Large sets in several files, and pictures of many bands."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from marks import slow
from PIL import Image

from vae_sweep import data
from vae_sweep.data import shards
from vae_sweep.data.decoding import Decoding, Unreadable, decode, decode_noting
from vae_sweep.data.image_data import DataError, ImageData
from vae_sweep.environment import install


def pictures(count: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)


def tar_of(path: Path, images: np.ndarray, folder: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, image in enumerate(images):
            out = io.BytesIO()
            Image.fromarray(image).save(out, "PNG")
            info = tarfile.TarInfo(f"{folder}{number:06d}.png")
            info.size = len(out.getvalue())
            tar.addfile(info, io.BytesIO(out.getvalue()))


def read(tmp_path: Path, target: str = "image_folder", **settings) -> ImageData:
    return data.load({"_target_": f"vae_sweep.data.{target}", "cache_dir": str(tmp_path / "cache"), **settings})


def contents(found: ImageData) -> set[bytes]:
    return {np.ascontiguousarray(image).tobytes() for image in found.images}


@pytest.mark.parametrize("root", ["**/part-?.tar", *slow("tars", "tars/*.tar")])
def test_tars_are_one_set_though_their_files_have_the_same_names(root: str, tmp_path: Path) -> None:
    whole = pictures(30)
    for part in range(3):
        tar_of(tmp_path / "tars" / f"part-{part}.tar", whole[part::3])
    found = read(tmp_path, root=str(tmp_path / root), image_size=8)
    assert contents(found) == {image.tobytes() for image in whole}
    assert found.labels is None
    assert len(found.train) + len(found.val) == 30


def test_labels_are_the_folders_in_the_tars(tmp_path: Path) -> None:
    for part, kind in enumerate(("cat/", "dog/", "cat/")):
        tar_of(tmp_path / "tars" / f"{part}.tar", pictures(4, part), kind)
    found = read(tmp_path, root=str(tmp_path / "tars"), image_size=8)
    assert (found.label_names, sorted(found.labels)) == (("cat", "dog"), [0] * 8 + [1] * 4)


def test_a_folder_with_something_else_is_a_folder(tmp_path: Path) -> None:
    tar_of(tmp_path / "mixed" / "a.tar", pictures(4))
    for number, image in enumerate(pictures(3, 1)):
        Image.fromarray(image).save(tmp_path / "mixed" / f"{number}.png")
    assert len(read(tmp_path, root=str(tmp_path / "mixed"), image_size=8).images) == 3


@pytest.mark.parametrize("path", ["parts", "parts/*.npz"])
def test_arrays_in_several_files_are_mapped_from_the_cache(path: str, tmp_path: Path) -> None:
    whole, kinds = pictures(30), np.array(["ant", "bee", "cow"])
    (tmp_path / "parts").mkdir()
    labels = np.random.default_rng(0).integers(0, 3, 30)
    for part in range(3):
        rows = slice(10 * part, 10 * part + 10)
        np.savez(tmp_path / "parts" / f"{part}.npz", images=whole[rows], labels=kinds[labels[rows]])
    found = read(tmp_path, "arrays", path=str(tmp_path / path))
    np.testing.assert_array_equal(np.asarray(found.images), whole)
    assert isinstance(found.images, np.memmap)
    assert [found.label_names[label] for label in found.labels] == kinds[labels].tolist()
    np.savez(tmp_path / "one.npz", images=whole, labels=kinds[labels])
    one = read(tmp_path, "arrays", path=str(tmp_path / "one.npz"))
    assert found.fingerprint == one.fingerprint  # the same set, and so the same members
    np.testing.assert_array_equal(found.val, one.val)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.uint8([0, 1]), np.uint8([0, 250]), [0, 1, 0, 250]),
        (np.uint8([0, 1]), np.uint8([1, 1]), [0, 255, 255, 255]),
        (np.int16([0, 250]), np.int16([0, 1199]), [0, 2, 0, 9]),  # of 32767
        (np.int64([0, 1]), np.int64([0, 250]), [0, 1, 0, 250]),
    ],
)
def test_a_number_means_the_same_in_every_file(first, second, expected: list[int], tmp_path: Path, caplog) -> None:
    (tmp_path / "parts").mkdir()
    for name, numbers in (("a", first), ("b", second)):
        np.save(tmp_path / "parts" / f"{name}.npy", np.broadcast_to(numbers[:, None, None], (2, 5, 5)))
    found = read(tmp_path, "arrays", path=str(tmp_path / "parts"))
    assert found.images[:, 0, 0, 0].tolist() == expected
    assert caplog.text.count("data.white=2047 makes their variance") == (first.dtype == np.int16)


def test_files_of_several_types_make_no_set(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts" / "a.npy", pictures(4))
    np.save(tmp_path / "parts" / "b.npy", pictures(4).astype(np.int16))
    with pytest.raises(DataError, match=r"b\.npy has int16 pixels, .*a\.npy has uint8: numbers of several types"):
        read(tmp_path, "arrays", path=str(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"images": pictures(4)[:, :4]}, "other images than"),
        ({"images": pictures(4), "labels": np.arange(4)}, "other labels than"),
        ({"x_train": pictures(4), "x_test": pictures(2)}, "official split"),
    ],
)
def test_files_that_make_no_set_are_named(second: dict, said: str, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    np.savez(tmp_path / "parts" / "a.npz", images=pictures(4, 1))
    np.savez(tmp_path / "parts" / "b.npz", **second)
    with pytest.raises(DataError, match=rf"b\.npz has (other|an) .*{said.split()[-2]}"):
        read(tmp_path, "arrays", path=str(tmp_path / "parts"))


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder: .*\*\.tar"):
        read(tmp_path, root=str(tmp_path / "*.tar"))
    assert shards.shards_of(tmp_path / "*.npz", shards.ARRAYS) == []


def test_without_the_extra_bands_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_sweep.data.from_files.reads_bands", lambda: False)
    with pytest.raises(DataError, match=re.escape(f"data.channels=7: {install('tiff')}")):
        read(tmp_path, root=str(tmp_path), channels=7)


TURNED = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: a.transpose(1, 0, 2)[::-1],
}  # fmt: skip  # TIFF 6.0 page 36


@pytest.mark.parametrize("orientation", TURNED)
def test_bands_are_turned_upright(orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = pictures(1, channels=5)[0]
    monkeypatch.setattr("vae_sweep.data.decoding.reads_bands", lambda: True)
    monkeypatch.setattr("vae_sweep.data.decoding.read_bands", lambda *_: (scene, orientation, False))
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif", Decoding(8, 5))[1], TURNED[orientation](scene))


def test_bytes_are_as_they_are_whatever_is_white(tmp_path: Path) -> None:
    """Of one band and of five, beside files of more bits."""
    tifffile = pytest.importorskip("tifffile")
    for bands in (1, 5):
        scene = pictures(1, channels=bands)[0]
        stored, layout = (scene[..., 0], None) if bands == 1 else (scene, "contig")
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=layout)
        np.testing.assert_array_equal(decode(tmp_path / "a.tif", Decoding(8, bands, white=4095))[1], scene)


@pytest.mark.parametrize("white", [None, 65535, 4095])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("pages", [1, 4])
def test_deep_colour_of_one_page_or_several(
    white: int | None, planes: bool, pages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is taken, and that is said; bands may lie beside each other or one after another."""
    tifffile = pytest.importorskip("tifffile")
    scenes = np.random.default_rng(0).integers(0, 4096, (pages, 8, 8, 3), np.uint16)
    stored = scenes.transpose(0, 3, 1, 2) if planes else scenes
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate" if planes else "contig")
    _, pixels, notes = decode_noting(tmp_path / "a.tif", Decoding(8, white=white))
    assert np.abs(pixels - scenes[0] / (white or 65535) * 255).max() <= 1
    assert ("frames" in notes) == (pages > 1)
    monkeypatch.setattr("vae_sweep.data.decoding.reads_bands", lambda: False)
    if planes:
        with pytest.raises(Unreadable, match=re.escape(f"16 bits in each of 3 planes; {install('tiff')}")):
            decode(tmp_path / "a.tif", Decoding(8, white=white))


def test_the_first_of_several_pictures_of_five_pages(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    scenes = pictures(2, channels=5)
    tifffile.imwrite(tmp_path / "a.tif", scenes.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "TCYX"})
    _, pixels, notes = decode_noting(tmp_path / "a.tif", Decoding(8, 5))
    np.testing.assert_array_equal(pixels, scenes[0])
    assert "frames" in notes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["last", "planes", "pages", "16 bits", "float"])
def test_tiffs_of_many_bands(kind: str, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    whole = pictures(12, channels=6)
    (tmp_path / "scenes").mkdir()
    for number, image in enumerate(whole):
        path = tmp_path / "scenes" / f"{number}.tif"
        if kind == "last":
            tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig")
        elif kind == "planes":
            tifffile.imwrite(path, image.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate")
        elif kind == "pages":
            with tifffile.TiffWriter(path) as out:
                for band in image.transpose(2, 0, 1):
                    out.write(band, photometric="minisblack", contiguous=True)
        elif kind == "16 bits":
            tifffile.imwrite(path, image.astype(np.uint16) * 16, photometric="minisblack", planarconfig="contig")
        else:
            tifffile.imwrite(path, image.astype(np.float32) / 255, photometric="minisblack", planarconfig="contig")
    found = read(
        tmp_path, root=str(tmp_path / "scenes"), image_size=8, channels=6, white=4080 if kind == "16 bits" else None
    )
    assert contents(found) == {image.tobytes() for image in whole}
    with pytest.raises(DataError, match=r"6 bands, of 5|6 bands"):
        read(tmp_path, root=str(tmp_path / "scenes"), image_size=8, channels=5)
