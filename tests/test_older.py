"""tests/older_sweep: a sweep as the first versions wrote it, which every later one reads, loads, continues and extends.

Made at commit a5ccc26 from its 24 pictures: two finished members, evaluated, and one that was interrupted at step 6 of
12; sweep.json has the whole command:

    python -m vae_sweep.run -m data=image_folder data.root=pictures data.image_size=8 data.channels=1 ...

Left out: logs, locks, .hydra/hydra.yaml; places and hosts are replaced.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from configs import member_config
from synthetic_sweep import write_sweep

import vae_sweep
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.report.writing import build
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.run_sweep import Job, run_sweep

KEPT = Path(__file__).parent / "older_sweep"
FINGERPRINT = "7a76dd27dc711c22765d481ccbf4c805"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(KEPT / "sweep", tmp_path / "old")
    return tmp_path / "old"


def test_it_is_read_with_all_that_later_ones_have(folder):
    found = load_sweep(folder)
    assert [(run.status, run.cause) for run in found.runs] == [("done", None), ("done", None), ("interrupted", None)]
    # gaussian, sigma 0.5, mean_pixels: w SSE / (2 sigma^2) / n + w KL is SSE + 2 sigma^2 n w KL, n = 64 pixels
    betas = [entry["beta"] for entry in found.manifest["members"]]
    assert betas == [pytest.approx(32 * 1e-4), None, pytest.approx(32 * 1e-5)]
    evaluation, written = found.runs[0].evaluation(), read_json(found.runs[0].folder / "evaluation.json")
    assert evaluation["beta"] == pytest.approx(2 * written["train"]["implied_sigma"] ** 2)
    assert evaluation["train"]["beta_hat"] == pytest.approx(0.5 * written["train"]["beta_hat"])  # of SSE, not of nats
    assert forecast_of(found.manifest, FINGERPRINT)["n"] == 64


def test_the_synthetic_sweeps_of_other_tests_hold_nothing_that_a_real_one_does_not(folder, tmp_path):
    """So that no page is tested on keys that no sweep writes. (They hold less.)"""
    made, real = load_sweep(write_sweep(tmp_path / "made", failed=(2,))), load_sweep(folder)
    assert keys(made.manifest) <= keys(real.manifest)
    assert keys(made.manifest["members"][0]) <= keys(real.manifest["members"][0])
    for ours, theirs in ((made.runs[0], real.runs[0]), (made.runs[-1], real.runs[1])):  # a VAE, the autoencoder
        assert ours.result.keys() <= theirs.result.keys()
        since = (".samples", ".val.distance_", ".val.code_", ".val.sampler_")  # what the folder predates
        judged = {key for key in keys(ours.evaluation()) if not key.startswith(since)}
        assert judged <= keys(theirs.evaluation())
        assert set().union(*ours.rows()) <= set().union(*theirs.rows())


def keys(value, prefix=""):
    """Of nested dictionaries, dotted; of those by id or by setting, the outer ones only."""
    if not isinstance(value, dict) or prefix.endswith((".datasets", ".config", ".versions", ".hardware")):
        return {prefix}
    return {prefix}.union(*(keys(inner, f"{prefix}.{key}") for key, inner in value.items()))


def test_it_is_reported(folder):
    page = build([folder], figures=False).read_text()
    for run in load_sweep(folder).runs:
        assert run.id in page
    assert vae_sweep.load(folder)["val/sse"].notna().sum() == 3


def test_its_models_are_loaded_and_are_the_ones_that_were_evaluated(folder):
    run = load_sweep(folder).runs[0]
    vae = vae_sweep.load_model(run.folder)
    shown = run.arrays()
    originals = torch.from_numpy(shown["originals"]).permute(0, 3, 1, 2) / 255
    again = vae.decode(vae.encode(originals).mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(255 * again, shown["recon_mean"], atol=0.51)


def test_it_is_continued_and_extended(folder):
    done = (folder / "000-vae-9eb784a9" / "result.json").read_bytes()
    before = read_rows(folder / "002-vae,kl_weight=0.00001-f355a1ba" / "metrics.jsonl")
    as_it_was = ("data.augment=none", "optimizer.lr_schedule=cosine")
    jobs = []
    for weight in (1e-4, 1e-5, 1e-6):
        command = [word for word in read_json(folder / "sweep.json")["command"][2:] if "," not in word]
        config = member_config(*command, *as_it_was, f"loss.kl_weight={weight}")
        config["data"]["root"] = str(KEPT / "pictures")  # they have moved, and are the same
        jobs.append(Job(config | {"output_dir": str(folder.parent)}, (f"loss.kl_weight={weight}",)))
    outcome = run_sweep(jobs, ThisProcess(), ["run.py"])
    assert outcome.exit_code == 0
    found = load_sweep(folder)
    assert [run.id for run in found.runs[:3]] == ["9eb784a9", "c2925e9a", "f355a1ba"]
    assert [run.status for run in found.runs] == ["done"] * 4
    assert (folder / "000-vae-9eb784a9" / "result.json").read_bytes() == done
    rows = found.runs[2].rows()
    assert rows[: len(before)] == before, "what it had written stands"
    assert [row["step"] for row in rows if "train/loss" in row] == [3, 6, 9, 12]
    page = build([folder], figures=False).read_text()  # of runs that training has just written
    assert all(run.id in page for run in found.runs)
    manifest = json.loads((folder / "sweep.json").read_text())
    assert "preflight" not in manifest, "what is written is in the form of today"
    assert [entry["beta"] for entry in manifest["members"]][2:] == [pytest.approx(32e-5), pytest.approx(32e-6)]
