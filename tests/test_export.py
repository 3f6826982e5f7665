"""Codes out of the tool: each beside the file, the label and the split that it belongs to."""

import csv
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vae_sweep
from vae_sweep import evaluate as door
from vae_sweep.data import image_folder
from vae_sweep.evaluation.export import all_codes, write_codes
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.networks import conv
from vae_sweep.models.objective import Objective
from vae_sweep.training.train import train_pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 files of random colours in two folders."""
    for index in range(40):
        path = tmp_path / "pictures" / ("warm" if index % 2 else "cold") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (2, 2, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(path)
    return tmp_path / "pictures"


def test_every_image_s_code_beside_its_file(folder: Path, tmp_path: Path) -> None:
    data = image_folder(str(folder), image_size=16, cache_dir=str(tmp_path / "cache"), workers=1)
    torch.manual_seed(0)
    vae = conv((3, 16, 16), latent_dim=4, channels=4)
    codes = all_codes(Objective(vae, likelihood("sse")).eval(), data, torch.device("cpu"))
    write_codes(tmp_path / "codes.csv", codes)
    rows = list(csv.DictReader((tmp_path / "codes.csv").read_text().splitlines()))
    assert len({row["name"] for row in rows}) == 40
    assert sum(row["split"] == "val" for row in rows) == len(data.val)
    assert all(row["label"] == row["name"].split("/")[0] for row in rows)
    for row in rows[::7]:
        pixels = np.asarray(Image.open(folder / row["name"]), np.float32) / 255  # the file itself
        with torch.no_grad():
            own = vae.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None]).mean[0]
        assert [float(row[f"z{unit}"]) for unit in range(4)] == pytest.approx(own.tolist(), rel=1e-3, abs=1e-4)


def test_of_a_full_covariance_no_more_is_held_than_a_batch_s(folder: Path, tmp_path: Path) -> None:
    """Every posterior is gone when its batch is written; std is the root of the diagonal of L L^T."""
    data = image_folder(str(folder), image_size=16, cache_dir=str(tmp_path / "cache"), workers=1)
    torch.manual_seed(0)
    vae = conv((3, 16, 16), latent_dim=4, channels=4, posterior="full")
    held: list[weakref.ref[Any]] = []
    most = 0
    encode = vae.encode

    def watched(x: torch.Tensor) -> Any:
        nonlocal most
        most = max(most, sum(posterior() is not None for posterior in held))
        posterior = encode(x)
        held.append(weakref.ref(posterior))
        return posterior

    vae.encode = watched  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_sweep.evaluation.codes.Split.batches.__defaults__", (8, 0))
        codes = all_codes(Objective(vae, likelihood("sse")).eval(), data, torch.device("cpu"))
    assert (len(held), most) == (5, 1)
    rows = np.concatenate([data.train, data.val])
    x = torch.from_numpy(np.asarray(data.images)[rows]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        factor = encode(x).cholesky.numpy()  # type: ignore[attr-defined]
    expected = np.sqrt(np.einsum("bij,bij->bi", factor, factor))
    np.testing.assert_allclose(codes["std"], expected, rtol=1e-4)
    assert codes["mean"].dtype == codes["std"].dtype == np.float32


def test_a_table_is_written_as_it_goes(tmp_path: Path) -> None:
    """Its text, some 200 bytes an image, is never held whole."""
    codes = {"mean": np.random.default_rng(0).random((2000, 20)).astype(np.float32), "row": np.arange(2000)}
    write_codes(tmp_path / "first.csv", {name: values[:10] for name, values in codes.items()})
    tracemalloc.start()
    write_codes(tmp_path / "codes.csv", codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (tmp_path / "codes.csv").stat().st_size / 2
    read = list(csv.reader((tmp_path / "codes.csv").read_text().splitlines()))
    assert read[0] == ["row", *(f"z{unit}" for unit in range(20))]
    np.testing.assert_allclose(np.array(read[1:], float)[:, 1:], codes["mean"], rtol=1e-6)


def test_of_trained_runs(
    small_sweep: Callable[..., tuple[Path, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, ids = small_sweep(["trainer.max_steps=2"], ["trainer.max_steps=2", "objective=autoencoder"])
    for member in ids:
        train_pack(sweep, [member])
    path = tmp_path / "codes.npz"
    assert door.main([str(sweep / f"000-{ids[0]}"), "--codes", str(path)]) == 0
    assert "400 codes" in capsys.readouterr().out
    model = vae_sweep.load_model(sweep / f"000-{ids[0]}")
    with np.load(path) as found:
        assert found.keys() == {"mean", "std", "split", "row"}
        posterior = model.encode(model.images("val", None))
        held_out = np.sort(posterior.mean.numpy(), 0)  # in the report's order there, in the data's here
        assert np.sort(found["mean"][found["split"] == "val"], 0) == pytest.approx(held_out, rel=1e-3, abs=1e-4)
    assert door.main([str(sweep / f"001-{ids[1]}"), "--codes", str(path)]) == 0
    with np.load(path) as found:
        assert "std" not in found
    with pytest.raises(SystemExit, match=r"^error: --codes is of one run, these are 2"):
        door.main([str(sweep), "--codes", str(path)])


def test_another_suffix_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        door.main([str(tmp_path), "--codes", "codes.txt"])
    assert "'codes.txt' does not end in .npz or .csv" in capsys.readouterr().err
