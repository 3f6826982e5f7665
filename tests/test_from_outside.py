"""A likelihood, a divergence, a schedule, a metric and a place of another package, from the words to the page."""

import json
import re
from importlib import import_module
from io import StringIO
from unittest import mock

import numpy as np
import outside
import pytest
import torch
from configs import member_config
from rich.console import Console

from vae_sweep.analysis.study import read
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.plan import pack_key
from vae_sweep.sweep.run_sweep import Job, run_sweep
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.tracking import content
from vae_sweep.training.describe import describe, in_one_line

COMMON = [
    "data=arrays", "model=linear", "model.latent_dim=2", "data.batch_size=20", "trainer.max_steps=40",
    "trainer.accelerator=cpu", "trainer.precision=32", "logger.wandb=disabled", "optimizer.lr=1e-2", "sweep=theirs",
    "trainer.metrics=[outside.sharpness]", "launcher.pack=8",
]  # fmt: skip
STUDENT, STAIRS = "loss.recon=outside.StudentT", "kl_schedule._target_=outside.staircase"
MEMBERS = [
    [STUDENT, "loss.kl_weight=2"],
    [STUDENT, "loss.kl_weight=0.5"],
    [STUDENT, "loss.kl_weight=0.5", STAIRS, "+kl_schedule.stairs=5"],
    ["loss.divergence=outside.FourthMoment"],
]


class _InThisProcess:
    """A module's `main` asked here, in the place of a child that imports torch once more."""

    def __init__(self, module, stderr=None):
        self.main = import_module(module).main

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def communicate(self, asked):
        with mock.patch("sys.stdin", StringIO(asked)), mock.patch("sys.__stdout__", StringIO()) as out:
            self.main()
        return out.getvalue(), ""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """(what was printed, the place, the sweep read back)"""
    folder = tmp_path_factory.mktemp("theirs")
    images = np.random.default_rng(0).integers(60, 200, (60, 2, 2, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    np.save(folder / "images.npy", images)
    always = [f"data.path={folder}/images.npy", f"data.cache_dir={folder}/cache", f"output_dir={folder}"]
    jobs = [Job(member_config(*COMMON, *always, *own), tuple(own)) for own in MEMBERS]
    text, place = StringIO(), outside.OneByOne()
    with mock.patch("vae_sweep.data.children.start", _InThisProcess):
        outcome = run_sweep(jobs, place, ["vae-sweep"], console=Console(file=text, width=200))
    assert [result["status"] for result in outcome.results] == ["done"] * 4, outcome.results
    return text.getvalue(), place, load_sweep(outcome.folder)


def test_the_terms_are_torchs_and_the_weights_the_schedules(theirs):
    generator = torch.Generator().manual_seed(0)
    x, out = torch.rand(2, 3, 1, 4, 4, generator=generator)
    expected = -torch.distributions.StudentT(4.0, out, 0.1).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(outside.StudentT()(out, x), expected, rtol=1e-4, atol=1e-4)
    _, _, sweep = theirs
    weights = {row["step"]: row["kl_weight"] for row in sweep.runs[2].rows() if "train/kl" in row}
    assert weights == {10: 0.5 * 2 / 5, 20: 0.5 * 3 / 5, 30: 0.5 * 4 / 5, 40: 0.5}
    for run in sweep.runs[:2]:  # without a schedule: -ELBO of the likelihood, tempered
        last = [row for row in run.rows() if "val/loss" in row][-1]
        weight = run.config["loss"]["kl_weight"]
        assert last["val/loss"] == pytest.approx(last["val/recon"] + weight * last["val/kl"], rel=1e-5)


def test_packs_hold_what_differs_in_numbers_alone(theirs):
    _, place, sweep = theirs
    ids = [run.id for run in sweep.runs]
    assert place.ran == [ids[:3], ids[3:]]  # a schedule that is a number at each step; another divergence


def test_before_anybody_has_asked_a_schedule_has_a_kind_for_itself():
    plain, stairs = member_config(), member_config(STAIRS)
    assert pack_key(stairs) != pack_key(plain) == pack_key(stairs, {"schedule": {"name": "staircase"}})


def test_nothing_is_called_what_it_is_not(theirs):
    printed, _, sweep = theirs
    assert "Student's t pixels: weight 1 is the exact ELBO" in printed
    assert "Laplace" not in printed
    entries = sweep.manifest["members"]
    assert entries[0]["says"]["likelihood"]["name"] == "student_t"
    assert entries[2]["says"]["schedule"]["settles"]
    assert entries[3]["says"] == {"divergence": {"name": "fourth_moment", "kl": False, "steady": True}}
    assert [entry["beta"] for entry in entries] == [2, 0.5, 0.5, None]  # nats for nats; no price of a nat of KL


def test_verdicts_tables_and_the_mirror_know_them(theirs):
    _, _, sweep = theirs
    study = read([sweep])
    by_id = {point.id: point for point in study.points}
    student, moment = by_id[sweep.runs[0].id], by_id[sweep.runs[3].id]
    assert (student.distortion("val"), student.beta) == (student.get("val", "recon"), 2)
    assert (moment.distortion("val"), moment.beta) == (moment.get("val", "sse"), None)
    assert not study.squared_error
    evaluation = sweep.runs[0].evaluation()["val"]
    assert "implied_sigma" not in evaluation
    assert evaluation["elbo"] == pytest.approx(-(evaluation["recon"] + evaluation["kl"]), rel=1e-6)
    verdicts = judge(study)
    assert all(verdicts[run.id] for run in sweep.runs)
    assert "sharpness" in summary_csv(study, verdicts).splitlines()[0]
    told = content.config(sweep.manifest["members"][0], sweep.manifest)
    assert "linear_rate" not in json.dumps(told)  # the linear model says nothing of such pixels


def test_their_metric_is_measured_on_both_splits_and_has_a_column(theirs):
    from vae_sweep.analysis.table import result_columns

    _, _, sweep = theirs
    for run in sweep.runs:
        made, x = (run.arrays()[name].astype(float) for name in ("recon_mean", "originals"))
        rough = np.abs(np.diff(made, axis=2)).mean() / np.abs(np.diff(x, axis=2)).mean()
        assert run.evaluation()["val"]["sharpness"] == pytest.approx(rough, rel=0.05)  # 6 held-out images, as bytes
        assert run.evaluation()["train"]["sharpness"] > 0
    assert "val/sharpness" in [column.key for column in result_columns(read([sweep]))]


def test_the_page_is_built(theirs, tmp_path):
    from vae_sweep.report.writing import build

    _, _, sweep = theirs
    page = build([sweep.folder], tmp_path, figures=False).read_text()
    assert "sharpness" in page
    told = (tmp_path / "summary.md").read_text()
    assert not any(word in told for word in ("Laplace", "Gaussian", "grey levels", "standard deviation"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loss.recon=outside.Missing"], "outside.Missing"),
        (["loss.recon=outside.staircase"], "outside.staircase"),
        (["loss.recon={_target_: outside.StudentT, tails: 3}"], "tails"),
        (["loss.divergence=outside.StudentT"], "loss.divergence=outside.StudentT: expected a subclass of Divergence"),
        (["kl_schedule._target_=outside.staircase", "+kl_schedule.steps=3"], "steps"),
        (["kl_schedule._target_=outside.half"], "kl_schedule: ends at 0.5 times loss.kl_weight"),
        (["trainer.metrics=[outside.missing]"], "outside.missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_told_in_one_line(words, said):
    with pytest.raises(Exception) as refused:  # noqa: PT011  a stranger's class may raise anything
        describe(member_config(*COMMON, "data.path=x.npy", *words), 30)
    line = in_one_line(refused.value)
    assert said in line
    assert "\n" not in line


def test_it_is_refused_before_anything_trains_or_is_written(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", np.arange(30 * 8 * 8 * 3).reshape(30, 8, 8, 3).astype(np.uint8))
    always = [*COMMON, f"data.path={tmp_path}/images.npy", f"output_dir={tmp_path}/out"]
    config = member_config(*always, "loss.divergence=outside.StudentT")
    monkeypatch.setattr("vae_sweep.data.children.start", _InThisProcess)
    with pytest.raises(SettingsError, match="expected a subclass of Divergence that declares its traits"):
        run_sweep([Job(config)], outside.OneByOne(), console=Console(file=StringIO()))
    assert not list(tmp_path.glob("out/*/sweep.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loss.recon=nowhere.Laplace"], "loss.recon=nowhere.Laplace: no such module"),
        (["loss.recon=outside.StudentT", "loss.scale=2"], "loss.recon=outside.StudentT has no scale to set"),
        (["trainer.metrics=sharpness"], "trainer.metrics=sharpness: expected a list of dotted paths"),
        (["loss.recon=studentt"], "or the dotted path of a class of your own"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_no_class_is_needed_for_is_refused_at_once(words, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        check_member(member_config("data.path=x.npy", *COMMON[:1], *words))
