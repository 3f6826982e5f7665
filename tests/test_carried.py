"""Images that come with a sweep's folder are the images."""

from dataclasses import fields, replace

import numpy as np
import pytest

from vae_sweep.data import carried, load
from vae_sweep.data.image_data import ImageData


def same(a: ImageData, b: ImageData) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) if field.name in ARRAYS
               else getattr(a, field.name) == getattr(b, field.name) for field in fields(ImageData))  # fmt: skip


ARRAYS = ("images", "train", "val", "labels", "factors")
PLAIN = ImageData(np.zeros((4, 2, 2, 1), np.float32), np.array([0, 2]), np.array([3]), "f", "plain")


def brought(data, sweep, cache, monkeypatch):
    """As through a store, a few images at a time."""
    monkeypatch.setattr(carried, "_PART_BYTES", 5 * data.images[:1].nbytes)
    sent = list(carried.parts(data.images))
    assert max(map(len, sent)) <= 5
    carried.carry(sweep, carried.without_images(data), len(data.images), lambda: sent, cache)
    return carried.carried(sweep, data.fingerprint)


@pytest.mark.parametrize("with_all", [True, False])
def test_nothing_is_lost_on_the_way(tmp_path, monkeypatch, with_all):
    data = PLAIN  # float, one image in neither split, no labels
    if with_all:
        data = load({"_target_": "vae_sweep.data.paintings", "image_size": 32, "n_images": 23,
                     "cache_dir": str(tmp_path / "own")})  # fmt: skip
        data = replace(data, names=[f"ü{n}.png" for n in range(23)])
    found = brought(data, tmp_path / "sweep", tmp_path / "cache", monkeypatch)
    assert same(found, data)
    assert isinstance(found.images, np.memmap)  # whose pages all workers of a machine share
    assert found.images.dtype == data.images.dtype


def test_they_are_fetched_once_per_machine(tmp_path, monkeypatch):
    brought(PLAIN, tmp_path / "first", tmp_path / "cache", monkeypatch)

    def never():
        raise AssertionError

    carried.carry(tmp_path / "second", carried.without_images(PLAIN), len(PLAIN.images), never, tmp_path / "cache")
    assert same(carried.carried(tmp_path / "second", "f"), PLAIN)


def test_a_folder_without_images_of_its_own(tmp_path):
    assert carried.carried(tmp_path, "f") is None
    assert carried.carried(tmp_path, None) is None
