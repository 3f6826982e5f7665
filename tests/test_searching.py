"""Searches as jobs and results: what is launched, how results are read, what is kept and shown."""

import subprocess
import sys
from itertools import chain
from types import SimpleNamespace

import pytest
from waiting import PATIENCE_S

from benchmarks.simulated import metrics
from vae_sweep.analysis import next_step
from vae_sweep.analysis.searched import searched
from vae_sweep.checks import SettingsError
from vae_sweep.runs.files import read_json, write_json
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.searching import FrontierSearching, TargetSearching

TARGET = {
    "kind": "target", "metric": "val/psnr_mean", "value": 20.0, "low": 0.001, "high": 10.0, "tolerance": 0.01,
    "within": None, "runs": 12, "at_once": 2,
}  # fmt: skip
FRONTIER = {"kind": "frontier", "low": 0.01, "high": 10.0, "tolerance": 0.01, "runs": 6, "at_once": 2}


def results(jobs, reduction=1.0):
    """Of the linear VAE; what is typed as a weight is worth `reduction` times that in beta."""
    found = []
    for job in jobs:
        words = dict(word.split("=") for word in job)
        beta = reduction * float(words["loss.kl_weight"])
        exact = metrics(beta, int(words.get("model.latent_dim", 32)))
        measured = {f"{split}/{name}": value for split in ("train", "val") for name, value in exact.items()}
        measured["val/psnr_mean"] += {"0": -0.01, "1": 0.01}.get(words.get("seed"), 0.0)
        found.append({"status": "done", "metrics": measured, "beta": beta})
    return found


def run(searching, **options):
    rounds = []
    while jobs := searching.next_jobs():
        rounds.append(jobs)
        searching.take(results(jobs, **options))
    return rounds


def test_every_other_setting_has_its_own_search_and_seeds_are_averaged(tmp_path):
    typed = [[f"model.latent_dim={d}", f"seed={seed}", "data=x"] for d in (8, 32) for seed in (0, 1)]
    searching = TargetSearching(typed, TARGET)
    rounds = run(searching)
    assert len(rounds[0]) == 2 * 2 * 2  # searches, ends, seeds
    searching.write(tmp_path)
    kept = read_json(tmp_path / "search.json")
    assert [search["settings"] for search in kept["searches"]] == [["model.latent_dim=8"], ["model.latent_dim=32"]]
    for search, d in zip(kept["searches"], (8, 32), strict=True):
        assert metrics(search["low"], d)["psnr_mean"] >= 20 >= metrics(search["high"], d)["psnr_mean"]
        assert search["visits"][0] == {"kl_weight": 0.001, "value": pytest.approx(metrics(0.001, d)["psnr_mean"])}
    assert [line[:8] for line in searching.lines()] == ["target  "] * 2


def test_a_search_goes_on_where_it_was():
    first, second = TargetSearching([[]], TARGET), TargetSearching([[]], TARGET)
    assert run(first) == run(second)


def test_the_frontier_knows_the_beta_of_a_convention():
    """mean_pixels of n pixels: a weight w is worth n w, so that the same places have the weights / n."""
    n = 192.0
    plain = run(FrontierSearching([[]], FRONTIER))
    scaled = run(FrontierSearching([[]], {**FRONTIER, "low": 0.01 / n, "high": 10 / n}), reduction=n)
    for (a,), (b,) in zip(chain(*plain), chain(*scaled), strict=True):
        assert float(b.split("=")[1]) * n == pytest.approx(float(a.split("=")[1]), rel=1e-3)


def test_the_frontier_trades_what_the_likelihood_does():
    """Of a Bernoulli run the squared error stands beside the nats, which alone are what a weight is the price of."""
    searching = FrontierSearching([[]], FRONTIER)
    while jobs := searching.next_jobs():
        found = results(jobs)
        for result in found:
            result["config"] = {"loss": {"recon": "bernoulli"}}
            for split in ("train", "val"):
                result["metrics"][f"{split}/recon"] = result["metrics"][f"{split}/sse"]
                result["metrics"][f"{split}/sse"] = 1.0
        searching.take(found)
    assert searching.lines() == _lines(FrontierSearching([[]], FRONTIER))


def _lines(searching):
    run(searching)
    return searching.lines()


def test_the_frontier_refuses_a_weight_that_is_no_slope():
    searching = FrontierSearching([[]], FRONTIER)
    found = [{**result, "beta": None, "config": {}} for result in results(searching.next_jobs())]
    with pytest.raises(SettingsError, match="not the slope of the curve"):
        searching.take(found)


def test_the_frontier_minds_no_autoencoder_beside_it():
    searching = FrontierSearching([["objective=vae"], ["objective=autoencoder"]], FRONTIER)
    jobs = searching.next_jobs()
    found = results(jobs)
    for job, result in zip(jobs, found, strict=True):
        if "objective=autoencoder" in job:
            metrics = {name: value for name, value in result["metrics"].items() if not name.endswith("/kl")}
            result |= {"metrics": metrics, "beta": None, "config": {"loss": {"recon": "sse"}}}
    searching.take(found)
    assert any("objective=vae" in job for job in searching.next_jobs())


def test_runs_that_failed_are_told():
    searching = TargetSearching([[]], TARGET)
    searching.take([{"status": "failed", "metrics": {}} for _ in searching.next_jobs()])
    assert searching.next_jobs() == []
    assert "fewer than two runs" in searching.lines()[0]


@pytest.mark.parametrize(
    ("settings", "jobs", "said"),
    [
        ({"value": "a"}, [[]], "hydra.sweeper.value=a: expected a number"),
        ({"low": 10.0}, [[]], "hydra.sweeper.low=10.0: is not below hydra.sweeper.high=10.0"),
        ({"runs": 2}, [[]], "hydra.sweeper.runs=2: expected a whole number >= 3"),
        ({}, [["loss.kl_weight=1"]], "loss.kl_weight is what is looked for"),
    ],
)
def test_what_cannot_be_is_refused(settings, jobs, said):
    with pytest.raises(SettingsError, match=said):
        TargetSearching(jobs, TARGET | settings)


def test_a_metric_that_there_is_not():
    searching = TargetSearching([[]], TARGET | {"metric": "val/psrn"})
    with pytest.raises(SettingsError, match=r"metric=val/psrn: no such metric; there are .*val/psnr_mean"):
        searching.take(results(searching.next_jobs()))


def test_the_report_tells_the_order_of_the_visits(tmp_path):
    write_json(tmp_path / "sweep.json", {"schema": 1, "sweep": "s", "members": []})
    sweep = load_sweep(tmp_path)
    assert searched([sweep]) == []
    searching = TargetSearching([[]], TARGET)
    run(searching)
    searching.write(tmp_path)
    (told,) = searched([sweep])
    assert told.visits[:2] == [f"{w} ({metrics(float(w), 32)['psnr_mean']:.3g})" for w in ("0.001", "10")]
    assert "val/psnr_mean = 20 at kl_weight" in told.said
    (tmp_path / "search.json").write_text("{")
    assert searched([sweep]) == []


def test_the_command_that_adds_weights_is_that_of_a_grid():
    def command(values, *words):
        study = SimpleNamespace(name="s", manifest={"command": ["run.py", "-m", *words, "sweep=s"]})
        return next_step._command(study, values)

    search = ("hydra/sweeper=target", "hydra.sweeper.value=20", "data=mnist")
    assert command({"loss.kl_weight": "3,1"}, *search).endswith(" -m data=mnist loss.kl_weight=3,1 sweep=s")
    assert "hydra.sweeper.value=20" in command({"trainer.max_epochs": "9"}, *search)
    assert command({"loss.kl_weight": "3,1"}, "hydra/sweeper=optuna", "optimizer.lr=interval(0.1,1)") == ""


@pytest.mark.slow
def test_a_target_from_the_command_line_and_the_same_command_again(tmp_path, images):
    command = [
        *(sys.executable, "-m", "vae_sweep.run", "-m", "+hydra.launcher.target=benchmarks.simulated:train_pack"),
        *("data=arrays", f"data.path={images}", "model.latent_dim=32", "model.latent_grid=1", "launcher.pack=off"),
        *("trainer.accelerator=cpu", "launcher.jobs=2", "sweep=s", "hydra/sweeper=target", "hydra.sweeper.value=20"),
        *("hydra.sweeper.within=0.5",),
    ]
    said = []
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout.splitlines()[-1])
    assert said[0] == said[1]
    assert said[0].startswith("target    val/psnr_mean = 20 at kl_weight")
    sweep = load_sweep(tmp_path / "outputs" / "s")
    assert [run.config["loss"]["kl_weight"] for run in sweep.runs][:2] == [0.001, 10]
    assert min(abs(run.metrics["val/psnr_mean"] - 20) for run in sweep.runs) <= 0.5
