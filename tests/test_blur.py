"""How much of the blur is the KL's: against the raw numbers of the run folders."""

import json
import re
from pathlib import Path

import pytest
from synthetic_sweep import write_sweep

from vae_sweep.analysis import study
from vae_sweep.analysis.blur import blur
from vae_sweep.runs.reading import load_sweep


def error(folder: Path, split: str) -> float:
    return json.loads((folder / "evaluation.json").read_text())[split]["sse"]


def test_the_kl_s_share_of_the_held_out_error(tmp_path: Path) -> None:
    runs = load_sweep(write_sweep(tmp_path / "s", weights=(3.0, 0.5, 0.03))).runs
    folders = {run.config["loss"]["kl_weight"]: run.folder for run in runs if run.config["objective"] == "vae"}
    (autoencoder,) = (run.folder for run in runs if run.config["objective"] == "autoencoder")
    words = blur(study.read([load_sweep(tmp_path / "s")]))
    assert words is not None
    shares = [float(share) for share in re.findall(r"([\d.]+)%", words)]
    expected = [
        100 * (error(folders[weight], "train") - error(autoencoder, "train")) / error(folders[weight], "val")
        for weight in (3.0, 0.03)
    ]
    assert shares == pytest.approx(expected, abs=0.5)
    assert "at weight 3" in words
    assert "at 0.03" in words


def test_no_more_remains_than_there_is(tmp_path: Path) -> None:
    """An autoencoder that was trained too briefly is worse than the smallest weight: more capacity than error."""
    folder = write_sweep(tmp_path / "s", weights=(3.0, 0.03), undertrained=(2,))
    words = blur(study.read([load_sweep(folder)]))
    assert words is not None
    left, total = re.findall(r"the ([\d.]+) of ([\d.]+) that remain", words)[0]
    assert left == total == f"{error(next(folder.glob('001-*')), 'val'):.3g}"


@pytest.mark.parametrize("options", [{"autoencoder": False}, {"weights": (1.0,)}, {"without_evaluation": (0, 1, 2, 3)}])
def test_nothing_is_said_without_an_autoencoder_or_two_weights(tmp_path: Path, options: dict) -> None:
    assert blur(study.read([load_sweep(write_sweep(tmp_path / "s", **options))])) is None
