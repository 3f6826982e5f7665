"""A torch Dataset, or anything with items, as the images of a sweep."""

import importlib
import io
import re
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import get_class
from own_pictures import twelve_bits
from PIL import Image

from vae_sweep.data import load, own_set
from vae_sweep.data.array_file import known_labels
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.growing import Growing
from vae_sweep.data.hugging_face import files_of, opened
from vae_sweep.data.image_data import DataError
from vae_sweep.data.item_labels import gathered_labels, plain_label
from vae_sweep.data.pixels import to_bytes
from vae_sweep.data.sources import source_digest, sources_of
from vae_sweep.environment import install
from vae_sweep.runs.files import read_json, write_json
from vae_sweep.sweep.in_python import words
from vae_sweep.sweep.overrides import read_conf

CONF = Path(__file__).parents[1] / "conf"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
HOW = Decoding(8)
RNG = np.random.default_rng(1)


def gathered(items, how: Decoding):
    """(images, labels, notes)"""
    with TemporaryDirectory() as folder:
        with Growing(Path(folder) / "a.npy") as out:
            labels, notes, _ = own_set.gathered(items, how, out)
        return np.load(Path(folder) / "a.npy"), labels, notes


@dataclass
class Labelled:
    image: np.ndarray
    label: int


class Items:
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, number):  # as a torch Dataset: no IndexError at its end
        return self.make(PIXELS[number % len(PIXELS)], number)


@pytest.mark.parametrize(
    ("make", "labelled"),
    [
        (lambda image, k: Image.fromarray(image), False),
        (lambda image, k: (Image.fromarray(image), k), True),
        (lambda image, k: (torch.from_numpy(image).permute(2, 0, 1), torch.tensor(k)), True),
        (lambda image, k: {"image": image, "label": k}, True),
        (lambda image, k: {"pixel_values": image.transpose(2, 0, 1)}, False),
        (lambda image, k: (image, {"boxes": []}), False),
        (lambda image, k: {"picture": Image.fromarray(image), "cls": k, "text": "a"}, True),
        (lambda image, k: (_png(image), k), True),
        (lambda image, k: Labelled(image, k), True),
        (lambda image, k: (torch.from_numpy(image), np.array([k])), True),
    ],
)
def test_items_of_any_form(make, labelled: bool) -> None:
    images, labels = gathered(Items(make), HOW)[:2]
    assert np.array_equal(images, PIXELS)
    assert labels.tolist() == list(range(6)) if labelled else labels is None
    assert np.array_equal(gathered(iter([make(image, k) for k, image in enumerate(PIXELS)]), HOW)[0], PIXELS)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "it has no items"),
        ([{"a": 1}], "item 0 has a, none of image"),
        (["words"], "item 0 is str of shape ()"),
        ({"image": PIXELS, "label": range(6)}, "it is a dict of image, label, not of items"),
        ([PIXELS], "item 0 is ndarray of shape (6, 8, 8, 3), no image, such as a DataLoader makes"),
        ([b"words"], "item 0: not an image, or damaged at its start"),
        ([{"a": PIXELS[0], "b": PIXELS[0], "c": 1}], "item 0 has a, b, c, of which a, b are images"),
        ([Image.fromarray(PIXELS[0]), PIXELS[0]], "item 1 is ndarray: pictures and arrays in one set"),
        ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], "item 1 is 4x5x3, item 0 4x4x3"),
        ([PIXELS[0], PIXELS[0] / 255], "item 1 has float64 pixels, item 0 has uint8: numbers of several types"),
    ],
)
def test_items_that_are_no_images(items, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        gathered(items, HOW)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("own_pictures.Drawn", {}),
        pytest.param(
            "torchvision.datasets.FakeData", {"image_size": [3, 16, 16], "num_classes": 3}, marks=pytest.mark.slow
        ),
    ],
)
def test_by_its_name(name: str, settings: dict, tmp_path: Path) -> None:
    """In a child process, once; its pixels are those that the class gives here."""
    dataset = {"_target_": name, "size": 12, **settings}
    section = {"_target_": "vae_sweep.data.own", "dataset": dataset, "image_size": 16, "cache_dir": str(tmp_path)}
    data = load(section)
    here = get_class(name)(size=12, **settings)
    assert np.array_equal(data.images, [np.asarray(here[number][0]) for number in range(12)])
    assert data.labels.tolist() == [int(here[number][1]) for number in range(12)]
    written = sorted(tmp_path.glob("*"))
    assert load(section).fingerprint == data.fingerprint
    assert sorted(tmp_path.glob("*")) == written
    with pytest.raises(DataError, match=rf"data.dataset._target_={name}: TypeError: .*sizes"):
        load(section | {"dataset": dataset | {"sizes": 1}})


def test_its_pictures_are_decoded_as_files_are() -> None:
    """12 bits in pictures of 16: by their white."""
    images, _, notes = gathered(twelve_bits(3), Decoding(8, 1, white=4095))
    assert np.array_equal(images[..., 0], [to_bytes(np.asarray(picture)[:, 4:12], 4095) for picture in twelve_bits(3)])
    assert [note["kept"] for note in notes] == [0.5] * 3


@pytest.mark.slow
def test_what_is_done_to_its_pictures_is_said(tmp_path: Path, caplog) -> None:
    """Once and from the cache."""
    caplog.set_level("INFO", "vae_sweep")
    dataset = {"_target_": "own_pictures.twelve_bits", "count": 3}
    section = {"_target_": "vae_sweep.data.own", "dataset": dataset, "image_size": 8, "cache_dir": str(tmp_path)}
    told = "twelve_bits: data.fit=crop keeps 50% of the median picture"
    for _ in range(2):
        caplog.clear()
        data = load(section | {"white": 4095, "channels": 1})
        assert told in caplog.text
    expected = [to_bytes(np.asarray(picture)[:, 4:12], 4095) for picture in twelve_bits(3)]
    assert np.array_equal(data.images[..., 0], expected)


def test_it_is_read_again_when_a_folder_changes_at_any_depth_and_no_password_is_written(tmp_path: Path, capfd) -> None:
    root, cache = tmp_path / "set", tmp_path / "cache"
    (root / "cat").mkdir(parents=True)
    for number in range(2):
        np.save(root / "cat" / f"{number}.npy", PIXELS[number])
    dataset = {"_target_": "own_pictures.behind_a_door", "root": str(root), "token": "sesame-31415926"}
    section = {"_target_": "vae_sweep.data.own", "dataset": dataset, "cache_dir": str(cache)}
    assert np.array_equal(load(section).images, PIXELS[:2])
    np.save(root / "cat" / "2.npy", PIXELS[2])  # the time of `root` stays
    assert np.array_equal(load(section).images, PIXELS[:3])
    assert not [path for path in cache.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    assert not capfd.readouterr().err  # a child has nothing to say


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e5m2])
def test_tensors_of_any_float(dtype: torch.dtype) -> None:
    levels = torch.arange(48).reshape(3, 4, 4) % 3 / 2  # which every float has
    images = gathered([levels.to(dtype).requires_grad_(dtype != torch.float8_e5m2)], HOW)[0]
    assert images.dtype.kind == "f"
    assert np.array_equal(images[0], levels.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("labels", "known", "said"),
    [
        ([None, None], None, ""),
        ([torch.tensor(2), np.array([1])], [2, 1], ""),
        ([2.0, np.float32(1)], [2, 1], ""),
        ([np.bool_(True), False], [1, 0], ""),
        (["b", "a"], [1, 0], ""),
        ([b"b", b"a"], [1, 0], ""),
        ([np.eye(3)[2], np.eye(3)[0]], [2, 0], ""),
        ([torch.eye(3)[2], torch.eye(3, dtype=torch.bfloat16)[0]], [2, 0], ""),
        ([[0, 1], [1, 0]], [1, 0], ""),
        ([[1, 1], [1, 0]], None, "several to an image, and left aside"),
        ([0.5, 1.0], None, "labels that are no whole numbers name no classes, and are left aside"),
        ([float("nan"), 1.0], None, "labels that are no whole numbers name no classes, and are left aside"),
        ([1, None], None, "1 of 2 items have no label, and the others' are left aside"),
        ([{"boxes": []}, 1], None, "labels that are dict name no classes, and are left aside"),
        ([np.zeros((4, 4)), 1], None, "labels that are ndarray name no classes, and are left aside"),
        ([[[1], [2, 3]], 1], None, "labels that are list name no classes, and are left aside"),
        ([[1, 2], [1, 2, 3]], None, "labels of several lengths name no classes, and are left aside"),
    ],
)
def test_labels_are_known_or_what_they_are_is_said(labels: list, known: list[int] | None, said: str, caplog) -> None:
    caplog.set_level("INFO", "vae_sweep")
    array, told = gathered_labels([plain_label(label) for label in labels])
    found, _ = known_labels(array, len(labels), Path("mine"))
    assert found is None if known is None else found.tolist() == known
    assert said in told + caplog.text
    assert bool(told + caplog.text) == bool(said)


def test_a_set_is_held_one_item_at_a_time(tmp_path: Path) -> None:
    def items():
        for number in range(64):
            yield np.full((64, 64, 3), number, np.uint8), number

    tracemalloc.start()
    with Growing(tmp_path / "a.npy") as out:
        own_set.gathered(items(), HOW, out)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * 64 * 64 * 3
    assert np.load(tmp_path / "a.npy").shape == (64, 64, 64, 3)
    assert np.array_equal(np.load(tmp_path / "a.npy", "r")[:, 5, 6, 1], range(64))


@pytest.mark.parametrize("place", ["mine_a.py", "mine_b/__init__.py", "mine_c/inner.py", "mine_d/inner/__init__.py"])
def test_the_source_of_a_class_is_part_of_what_it_is_known_by(place: str, tmp_path: Path, monkeypatch) -> None:
    """Found without being run."""
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("raise AssertionError('imported')")
    name = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if place == "mine_c/inner.py":
        (tmp_path / "mine_c" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert sources_of(f"{name}.MyDataset.of") == [file]
    before = source_digest(f"{name}.MyDataset")
    file.write_text("raise AssertionError('IMPORTED')")
    assert source_digest(f"{name}.MyDataset") != before
    (file.parent / "other.py").touch()
    assert len(sources_of(f"{name}.MyDataset")) == 1 + (file.name == "__init__.py")


@pytest.mark.parametrize("name", ["math.sqrt", "no_such_module.Set", "Set"])
def test_what_has_no_source(name: str) -> None:
    assert source_digest(name) == ""


def test_a_class_is_read_again_when_its_source_changes(tmp_path: Path, monkeypatch) -> None:
    """Its own, and that of one among its arguments; by a stand-in for the child, which counts."""
    asked = []

    def failure(module: str, task: dict) -> None:
        asked.append(task)
        np.save(Path(task["folder"]) / "images.npy", PIXELS)
        write_json(Path(task["folder"]) / "about.json", {"in_bytes": True, "remarks": []})

    monkeypatch.setattr("vae_sweep.data.children.failure", failure)
    monkeypatch.syspath_prepend(tmp_path)
    section = {
        "_target_": "vae_sweep.data.own", "cache_dir": str(tmp_path / "cache"),
        "dataset": {"_target_": "mine_e.Set", "transforms": [{"_target_": "mine_f.Turn"}]},
    }  # fmt: skip
    for round in range(2):
        for name in ("mine_e", "mine_f"):
            (tmp_path / f"{name}.py").write_text(f"version = {round}")
            load(section)
            load(section)
    assert len(asked) == 4


def test_from_python() -> None:
    assert words({"data": {"_target_": "my.Set", "root": "a b"}}, read_conf(CONF)) == {
        "data": ["own"], "data.dataset._target_": ["my.Set"], "+data.dataset.root": ["'a b'"],
    }  # fmt: skip


@pytest.fixture
def hugging(tmp_path: Path, monkeypatch):
    """The extra `hf`, offline, with a cache of its own; and a set of the six pictures with labels."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.Value("int64")})
    columns = {"picture": [Image.fromarray(image) for image in PIXELS], "label": list(range(6))}
    return datasets, datasets.Dataset.from_dict(columns, features=features)


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def _saved(found, place: Path) -> None:
    found.save_to_disk(place)


def _saved_splits(found, place: Path) -> None:
    sys.modules["datasets"].DatasetDict({"train": found, "test": found.select([5])}).save_to_disk(place)


def _parquet(found, place: Path) -> None:
    found.to_parquet(place / "train-00000-of-00001.parquet")


def _foreign(column) -> Callable[..., None]:
    """Parquet that another program wrote: nothing says which column holds pictures."""

    def write(found, place: Path) -> None:
        parquet = importlib.import_module("pyarrow.parquet")
        table = {"png": [column(image) for image in PIXELS], "label": list(range(6))}
        parquet.write_table(importlib.import_module("pyarrow").table(table), place / "a.parquet")

    return write


def _arrow(found, place: Path) -> None:
    found.save_to_disk(place)
    for described in place.glob("*.json"):
        described.unlink()


def _webdataset(found, place: Path) -> None:
    with tarfile.open(place / "train-000.tar", "w") as tar:
        for number, image in enumerate(PIXELS):
            for ending, content in (("png", _png(image)), ("cls", str(number).encode())):
                entry = tarfile.TarInfo(f"{number}.{ending}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def _imagefolder(found, place: Path) -> None:
    for number, image in enumerate(PIXELS):
        path = place / "train" / str(number) / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(_png(image))


_KINDS = {
    "saved": _saved, "saved splits": _saved_splits, "parquet": _parquet, "bytes": _foreign(_png),
    "bytes and path": _foreign(lambda image: {"bytes": _png(image), "path": None}), "arrow": _arrow,
    "webdataset": _webdataset, "imagefolder": _imagefolder,
}  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
def test_hugging_face_as_it_lies_on_disk(kind: str, hugging, tmp_path: Path) -> None:
    (place := tmp_path / "set").mkdir()
    _KINDS[kind](hugging[1], place)
    images, labels, _ = gathered(opened(str(place)), HOW)
    assert np.array_equal(images, PIXELS)
    assert labels.tolist() == list(range(6))
    images, labels, _ = gathered(opened(str(place), "train[50%:]"), HOW)
    assert np.array_equal(images, PIXELS[3:])
    if kind == "saved splits":
        images, labels, _ = gathered(opened(str(place), "test+train[:2]"), HOW)
        assert np.array_equal(images, PIXELS[[5, 0, 1]])
    if kind != "saved":  # which has no splits
        with pytest.raises(DataError, match=r"^data.split=val: "):
            opened(str(place), "val")


@pytest.mark.parametrize("cache", ["datasets", "hub"])
def test_hugging_face_by_its_name_from_either_cache(cache: str, hugging, tmp_path: Path) -> None:
    datasets, found = hugging
    if cache == "datasets":
        found.to_parquet(tmp_path / "train.parquet")
        datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"))
        (made,) = {path.parent for path in (tmp_path / "cache").rglob("dataset_info.json")}
        known = tmp_path / "cache" / "me___pictures" / "default" / "0.0.0" / "1"
        made.rename(known.parent.mkdir(parents=True) or known)
        about = read_json(known / "dataset_info.json")
        write_json(known / "dataset_info.json", about | {"config_name": "default", "dataset_name": "pictures"})
        next(known.glob("*.arrow")).rename(known / "pictures-train.arrow")
    else:
        kept = tmp_path / "hub" / "datasets--me--pictures"
        for folder in ("refs", "snapshots/1/data"):
            (kept / folder).mkdir(parents=True)
        (kept / "refs" / "main").write_text("1")
        found.to_parquet(kept / "snapshots/1/data/train-0.parquet")
    assert np.array_equal(gathered(opened("me/pictures"), HOW)[0], PIXELS)
    with pytest.raises(DataError, match=r"^data.split=test: "):
        opened("me/pictures", "test")


def test_hugging_face_that_is_not_there(hugging, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.path=no/such: no data set on disk or in the cache .*data.download=true"):
        opened("no/such")
    with pytest.raises(DataError, match=r"data.path=.*: no data set in it \(EmptyDatasetError"):
        opened(str(tmp_path))
    (tmp_path / "a.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"data.path=.*a.parquet: no data set in it \(ArrowInvalid"):
        opened(str(tmp_path / "a.parquet"))


@pytest.mark.slow
def test_hugging_face_is_read_by_a_process_of_its_own(hugging, tmp_path: Path, caplog) -> None:
    """What it does to the pictures is said, by the name of the set."""
    caplog.set_level("INFO", "vae_sweep")
    datasets, _ = hugging
    deep = [Image.fromarray(RNG.integers(0, 4096, (8, 8), np.uint16)) for _ in range(4)]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": deep}, features=features).save_to_disk(tmp_path / "deep")
    section = {"_target_": "vae_sweep.data.hf", "path": str(tmp_path / "deep"), "image_size": 8,
               "channels": 1, "cache_dir": str(tmp_path / "kept")}  # fmt: skip
    load(section)
    assert "deep: pixels use 0..4" in caplog.text
    with pytest.raises(DataError, match=r"^data.path=no/such: no data set"):
        load(section | {"path": "no/such"})
    data = load(section | {"white": 4095})
    assert np.array_equal(data.images[..., 0], [to_bytes(np.asarray(picture), 4095) for picture in deep])


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        ("train-0 train-1 test-0", "train", {"train": "train-0 train-1"}),
        ("train-0 test-0", "test[:50%]", {"test": "test-0"}),
        ("train-0 val-0 test-0", "train[:9]+val", {"train": "train-0", "val": "val-0"}),
        ("default/train/0000 default/test/0000", "test", {"test": "default/test/0000"}),
        ("set-train-00000-of-00001 set-test", "train", {"train": "set-train-00000-of-00001"}),  # as the cache has them
        ("train_sft-0 train_gen-0", "train_sft", {"train_sft": "train_sft-0"}),
        ("Training Testset", "train", {"train": "Training"}),
        ("0000 0001", "train", {"train": "0000 0001"}),
        ("trained tests latest", "train", {"train": "trained tests latest"}),
    ],
)
def test_files_of_a_split(names: str, split: str, chosen: dict[str, str]) -> None:
    place = Path("/set")

    def files(names: str) -> list[Path]:
        return [place / f"{name}.parquet" for name in names.split()]

    assert files_of(files(names), place, split) == {
        word: list(map(str, files(found))) for word, found in chosen.items()
    }


@pytest.mark.parametrize(
    ("names", "split", "there"),
    [("train-0", "test", "train"), ("train-0 val-0", "train+valid", "train, val"), ("0000 0001", "test[:9]", "train")],
)
def test_a_split_that_no_file_has(names: str, split: str, there: str) -> None:
    place = Path("/set")
    with pytest.raises(DataError, match=rf"^data.split={re.escape(split)}: /set has no \w+, its files are {there}$"):
        files_of([place / f"{name}.parquet" for name in names.split()], place, split)


def test_a_folder_of_files_is_opened_by_the_split(tmp_path: Path, monkeypatch) -> None:
    """With a stand-in for the extra `hf`, which says what it is asked."""
    asked = SimpleNamespace(features={})
    fake = SimpleNamespace(load_dataset=lambda *kind, **how: asked.__dict__.update(kind=kind, **how) or asked)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    for name in ("train-0", "test-0"):
        (tmp_path / f"{name}.parquet").touch()
    opened(str(tmp_path), "test[:100]")
    assert (asked.kind, asked.split) == (("parquet",), "test[:100]")
    assert asked.data_files == {"test": [str(tmp_path / "test-0.parquet")]}
    with pytest.raises(DataError, match=rf"^data.split=val: {tmp_path} has no val, its files are test, train$"):
        opened(str(tmp_path), "val")


def test_a_file_that_is_named_is_any_split() -> None:
    assert files_of([Path("/test.parquet")], Path("/test.parquet"), "train") == {"train": ["/test.parquet"]}


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    with pytest.raises(DataError, match=re.escape(install("hf"))):
        opened(str(tmp_path))
