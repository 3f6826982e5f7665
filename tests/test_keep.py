"""trainer.keep=best: the weights of the lowest held-out objective at the final KL weight, beside the last ones."""

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marks import slow

from vae_sweep.analysis import study
from vae_sweep.analysis.kept import kept
from vae_sweep.analysis.table import summary_csv
from vae_sweep.data import load as load_data
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.members import member_id
from vae_sweep.runs.reading import load_sweep
from vae_sweep.runs.schema import BEST
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.training.build import build
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.loading import load_lit, load_model
from vae_sweep.training.train import train_pack

SmallSweep = Callable[..., tuple[Path, list[str]]]
STEPS = 24
# A learning rate at which the held-out objective goes up and down.
JUMPY = (
    "model.channels=2", "model.latent_grid=1", "model.linear_path=false", "optimizer.lr=0.05",
    "optimizer.lr_schedule=constant",
    f"trainer.max_steps={STEPS}", "trainer.val_every_n_epochs=0.15", "trainer.keep=best",
)  # fmt: skip


def validations(run: Path) -> dict[int, dict[str, float]]:
    return {row["step"]: row for row in read_rows(run / "metrics.jsonl") if "val/loss" in row}


def held_out_loss(path: Path, weight: float) -> float:
    """SSE + weight KL of the held-out images, with the noise of a validation, by a loop of its own."""
    lit, checkpoint = load_lit(path)
    data = load_data(checkpoint["hyper_parameters"]["config"]["data"])
    pixels = torch.from_numpy(np.asarray(data.images[data.val])).permute(0, 3, 1, 2).float() / 255
    total, vae = 0.0, lit.objective.eval().vae
    with torch.no_grad():
        for index, x in enumerate(pixels.split(checkpoint["hyper_parameters"]["config"]["data"]["batch_size"])):
            _, noise = lit.validation_inputs(x, index)
            posterior = vae.encode(x)
            z = posterior.mean + posterior.variance.sqrt() * noise
            kl = 0.5 * (posterior.mean**2 + posterior.variance - posterior.variance.log() - 1).sum()
            total += float((vae.decode(z) - x).square().sum() + weight * kl)
    return total / len(pixels)


@pytest.mark.parametrize(
    ("schedule", "since"),
    [
        # At its target from 6 to 12, too, which it leaves again.
        (["kl_schedule=cyclical", "kl_schedule.cycles=2", "optimizer.lr=0.2", "seed=2"], 18),
        *slow(
            (["kl_schedule=constant"], 0),
            (["kl_schedule=linear", "kl_schedule.warmup_steps=13", "optimizer.lr=0.2"], 13),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_best_is_the_lowest_validation_at_the_final_weight(
    small_sweep: SmallSweep, schedule: list[str], since: int
) -> None:
    folder, ids = small_sweep([*JUMPY, *schedule, "loss.kl_weight=0.5"])
    [result] = train_pack(folder, ids)
    run = load_sweep(folder).runs[0].folder
    rows = validations(run)
    eligible = {step: row["val/loss"] for step, row in rows.items() if step >= since}
    best = min(eligible, key=eligible.__getitem__)
    lowest = min(rows, key=lambda step: rows[step]["val/loss"])
    assert best != STEPS, "the numbers of this test tell nothing"
    assert (best != lowest) == (since > 0), "the numbers of this test tell nothing"
    assert load_checkpoint(run / BEST)["step"] == load_lit(run)[1]["step"] == load_model(run).lit.step == best
    assert held_out_loss(run, 0.5) == pytest.approx(rows[best]["val/loss"], rel=1e-5)
    assert held_out_loss(run / LAST, 0.5) == pytest.approx(rows[STEPS]["val/loss"], rel=1e-5)
    metrics = result["metrics"]
    assert (metrics["val/best_step"], metrics["val/loss"], result["steps"]) == (best, rows[best]["val/loss"], STEPS)
    assert metrics["val/best_gain"] == rows[STEPS]["val/loss"] - rows[best]["val/loss"]


def everything(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """(rows without the clock, tensors of the last checkpoint and of the best)."""
    rows = [{k: v for k, v in row.items() if k != "time_s"} for row in read_rows(run / "metrics.jsonl")]
    last, best = load_checkpoint(run / LAST), load_checkpoint(run / BEST)
    assert best["step"] == last["best"]["step"]
    tensors = {"step": torch.tensor(best["step"])}
    for name, state in (("last", last), ("best", best), ("kept", last["best"])):
        tensors |= {f"{name}.{key}": value for key, value in state["state_dict"].items()}
    return rows, tensors


def assert_same(one: Path, other: Path) -> None:
    (rows, tensors), (other_rows, others) = everything(one), everything(other)
    assert rows == other_rows
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def stopped_after(asked: int) -> Callable[[], bool]:
    polled = iter(range(1, 1000))
    return lambda: next(polled) >= asked


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "pack"])
def test_a_continued_run_has_the_best_of_an_uninterrupted_one(small_sweep: SmallSweep, packed: bool) -> None:
    members = [[*JUMPY, "loss.kl_weight=0.5"], [*JUMPY, "loss.kl_weight=0.1", "seed=1"]][: 1 + packed]
    whole, ids = small_sweep(*members, name="whole")
    train_pack(whole, ids)
    for stop in (15,) if packed else (3, 15):
        parts, _ = small_sweep(*members, name=f"parts-{stop}")
        train_pack(parts, ids, should_stop=stopped_after(stop))
        for run in load_sweep(parts).runs:  # a kill may have left that of a later step
            (run.folder / BEST).parent.mkdir(exist_ok=True)
            (run.folder / BEST).write_bytes((load_sweep(whole).runs[0].folder / LAST).read_bytes())
        train_pack(parts, ids)
        for one, other in zip(load_sweep(whole).runs, load_sweep(parts).runs, strict=True):
            assert_same(one.folder, other.folder)


@pytest.mark.slow
def test_each_member_of_a_pack_has_its_own_best(small_sweep: SmallSweep) -> None:
    members = [[*JUMPY, "trainer.precision=64", f"loss.kl_weight={w}", f"seed={s}"] for w, s in ((0.5, 0), (0.1, 1))]
    apart, ids = small_sweep(*members, name="apart")
    for member in ids:
        train_pack(apart, [member])
    together, _ = small_sweep(*members, name="together")
    train_pack(together, ids)
    steps = []
    for one, other in zip(load_sweep(apart).runs, load_sweep(together).runs, strict=True):
        (_, mine), (_, theirs) = everything(one.folder), everything(other.folder)
        for name, tensor in mine.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-9, atol=1e-9)
        steps.append(int(mine["step"]))
    assert len(set(steps)) == 2, "the numbers of this test tell nothing"


def test_what_is_measured_shown_and_loaded_is_the_best(small_sweep: SmallSweep) -> None:
    folder, ids = small_sweep([*JUMPY, "trainer.evaluate=true", "loss.kl_weight=0.5"], [*JUMPY[:-1]])
    train_pack(folder, ids[:1])
    train_pack(folder, ids[1:])
    run, other = load_sweep(folder).runs
    best = int(run.metrics["val/best_step"])
    assert best < STEPS
    assert run.evaluation()["step"] == best
    shown = run.arrays()
    vae = load_model(run.folder)
    originals = torch.from_numpy(shown["originals"]).permute(0, 3, 1, 2) / 255
    again = vae.decode(vae.encode(originals).mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(255 * again, shown["recon_mean"], atol=0.51)
    assert vae.sample(1, from_="codes").shape == (1, 3, 16, 16)  # fitted to the codes of this very step
    assert not (other.folder / BEST).exists()
    assert "val/best_step" not in other.metrics
    found = study.read([load_sweep(folder)])
    by_id = {point.id: point for point in found.points}
    gain, last = run.metrics["val/best_gain"], validations(run.folder)[STEPS]["val/loss"]
    said = kept(by_id[run.id])
    assert f"step {best} of {STEPS}" in said
    assert (f"{100 * gain / last:.0f}%" if gain / last > 0.01 else f"{100 * gain / last:.1f}%") in said
    assert kept(by_id[other.id]) == ""
    [row, without] = csv.DictReader(summary_csv(found, {}).splitlines())
    assert (float(row["val/best_step"]), without["val/best_step"]) == (best, "")


def test_a_damaged_best_is_read_from_the_last_checkpoint(
    small_sweep: SmallSweep, caplog: pytest.LogCaptureFixture
) -> None:
    folder, ids = small_sweep([*JUMPY])
    train_pack(folder, ids)
    run = load_sweep(folder).runs[0].folder
    whole, _ = load_lit(run)
    (run / BEST).write_bytes((run / BEST).read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        mended, checkpoint = load_lit(run)
    assert str(run / BEST) in caplog.text
    assert checkpoint["step"] == read_json(run / "result.json")["metrics"]["val/best_step"]
    assert all(torch.equal(value, mended.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.slow
def test_a_multi_rate_model_is_kept_at_the_weight_that_it_is_validated_at(small_sweep: SmallSweep) -> None:
    several = ["model.multi_rate=true", "model.kl_weight_range=[0.1,10]"]
    folder, ids = small_sweep([*JUMPY, *several, "loss.kl_weight=0.1"], [*JUMPY, *several, "loss.kl_weight=10"])
    for member in ids:
        train_pack(folder, [member])
    steps = []
    for run in load_sweep(folder).runs:
        rows = {step: row["val/loss"] for step, row in validations(run.folder).items()}
        steps.append(min(rows, key=rows.__getitem__))
        assert run.metrics["val/best_step"] == steps[-1]
    assert len(set(steps)) == 2, "the numbers of this test tell nothing"


def test_it_is_of_the_member_only_if_best(compose: Callable[..., dict[str, Any]]) -> None:
    def identity(*overrides: str, without: bool = False) -> str:
        config = compose(*overrides)
        if without:  # as in folders from before there was such a key
            del config["trainer"]["keep"]
        return member_id(config, "f")

    assert identity() == identity(without=True) == identity("trainer.keep=last")
    assert identity("trainer.keep=best") != identity()
    several = ("model.multi_rate=true", "loss.kl_weight=0.1"), ("model.multi_rate=true", "loss.kl_weight=1")
    assert identity(*several[0]) == identity(*several[1])
    assert identity("trainer.keep=best", *several[0]) != identity("trainer.keep=best", *several[1])


@pytest.mark.parametrize("schedule", ["geco", "control_vae", "capacity"])
def test_without_a_final_weight_there_is_no_best(compose: Callable[..., dict[str, Any]], schedule: str) -> None:
    asked = ["trainer.keep=best", f"kl_schedule={schedule}"]
    asked += {"geco": ["kl_schedule.goal=5"], "control_vae": ["kl_schedule.target=5"], "capacity": []}[schedule]
    with pytest.raises(SettingsError, match=rf"trainer\.keep=best: kl_schedule={schedule}"):
        check_member(compose(*asked))
    with pytest.raises(ValueError, match=r"trainer\.keep=best"):  # also of other people's, which are asked there
        build(compose(*asked, "model.channels=2", "trainer.max_steps=9"), (3, 16, 16), 100)
    check_member(compose(*asked, "objective=autoencoder"))
