"""Files by somebody else: understood, or refused in one line that names the file and the fault."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_sweep.data.array_file import Meaning, read_array_file
from vae_sweep.data.decoding import Decoding, decode
from vae_sweep.data.image_data import DataError
from vae_sweep.data.pixels import to_bytes
from vae_sweep.data.torch_file import arrays_of

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 8, 9), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 8, 9, 3), np.uint8)


def saved(tmp_path: Path, array: np.ndarray) -> Path:
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize(
    ("array", "layout", "expected"),
    [
        (GREY, "auto", GREY[..., None]),
        (COLOUR, "auto", COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), "auto", COLOUR),
        (GREY[:, None], "auto", GREY[..., None]),
        (COLOUR[:, :3, :3], "nhwc", COLOUR[:, :3, :3]),
        (COLOUR[:, :3, :3], "nchw", COLOUR[:, :3, :3].transpose(0, 2, 3, 1)),
    ],
)
def test_layouts(tmp_path: Path, array: np.ndarray, layout: str, expected: np.ndarray):
    images = read_array_file(saved(tmp_path, array), layout).images
    assert np.array_equal(images, expected)
    assert images.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_become_float32(tmp_path: Path, dtype: type):
    images = read_array_file(saved(tmp_path, (COLOUR / 255).astype(dtype))).images
    assert images.dtype == np.float32
    assert np.abs(images - COLOUR / 255).max() < 1e-3


def test_bits_become_black_and_white(tmp_path: Path):
    images = read_array_file(saved(tmp_path, GREY > 100)).images
    assert np.array_equal(images[..., 0], np.where(GREY > 100, 255, 0))


def test_big_endian_and_fortran_order(tmp_path: Path):
    images = read_array_file(saved(tmp_path, np.asfortranarray(COLOUR / 255).astype(">f4"))).images
    assert np.allclose(images, COLOUR / 255)
    assert images.dtype == np.float32
    assert images.dtype.isnative


def test_npz_with_everything(tmp_path: Path):
    np.savez_compressed(
        tmp_path / "a.npz",
        x=COLOUR,
        y=["b", "a", "b", "a", "a", "b"],
        factors=np.eye(6)[:, :2],
        factor_names=["u", "v"],
    )
    content = read_array_file(tmp_path / "a.npz")
    assert np.array_equal(content.images, COLOUR)
    assert content.labels.tolist() == [1, 0, 1, 0, 0, 1]
    assert content.label_names == ("a", "b")
    assert content.factors.shape == (6, 2)
    assert content.factor_names == ("u", "v")


def test_npz_whose_first_array_is_the_images(tmp_path: Path):
    np.savez(tmp_path / "a.npz", pictures=GREY, labels=np.arange(6.0))
    content = read_array_file(tmp_path / "a.npz")
    assert content.images.shape == (6, 8, 9, 1)
    assert content.labels.dtype == np.int64


def test_a_big_npy_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vae_sweep.data.array_file._MAP_ABOVE", 100)
    for array in (COLOUR, (COLOUR / 255).astype(np.float32), COLOUR.transpose(0, 3, 1, 2)):
        images = read_array_file(saved(tmp_path, array)).images
        assert isinstance(images, np.memmap)
        assert images.shape == COLOUR.shape
        assert not images.flags.writeable


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_0_and_1_are_black_and_white(tmp_path: Path, dtype: type, caplog):
    caplog.set_level("INFO", "vae_sweep")
    images = read_array_file(saved(tmp_path, (GREY > 100).astype(dtype))).images
    assert np.array_equal(images[..., 0], np.where(GREY > 100, 255, 0))
    assert "0 and 1 alone: read as black and white" in caplog.text


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 255), (-2.1, 2.6)])
def test_a_range_is_taken_when_it_is_said(tmp_path: Path, low: float, high: float):
    path = saved(tmp_path, (low + (high - low) * (COLOUR / 255)).astype(np.float32))
    images = read_array_file(path, Meaning(span=(low, high))).images
    assert np.abs(images - COLOUR / 255).max() < 1e-5
    with pytest.raises(DataError, match=r"data.range=\[0, 0.1\]: .* has pixels in"):
        read_array_file(path, Meaning(span=(0, 0.1)))


def test_twelve_bits_agree_with_files(tmp_path: Path, caplog):
    """Arrays and pictures of the same numbers are the same bytes, whichever white is said; and little is a warning."""
    values = np.random.default_rng(0).integers(0, 4096, (3, 8, 8), np.uint16)
    for white in (None, 4095):
        files = []
        for row, image in enumerate(values):
            Image.fromarray(image).save(tmp_path / f"{row}.png")
            files.append(decode(tmp_path / f"{row}.png", Decoding(8, channels=1, white=white))[1])
        caplog.clear()
        images = read_array_file(saved(tmp_path, values), Meaning(white=white)).images
        assert np.array_equal(images, np.stack(files))
        expected = np.round(values / (white or 65535) * 255)
        assert np.abs(images[..., 0] - expected).max() <= 1
        assert (images.max() > 250) == (white == 4095)
        assert ("data.white=4095 makes their variance 256 times as large" in caplog.text) == (white is None)


def test_any_number_of_bands(tmp_path: Path):
    bands = RNG.integers(0, 256, (6, 8, 9, 5), np.uint8)
    path = saved(tmp_path, bands)
    assert np.array_equal(read_array_file(path, Meaning(channels=5)).images, bands)
    assert np.array_equal(read_array_file(path, Meaning(channels=5, bands=(4, 0, 1))).images, bands[..., [4, 0, 1]])
    assert np.array_equal(
        read_array_file(saved(tmp_path, bands.transpose(0, 3, 1, 2)), Meaning(channels=5)).images, bands
    )
    with pytest.raises(DataError, match=r"data.bands=\[5\]: .* has 5 channels, from 0"):
        read_array_file(path, Meaning(channels=5, bands=(5,)))


def test_keras_and_medmnist(tmp_path: Path, caplog):
    """Official splits as they are, with labels (N, 1); the official validation images where there are some."""
    caplog.set_level("INFO", "vae_sweep")
    np.savez(tmp_path / "mnist.npz", x_train=GREY, y_train=np.arange(6), x_test=GREY[:2], y_test=np.arange(2))
    content = read_array_file(tmp_path / "mnist.npz")
    assert (len(content.images), content.held_out) == (8, 2)
    assert content.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert "6 of x_train and 2 of x_test held out" in caplog.text
    parts = {f"{part}_images": COLOUR[:n] for part, n in (("train", 6), ("val", 3), ("test", 2))}
    parts |= {f"{part}_labels": np.arange(n)[:, None] for part, n in (("train", 6), ("val", 3), ("test", 2))}
    np.savez(tmp_path / "medmnist.npz", **parts)
    content = read_array_file(tmp_path / "medmnist.npz")
    assert (len(content.images), content.held_out, content.labels.tolist()[-3:]) == (9, 3, [0, 1, 2])
    chosen = read_array_file(tmp_path / "medmnist.npz", images="test_images", labels="test_labels")
    assert (len(chosen.images), chosen.held_out, chosen.labels.tolist()) == (2, None, [0, 1])


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (GREY, GREY[:2] % 2, np.concatenate([GREY, GREY[:2] % 2])),
        (GREY % 2, GREY[:2] % 2, 255 * np.concatenate([GREY % 2, GREY[:2] % 2])),
        (GREY.astype(np.int16), GREY[:2].astype(np.int16) % 2, np.concatenate([GREY, GREY[:2] % 2])),
        (GREY.astype(np.uint16) * 257, GREY[:2].astype(">u2") % 2, np.concatenate([GREY, 0 * GREY[:2]])),
        (GREY % 2 > 0, GREY[:2] > 255, 255 * np.concatenate([GREY % 2, 0 * GREY[:2]])),
        (np.float32(GREY / 255), GREY[:2] / 255, np.float32(np.concatenate([GREY, GREY[:2]]) / 255)),
    ],
)
def test_a_number_means_the_same_in_both_parts(tmp_path: Path, train, test, expected: np.ndarray):
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test)
    found = read_array_file(tmp_path / "a.npz").images
    assert found.dtype == expected.dtype
    assert np.array_equal(found[..., 0], expected)


def test_parts_of_several_types_make_no_one_set(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x_train=GREY, x_test=np.float32(GREY / 255))
    refused(tmp_path / "a.npz", r"a.npz \(x_test\) has float32 pixels, .*a.npz \(x_train\) has uint8: ")


@pytest.mark.parametrize("values", [RNG.integers(0, 5000, (300, 4, 5), np.uint16), np.arange(70000)[::-1, None]])
def test_whole_numbers_become_bytes_a_stretch_at_a_time(values: np.ndarray, monkeypatch):
    monkeypatch.setattr("vae_sweep.data.pixels._STRETCH", 1000)
    tracemalloc.start()
    found = to_bytes(values, 4095)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < values.size + 64_000
    assert np.array_equal(found, np.minimum(values * (255 / 4095) + 0.5, 255).astype(np.uint8))


def test_several_arrays_are_not_guessed(tmp_path: Path):
    np.savez(tmp_path / "a.npz", left=GREY, right=COLOUR, other=np.arange(3))
    refused(tmp_path / "a.npz", r"data.images=NAME says which.*: left \(6, 8, 9\), right \(6, 8, 9, 3\)$")
    assert read_array_file(tmp_path / "a.npz", images="right").images.shape == COLOUR.shape
    with pytest.raises(DataError, match=r"data.images=up: .* has left, right, other"):
        read_array_file(tmp_path / "a.npz", images="up")


def test_dsprites_own_file(tmp_path: Path):
    """Its pickled metadata are not touched; 0 and 1 are black and white; the factors that vary are known by name."""
    values = np.c_[np.ones(6), [1, 2, 3, 1, 2, 3], np.linspace(0.5, 1, 6), np.eye(6)[:, :3]]
    np.savez_compressed(
        tmp_path / "dsprites.npz",
        metadata=np.array({"a": 1}, dtype=object), imgs=(GREY > 100).astype(np.uint8),
        latents_classes=np.zeros((6, 6), np.int64), latents_values=values,
    )  # fmt: skip
    content = read_array_file(tmp_path / "dsprites.npz")
    assert set(np.unique(content.images)) == {0, 255}
    assert content.factor_names == ("shape", "scale", "orientation", "posX", "posY")
    assert np.array_equal(content.factors, values[:, 1:])


def nan(array: np.ndarray) -> np.ndarray:
    array = array / 255
    array[3, 2, 1] = np.nan
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (nan(COLOUR), "NaN or infinite pixels, first in image 3"),
        (COLOUR / 255 - 0.5, r"float pixels in \[-0.5, 0.5\]"),
        (COLOUR.astype(np.float32), r"in \[0, 255\]; data.range=\[0,255\] takes them.* 65025 times smaller"),
        (COLOUR / 255 - 0.5, r"data.range=\[-1,1\] takes them.* 4 times smaller"),
        (COLOUR / 42.5 - 2.25, r"standardised\? data.range=\[-2.3,3.8\].* 37.2 times smaller"),
        (COLOUR.astype(np.int64) * 9, r"int64 pixels in \[0, 2295\]; data.white=2295"),
        (COLOUR.astype(np.int16) - 9, r"int16 pixels in \[-9, 246\]"),
        (COLOUR.astype(complex), "dtype complex128"),
        (np.array([["a"]]), "dtype <U1"),
        (COLOUR[..., :2], "no axis is 1 or 3 channels; data.channels=2"),
        (COLOUR[:, :3, :3], "set data.layout=nhwc or nchw"),
        (COLOUR[0, 0], r"has shape \(9, 3\)"),
        (COLOUR[:0], "is empty"),
        (np.float64(1), r"has shape \(\)"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, array: np.ndarray, message: str):
    refused(saved(tmp_path, array), message)


def refused(path: Path, message: str, layout: str = "auto") -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_array_file(path, layout)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layout_that_does_not_fit(tmp_path: Path):
    refused(saved(tmp_path, GREY), "has not 4 axes", "nhwc")
    refused(saved(tmp_path, COLOUR), "8 channels as nchw", "nchw")


def test_pickles_are_never_loaded(tmp_path: Path):
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=np.array([None]))
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([COLOUR]))
    for name in ("objects.npy", "objects.npz", "pickle.npy"):
        refused(tmp_path / name, "pickled Python objects")


@pytest.mark.parametrize("keep", [0, 5, 40, 100, 200, 600, -30])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_truncated_files(tmp_path: Path, suffix: str, keep: int):
    (np.save if suffix == ".npy" else np.savez_compressed)(tmp_path / f"x{suffix}", COLOUR)
    content = (tmp_path / f"x{suffix}").read_bytes()
    (tmp_path / f"x{suffix}").write_bytes(content[:keep])
    refused(tmp_path / f"x{suffix}", "truncated or damaged|pickled")


def test_a_damaged_member_of_a_npz(tmp_path: Path):
    np.savez(tmp_path / "x.npz", COLOUR)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(content)
    refused(tmp_path / "x.npz", "truncated or damaged: .*CRC")


def test_a_header_that_claims_more_than_memory(tmp_path: Path):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}
        )
        file.write(b"0" * 100)
    refused(tmp_path / "x.npy", "truncated or damaged")


def test_missing_and_other_files(tmp_path: Path):
    refused(tmp_path / "gone.npy", "no such file")
    (tmp_path / "a.csv").write_text("1,2")
    refused(tmp_path / "a.csv", r"neither .npy nor .npz")
    np.savez(tmp_path / "empty.npz")
    refused(tmp_path / "empty.npz", "truncated or damaged|no arrays")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"labels": np.arange(5)}, r"labels of shape \(5,\) for 6 images"),
        ({"labels": np.linspace(0, 1, 6)}, "whole numbers or text"),
        ({"factors": np.zeros(6)}, "factors of shape"),
        ({"factors": np.full((6, 2), np.nan)}, "factors of shape"),
        ({"factors": np.zeros((6, 2)), "factor_names": ["u"]}, "1 factor_names for 2 factors"),
    ],
)
def test_labels_and_factors_that_do_not_fit(tmp_path: Path, more: dict, message: str):
    np.savez(tmp_path / "x.npz", images=COLOUR, **more)
    refused(tmp_path / "x.npz", message)


@pytest.mark.parametrize(
    ("labels", "known", "names"),
    [
        (np.array([b"b", b"a", b"b"] * 2), [1, 0, 1] * 2, ("a", "b")),
        (np.eye(3)[[2, 0, 1] * 2], [2, 0, 1] * 2, ()),
        (np.array(["b", 1, None] * 2, object), None, ()),
        (np.ones((6, 2)), None, ()),
    ],
)
def test_labels_as_people_keep_them(tmp_path: Path, labels: np.ndarray, known: list[int] | None, names: tuple):
    np.savez(tmp_path / "x.npz", images=COLOUR, labels=labels)
    found = read_array_file(tmp_path / "x.npz")
    assert found.labels is None if known is None else found.labels.tolist() == known
    assert found.label_names == names


def test_labels_that_are_asked_for_are_not_left_aside(tmp_path: Path):
    np.savez(tmp_path / "x.npz", images=COLOUR, labels=np.array(["b"] * 6, object))
    with pytest.raises(DataError, match="pickled Python objects"):
        read_array_file(tmp_path / "x.npz", labels="labels")


def test_one_image_is_not_a_set_of_narrow_ones(tmp_path: Path):
    refused(saved(tmp_path, COLOUR[0]), r"shape \(8, 9, 3\) is one image, or 8 that are 3 pixels wide")
    assert read_array_file(saved(tmp_path, COLOUR[0]), "nhw").images.shape == (8, 9, 3, 1)


def test_rows_of_pixels_say_how_they_become_images(tmp_path: Path):
    refused(saved(tmp_path, np.zeros((5, 784), np.uint8)), r"rows of 784 may be reshape\(-1, 28, 28\)")
    refused(saved(tmp_path, np.zeros((5, 3072), np.uint8)), r"rows of 3072 may be reshape\(-1, 3, 32, 32\)")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (torch.zeros(6, 3, 8, 8), ["images"]),
        ((torch.zeros(6, 8, 8), torch.zeros(6)), ["images", "labels"]),
        ([torch.zeros(3, 8, 8)] * 6, ["images"]),
        ({"x_train": torch.zeros(6, 8, 8, dtype=torch.bfloat16), "epoch": 3}, ["x_train"]),
    ],
)
def test_tensors_that_torch_saved(content, names: list[str]):
    assert list(arrays_of(content)) == names


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1},
        (),
        "words",
        [torch.zeros(1), torch.zeros(2), torch.zeros(3)],
        [torch.zeros(1), torch.zeros(1, dtype=torch.uint8)],
    ],
)
def test_what_holds_no_images(content):
    with pytest.raises(ValueError, match="holds"):
        arrays_of(content)
