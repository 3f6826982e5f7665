"""The sets as `conf/data` names them: what they hold, what they refuse, what their fingerprint knows."""

import logging
import struct
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from vae_sweep.data import DataError, ImageData, children, load, torchvision_sets
from vae_sweep.data.painters import FACTOR_NAMES, FAMILY_NAMES

CONF = Path(__file__).parents[1] / "conf" / "data"
TINY = {"image_size": 32, "n_images": 40}


@pytest.fixture
def load_set(tmp_path: Path):
    """load_set(name, **settings): the set of conf/data/<name>.yaml with these settings."""

    def loaded(name: str, **settings: Any) -> ImageData:
        config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        return load(config | {"cache_dir": str(tmp_path / "cache")} | settings)

    return loaded


def is_sound(data: ImageData) -> None:
    assert data.images.ndim == 4
    assert data.train.dtype == data.val.dtype == np.int64
    assert sorted([*data.train, *data.val]) == list(range(len(data.images)))
    assert (np.diff(data.train) > 0).all()
    assert (np.diff(data.val) > 0).all()
    int(data.fingerprint, 16)


# Paintings -----------------------------------------------------------------------------------------------------------


def test_paintings(load_set):
    data = load_set("paintings", **TINY, val_fraction=0.25)
    is_sound(data)
    assert data.images.shape == (40, 32, 32, 3)
    assert data.shape == (3, 32, 32)
    assert len(data.val) == 10
    assert data.factors.shape == (40, len(FACTOR_NAMES))
    assert data.factor_names == FACTOR_NAMES
    assert data.label_names == FAMILY_NAMES
    assert np.array_equal(data.labels, data.factors[:, 0])


def test_fingerprints_know_what_matters(load_set, tmp_path: Path):
    same = [load_set("paintings", **TINY, cache_dir=str(tmp_path / name)).fingerprint for name in "ab"]
    others = [
        load_set("paintings", **TINY | changed).fingerprint
        for changed in ({"seed": 1}, {"n_images": 41}, {"val_fraction": 0.3}, {"max_images": 39}, {"image_size": 33})
    ]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 6


def test_max_images_is_a_fixed_choice(load_set):
    few, more = (load_set("paintings", **TINY, max_images=count) for count in (10, 20))
    is_sound(few)
    assert {image.tobytes() for image in few.images} < {image.tobytes() for image in more.images}


# Folders -------------------------------------------------------------------------------------------------------------


def paint(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (16, 20, 3), np.uint8)
        Image.fromarray(noise).save(root / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my pictures"
    paint(root, *(f"{artist}/{number}.png" for artist in ("Klee", "Münter") for number in range(12)))
    return root


def test_image_folder(load_set, root: Path):
    data = load_set("image_folder", root=str(root), image_size=8)
    is_sound(data)
    assert data.images.shape == (24, 8, 8, 3)
    assert data.name == "my pictures"
    assert data.label_names == ("Klee", "Münter")
    assert np.bincount(data.labels).tolist() == [12, 12]
    assert data.factors is None


def test_a_relative_root_is_below_the_current_directory(load_set, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root.parent)
    relative, absolute = load_set("image_folder", root="my pictures"), load_set("image_folder", root=str(root))
    assert relative.fingerprint == absolute.fingerprint


def test_labels_follow_their_images(load_set, root: Path):
    by_content = {}
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            # 16 px of height are kept, the middle 16 of 20 columns
            by_content[np.asarray(image)[:, 2:18].tobytes()] = path.parent.name
    data = load_set("image_folder", root=str(root), image_size=16)
    assert [data.label_names[label] for label in data.labels] == [by_content[image.tobytes()] for image in data.images]


def test_a_flat_folder_has_no_labels_and_a_mixed_one_a_class_for_the_rest(load_set, root: Path):
    assert load_set("image_folder", root=str(root / "Klee")).labels is None
    paint(root, "beside.png")
    assert load_set("image_folder", root=str(root)).label_names == (".", "Klee", "Münter")


def test_place_names_and_order_do_not_matter(load_set, root: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    for number, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        copy = elsewhere / path.parent.name / f"{number}.PNG"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    here, there = load_set("image_folder", root=str(root)), load_set("image_folder", root=str(elsewhere))
    assert here.fingerprint == there.fingerprint
    assert np.array_equal(here.images, there.images)
    assert np.array_equal(here.val, there.val)


def test_the_split_is_the_same_at_every_size(load_set, root: Path):
    small, large = (load_set("image_folder", root=str(root), image_size=size, fit="squeeze") for size in (8, 16))
    assert np.array_equal(small.val, large.val)
    assert small.fingerprint != large.fingerprint


def test_exact_duplicates_never_straddle(load_set, root: Path):
    """Also when they are files of different bytes with the same pixels."""
    for number in range(12):
        path = root / "Klee" / f"{number}.png"
        with Image.open(path) as image:
            image.save(root / "Münter" / f"copy {number}.bmp")
        (root / "Münter" / f"again {number}.png").write_bytes(path.read_bytes())
    data = load_set("image_folder", root=str(root), image_size=16, val_fraction=0.4)
    assert len(data.images) == 48
    train, val = ({image.tobytes() for image in data.images[rows]} for rows in (data.train, data.val))
    assert not train & val
    assert len(train | val) == 24


def test_unreadable_files_are_an_error_until_they_are_allowed(load_set, root: Path, caplog: pytest.LogCaptureFixture):
    (root / "Klee/torn.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "Klee/empty.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"2 unreadable .*Klee/empty.png \(empty file\); Klee/torn.jpg .*max_unreadable=2"
    ):
        load_set("image_folder", root=str(root))
    with caplog.at_level(logging.WARNING, "vae_sweep"):
        data = load_set("image_folder", root=str(root), max_unreadable=2)
    assert len(data.images) == 24
    assert [record.message for record in caplog.records if "Klee/torn.jpg" in record.message]


def test_only_max_images_are_decoded(load_set, root: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "vae_sweep"):
        data = load_set("image_folder", root=str(root), max_images=5)
    is_sound(data)
    assert len(data.images) == 5
    assert any("decoding 5 images" in record.message for record in caplog.records)


# Arrays --------------------------------------------------------------------------------------------------------------


def test_arrays_keep_their_order_and_know_their_factors(load_set, tmp_path: Path):
    images = np.random.default_rng(0).random((20, 12, 12), np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20), factors=np.eye(20)[:, :3])
    data = load_set("arrays", path=str(tmp_path / "a.npz"))
    is_sound(data)
    assert np.array_equal(data.images[..., 0], images)
    assert data.labels.tolist() == list(range(20))
    assert data.factor_names == ("factor 0", "factor 1", "factor 2")
    few = load_set("arrays", path=str(tmp_path / "a.npz"), max_images=7)
    assert np.array_equal(few.images[..., 0], images[few.labels])


@pytest.mark.slow
def test_a_file_of_torch_is_as_its_arrays(load_set, tmp_path: Path):
    """By a child process; nothing in it is run, and messages name the file and not the cache."""
    import torch

    images = torch.rand(6, 3, 8, 8)
    torch.save((images, torch.arange(6)), tmp_path / "x.pt")
    data = load_set("arrays", path=str(tmp_path / "x.pt"))
    assert np.array_equal(data.images, images.permute(0, 2, 3, 1))
    assert data.labels.tolist() == list(range(6))
    torch.save({"a": images, "b": images}, tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"x\.pt has several arrays; data.images=NAME says"):
        load_set("arrays", path=str(tmp_path / "x.pt"))
    torch.save(Path, tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"x\.pt holds more than tensors"):
        load_set("arrays", path=str(tmp_path / "x.pt"))


def test_arrays_can_be_resized_and_are_split_alike(load_set, tmp_path: Path):
    flat = np.random.default_rng(0).integers(0, 256, (10, 1, 1, 3), np.uint8)
    np.save(tmp_path / "a.npy", np.broadcast_to(flat, (10, 9, 9, 3)))
    as_they_are, resized = (load_set("arrays", path=str(tmp_path / "a.npy"), image_size=size) for size in (None, 16))
    assert np.array_equal(resized.images, np.broadcast_to(flat, (10, 16, 16, 3)))
    assert np.array_equal(as_they_are.val, resized.val)
    np.save(tmp_path / "f.npy", np.linspace(0, 1, 10, dtype=np.float32)[:, None, None] * np.ones((1, 9, 9), np.float32))
    floats = load_set("arrays", path=str(tmp_path / "f.npy"), image_size=16)
    assert np.allclose(floats.images[:, 3, 5, 0], np.linspace(0, 1, 10), atol=1e-6)


def test_a_mapped_array_is_read_once_for_its_digests(load_set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    np.save(tmp_path / "a.npy", images)
    in_memory = load_set("arrays", path=str(tmp_path / "a.npy"))
    monkeypatch.setattr("vae_sweep.data.array_file._MAP_ABOVE", 100)
    mapped = load_set("arrays", path=str(tmp_path / "a.npy"))
    monkeypatch.setattr("vae_sweep.data.from_arrays.digests", None)
    again = load_set("arrays", path=str(tmp_path / "a.npy"))
    assert isinstance(again.images, np.memmap)
    assert in_memory.fingerprint == mapped.fingerprint == again.fingerprint


def test_fewer_than_two_distinct_images_cannot_be_split(load_set, tmp_path: Path):
    np.save(tmp_path / "same.npy", np.full((9, 8, 8), 7, np.uint8))
    with pytest.raises(DataError, match=r"9 image\(s\), 1 distinct"):
        load_set("arrays", path=str(tmp_path / "same.npy"))


# Standard sets -------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digits(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """(root, images, labels): 30 + 10 random digits in MNIST's own format."""
    raw = tmp_path / "sets" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 28, 28), np.uint8), rng.integers(0, 10, 40, np.uint8)
    for name, rows in (("train", slice(30)), ("t10k", slice(30, None))):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images[rows]))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels[rows]))
    return tmp_path / "sets", images, labels


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading without a second start of torch."""
    monkeypatch.setattr(torchvision_sets, "_in_child", torchvision_sets.perform)


@pytest.mark.slow  # a process that imports torchvision
def test_mnist_is_read_by_a_child(load_set, digits):
    root, images, labels = digits
    data = load_set("mnist", root=str(root))
    is_sound(data)
    assert np.array_equal(data.images[..., 0], images)
    assert np.array_equal(data.labels, labels)
    assert data.val.tolist() == list(range(30, 40))


@pytest.mark.usefixtures("in_this_process")
def test_mnist_sizes(load_set, digits):
    root, images, _ = digits
    padded = load_set("mnist", root=str(root), image_size=32).images[..., 0]
    assert np.array_equal(padded[:, 2:30, 2:30], images)
    assert padded.sum() == images.sum(dtype=np.int64)
    assert load_set("mnist", root=str(root), image_size=14).images.shape == (40, 14, 14, 1)


@pytest.mark.usefixtures("in_this_process")
def test_binarisation(load_set, digits):
    root, images, _ = digits
    static, again = (load_set("mnist", root=str(root), binarize="static", image_size=size) for size in (28, 32))
    assert set(np.unique(static.images)) == {0, 255}
    assert static.binarize == "static"
    assert np.array_equal(again.images[:, 2:30, 2:30], static.images)
    # A fair draw: among pixels of value x a share of x/255 is white.
    for low in range(0, 256, 32):
        these = static.images[..., 0][(images >= low) & (images < low + 32)] / 255
        assert these.mean() == pytest.approx((low + 15.5) / 255, abs=4 * 0.5 / np.sqrt(len(these)))
    dynamic = load_set("mnist", root=str(root), binarize="dynamic")
    assert dynamic.binarize == "dynamic"
    assert np.array_equal(dynamic.images[..., 0], images)
    assert len({static.fingerprint, dynamic.fingerprint, load_set("mnist", root=str(root)).fingerprint}) == 3


@pytest.mark.usefixtures("in_this_process")
def test_a_share_of_mnist(load_set, digits):
    data = load_set("mnist", root=str(digits[0]), max_images=8)
    is_sound(data)
    assert (len(data.train), len(data.val)) == (6, 2)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "celeba"])
def test_offline_without_files_says_what_to_do(load_set, tmp_path: Path, name: str):
    with pytest.raises(DataError, match=f"is not in {tmp_path}/sets .*data.download=true"):
        load_set(name, root=str(tmp_path / "sets"))


def test_a_download_that_fails_says_why(load_set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torchvision_sets, "_in_child", lambda task: "<urlopen error Name or service not known>")
    with pytest.raises(DataError, match=r"fetching it failed: <urlopen error"):
        load_set("mnist", root=str(tmp_path), download=True)


def test_damaged_files_of_a_standard_set(load_set, digits, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torchvision_sets, "_in_child", lambda task: "file too short")
    with pytest.raises(DataError, match=f"MNIST in {digits[0]} cannot be read: file too short"):
        load_set("mnist", root=str(digits[0]))


def test_a_childs_failure_is_one_line():
    assert torchvision_sets._in_child({"do": "read", "set": "no such set"}) == "'no such set'"


def test_a_reason_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Whatever a stranger's code has printed before it."""
    monkeypatch.setattr("sys.stdin", StringIO("0"))
    print("reading: 10%", end="")
    with pytest.raises(SystemExit, match="1"):
        children.serve(lambda task: 1 / task)
    assert capsys.readouterr().out.splitlines()[-1] == "division by zero"


def test_what_a_child_printed_before_it_was_killed_is_no_reason(monkeypatch: pytest.MonkeyPatch):
    code = "import os; print('reading', flush=True); os.kill(os.getpid(), 9)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    monkeypatch.setattr(children, "start", lambda module: subprocess.Popen([sys.executable, "-S", "-c", code], **pipes))
    assert children.failure("any", {}) == "ended its reader with code -9"


def test_celeba(load_set, tmp_path: Path):
    folder = tmp_path / "celeba"
    names = [f"{number:06d}.jpg" for number in range(1, 21)]
    paint(folder / "img_align_celeba", *names)
    parts = [0] * 12 + [1] * 5 + [2] * 3
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True)))
    rows = "".join(f"{name}  1 -1 {1 if k % 2 else -1}\n" for k, name in enumerate(names))
    (folder / "list_attr_celeba.txt").write_text(f"20\nSmiling Bald Young \n{rows}")
    data = load_set("celeba", root=str(tmp_path), image_size=16)
    is_sound(data)
    assert (len(data.train), len(data.val)) == (12, 5)
    assert data.factor_names == ("Smiling", "Bald", "Young")
    assert data.factors.mean(0).tolist() == [1, 0, 8 / 17]
    with Image.open(folder / "img_align_celeba" / names[12]) as image:  # the first validation image, not young
        first = np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS, (2, 0, 18, 16)), int)
    row = np.abs(data.images.astype(int) - first).mean((1, 2, 3)).argmin()
    assert row in data.val
    assert data.factors[row, 2] == 0


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("paintings", {"image_size": 16}, "data.image_size=16: expected a whole number >= 32 and <= 256"),
        ("paintings", {"image_size": "big"}, "data.image_size=big"),
        ("paintings", {"n_images": 1}, "data.n_images=1"),
        ("paintings", {"val_fraction": 0}, "data.val_fraction=0: expected"),
        ("paintings", {"val_fraction": 1.5}, "data.val_fraction=1.5: expected"),
        ("paintings", {"val_fraction": float("nan")}, "data.val_fraction=nan: expected"),
        ("paintings", {"seed": -1}, "data.seed=-1"),
        ("image_folder", {}, "data.root is not set"),
        ("image_folder", {"root": "no/such"}, "data.root: no such folder: .*/no/such"),
        ("image_folder", {"root": __file__}, "data.root: not a folder: .*test_data.py"),
        ("image_folder", {"root": ".", "fit": "stretch"}, "data.fit=stretch: expected one of crop, pad, squeeze"),
        ("image_folder", {"root": ".", "channels": 0}, "data.channels=0"),
        ("image_folder", {"root": ".", "image_size": 0}, "data.image_size=0"),
        ("image_folder", {"root": ".", "max_unreadable": -1}, "data.max_unreadable=-1"),
        ("image_folder", {"root": ".", "workers": 0}, "data.workers=0"),
        ("arrays", {}, "data.path is not set"),
        ("arrays", {"path": "x.npy", "layout": "nhcw"}, "data.layout=nhcw: .*did you mean"),
        ("arrays", {"path": "x.npy", "image_size": 2}, "data.image_size=2: expected a whole number .*, or null"),
        ("arrays", {"path": "x.npy", "bands": [-1]}, r"data.bands=\[-1\]: expected a list of channels"),
        ("arrays", {"path": "x.npy", "range": [1, 0]}, r"data.range=\[1, 0\]: expected \[black, white\]"),
        ("own", {"dataset": {"_target_": "my.Set"}, "channels": 0}, "data.channels=0: expected a whole number >= 1"),
        ("hf", {"path": "x", "channels": 2}, "data.channels=2: expected one of 1, 3, 4"),
        ("hf", {"path": "x", "split": ""}, "data.split=: expected a name"),
        ("mnist", {"binarize": "yes"}, "data.binarize=yes"),
        ("mnist", {"download": "maybe"}, "data.download=maybe"),
        ("cifar10", {"max_images": 1}, "data.max_images=1"),
        ("mnist", {"colour": 1}, r"mnist\(\) got an unexpected keyword argument 'colour'"),
        (
            "paintings",
            {"_target_": "vae_sweep.data.sculptures"},
            "data._target_=vae_sweep.data.sculptures: .*no attribute",
        ),
        ("paintings", {"_target_": "no_such_module.images"}, "data._target_=.*No module named"),
    ],
)
def test_refused_in_one_line(load_set, name: str, settings: dict, message: str):
    with pytest.raises(DataError, match=message) as caught:
        load_set(name, **settings)
    assert "\n" not in str(caught.value)


def test_somebody_elses_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "their_data.py").write_text(
        "import numpy as np\nfrom vae_sweep.data import ImageData\n"
        "def noise(n):\n    images = np.zeros((n, 8, 8, 1), np.uint8)\n"
        "    return ImageData(images, np.arange(n - 1), np.array([n - 1]), 'ab', 'noise')\n"
        "def nothing():\n    return 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load({"_target_": "their_data.noise", "n": 5, "batch_size": 3}).name == "noise"
    with pytest.raises(DataError, match="returned int, not ImageData"):
        load({"_target_": "their_data.nothing"})


def test_torch_is_not_loaded(tmp_path: Path):
    code = (
        "import sys; from vae_sweep.data import load\n"
        "load({'_target_': 'vae_sweep.data.paintings', 'n_images': 4, 'image_size': 32, 'cache_dir': sys.argv[1]})\n"
        "print([name for name in ('torch', 'torchvision', 'matplotlib', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
