"""Codes out of the tool: each beside the file, the label and the split that it belongs to."""

import csv
from collections.abc import Callable
from pathlib import Path

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
