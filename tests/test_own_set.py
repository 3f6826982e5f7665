"""A torch Dataset, or anything with items, as the images of a sweep."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import get_class
from PIL import Image

from vae_sweep.data import load
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.hugging_face import files_of, opened
from vae_sweep.data.image_data import DataError
from vae_sweep.data.own_set import gathered
from vae_sweep.sweep.in_python import words
from vae_sweep.sweep.overrides import read_conf

CONF = Path(__file__).parents[1] / "conf"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
HOW = Decoding(8)


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
    ],
)
def test_items_of_any_form(make, labelled: bool) -> None:
    images, labels = gathered(Items(make), HOW)
    assert np.array_equal(images, PIXELS)
    assert labels.tolist() == list(range(6)) if labelled else labels is None
    assert np.array_equal(gathered(iter([make(image, k) for k, image in enumerate(PIXELS)]), HOW)[0], PIXELS)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "it has no items"),
        ([{"a": 1}], "item 0 has a, none of image"),
        (["words"], "item 0 is str of shape ()"),
        ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], "item 1 is 4x5x3, item 0 4x4x3"),
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


def test_from_python() -> None:
    assert words({"data": {"_target_": "my.Set", "root": "a b"}}, read_conf(CONF)) == {
        "data": ["own"], "data.dataset._target_": ["my.Set"], "+data.dataset.root": ["'a b'"],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["saved", "parquet", "imagefolder"])
def test_hugging_face(kind: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")  # the extra `hf`
    pictures = [Image.fromarray(image) for image in PIXELS]
    found = datasets.Dataset.from_dict({"image": pictures, "label": list(range(6))}).cast_column(
        "image", datasets.Image()
    )
    if kind == "saved":
        datasets.DatasetDict({"train": found}).save_to_disk(tmp_path / "set")
    elif kind == "parquet":
        (tmp_path / "set").mkdir()
        found.to_parquet(tmp_path / "set" / "train-00000.parquet")
    else:
        for number, picture in enumerate(pictures):
            path = tmp_path / "set" / "train" / str(number) / "a.png"
            path.parent.mkdir(parents=True)
            picture.save(path)
    section = {"_target_": "vae_sweep.data.hf", "path": str(tmp_path / "set"), "image_size": 8,
               "cache_dir": str(tmp_path / "cache")}  # fmt: skip
    data = load(section)
    assert np.array_equal(data.images, PIXELS)
    assert data.labels.tolist() == list(range(6))
    if kind == "parquet":
        assert len(load(section | {"split": "train[:4]"}).images) == 4
        with pytest.raises(DataError, match=r"data.split=test: .* has no test, its files are train"):
            load(section | {"split": "test"})
    if kind == "saved":
        with pytest.raises(DataError, match=r"data.split=test: .* has train"):
            load(section | {"split": "test"})
        with pytest.raises(
            DataError, match=r"data.path=no/such: no data set on disk or in the cache .*data.download=true"
        ):
            load(section | {"path": "no/such"})


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
    with pytest.raises(DataError, match=r"pip install 'vae-sweep\[hf\]'"):
        opened(str(tmp_path))
