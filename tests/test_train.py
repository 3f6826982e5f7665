"""One member and packs of them: the numbers of separate runs, continued runs, diverging members."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from marks import slow
from torch.utils.data import DataLoader

from vae_sweep.data import load
from vae_sweep.data.batches import Stretches
from vae_sweep.models.likelihoods import SquaredError
from vae_sweep.models.networks import linear
from vae_sweep.models.objective import Objective
from vae_sweep.runs.files import RecordError, read_rows, write_json
from vae_sweep.runs.reading import load_sweep, read_result
from vae_sweep.schedules.controllers import Geco
from vae_sweep.training.checkpoints import LAST, PREVIOUS, load_checkpoint
from vae_sweep.training.lit_vae import LitVAE
from vae_sweep.training.pack import Training
from vae_sweep.training.train import train_pack

EIGHT = [  # weights, schedules, rates and seeds
    ["loss.kl_weight=1"],
    ["loss.kl_weight=0.5"],
    ["loss.kl_weight=0.1", "kl_schedule=linear"],
    ["loss.kl_weight=3", "kl_schedule=cyclical"],
    ["loss.kl_weight=1", "optimizer.lr=3e-3"],
    ["loss.kl_weight=1", "seed=1"],
    ["loss.kl_weight=0.3", "seed=2", "kl_schedule=linear", "kl_schedule.warmup=0.5"],
    ["loss.kl_weight=10", "optimizer.lr=2e-4", "seed=3"],
]
SmallSweep = Callable[..., tuple[Path, list[str]]]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / LAST)["state_dict"]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def plain(value: Any) -> Any:
    """All that a checkpoint holds, tensors by their bytes."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def rows(run: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "time_s"} for row in read_rows(run / "metrics.jsonl")]


def trained_apart_and_together(
    small_sweep: SmallSweep, common: list[str], kinds: list[list[str]] | None = None
) -> list[tuple[Path, Path]]:
    """Run folders of every member: trained alone, trained in one pack. kinds: overrides of the members (EIGHT)."""
    members = [[*common, *overrides] for overrides in kinds or EIGHT]
    apart, ids = small_sweep(*members, name="apart")
    together, _ = small_sweep(*members, name="together")
    for member in ids:
        train_pack(apart, [member])
    train_pack(together, ids)
    return [
        (one.folder, other.folder) for one, other in zip(load_sweep(apart).runs, load_sweep(together).runs, strict=True)
    ]


@pytest.mark.parametrize("steps", [6, *slow(20, 300)])
def test_pack_equals_separate_runs_in_float64(small_sweep: SmallSweep, steps: int) -> None:
    common = [f"trainer.max_steps={steps}", "trainer.precision=64", "model.channels=2", "data.batch_size=8"]
    common += ["model.latent_grid=1", "model.linear_path=false"]
    for alone, packed in trained_apart_and_together(small_sweep, [*common, "trainer.val_every_n_epochs=100"]):
        torch.testing.assert_close(weights(packed), weights(alone), rtol=1e-9, atol=1e-9)
        assert len(rows(alone)) == len(rows(packed)) == -(-steps // 10) + 1  # every tenth, the last, the validation
        for mine, theirs in zip(rows(alone), rows(packed), strict=True):
            assert theirs == pytest.approx(mine, rel=1e-9)


@pytest.mark.slow
def test_a_pack_of_the_default_network_equals_separate_runs_in_float64(small_sweep: SmallSweep) -> None:
    common = ["trainer.max_steps=20", "trainer.precision=64", "model.channels=4", "data.batch_size=8"]
    common += ["model.latent_dim=130"]  # one code in every cell
    for alone, packed in trained_apart_and_together(small_sweep, common, EIGHT[:3]):
        torch.testing.assert_close(weights(packed), weights(alone), rtol=1e-9, atol=1e-9)
        for mine, theirs in zip(rows(alone), rows(packed), strict=True):
            assert theirs == pytest.approx(mine, rel=1e-9)


@pytest.mark.slow
def test_pack_equals_separate_runs_in_float32(small_sweep: SmallSweep) -> None:
    """Of a network that begins at zero nowhere: there Adam makes a whole step of the rounding of a gradient."""
    common = ["trainer.max_steps=20", "model.channels=4", "data.batch_size=16"]
    common += ["model.latent_grid=1", "model.linear_path=false"]
    for alone, packed in trained_apart_and_together(small_sweep, common):
        torch.testing.assert_close(weights(packed), weights(alone), rtol=1e-5, atol=1e-5)
        assert rows(packed)[-1] == pytest.approx(rows(alone)[-1], rel=5e-3)


@pytest.mark.parametrize("packed", [*slow(False), True], ids=["alone", "pack"])
def test_continued_run_is_the_uninterrupted_one_bit_for_bit(small_sweep: SmallSweep, packed: bool) -> None:
    common = ["kl_schedule=linear", "model.channels=2", f"trainer.max_epochs={2 if packed else 3}"]
    members = [common, [*common, "seed=1"]] if packed else [common]
    whole, ids = small_sweep(*members, name="whole")
    train_pack(whole, ids)
    for stop_at in (12,) if packed else (1, 12, 29):
        parts, _ = small_sweep(*members, name=f"parts-{stop_at}")
        polled = iter(range(1, 1000))
        stopped = train_pack(parts, ids, should_stop=lambda polled=polled, last=stop_at: next(polled) >= last)
        assert {result["status"] for result in stopped} == {"interrupted"}
        finished = train_pack(parts, ids)
        assert {result["status"] for result in finished} == {"done"}
        for one, other in zip(load_sweep(whole).runs, load_sweep(parts).runs, strict=True):
            assert rows(one.folder) == rows(other.folder)
            assert equal(weights(one.folder), weights(other.folder))
            assert plain(load_checkpoint(one.folder / LAST)) == plain(load_checkpoint(other.folder / LAST))
            assert other.result["wall_s"] >= max(row["time_s"] for row in other.rows())  # of both attempts


def test_continued_run_in_bfloat16(small_sweep: SmallSweep) -> None:
    """A stretch of steps is one autocast context: were bfloat16 copies of weights cached in it, they would be stale."""
    small = ["trainer.precision=bf16", "model.channels=2", "data.batch_size=8", "trainer.max_steps=10"]
    whole, ids = small_sweep(small, name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep(small, name="parts")
    polled = iter(range(1, 1000))
    train_pack(parts, ids, should_stop=lambda: next(polled) >= 5)
    train_pack(parts, ids)
    assert rows(load_sweep(whole).runs[0].folder) == rows(load_sweep(parts).runs[0].folder)


@pytest.mark.slow
def test_pack_continues_from_the_step_that_all_members_have(small_sweep: SmallSweep) -> None:
    """A kill between the checkpoints of two members: one stands a checkpoint further than the other."""
    members = [["model.channels=2"], ["model.channels=2", "seed=1"]]
    whole, ids = small_sweep(*members, name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep(*members, name="parts")
    for stops_after in (5, 6):
        polled = iter(range(1, 1000))
        train_pack(parts, ids, should_stop=lambda polled=polled, last=stops_after: next(polled) >= last)
    torn = load_sweep(parts).runs[1].folder
    (torn / PREVIOUS).rename(torn / LAST)
    train_pack(parts, ids)
    for one, other in zip(load_sweep(whole).runs, load_sweep(parts).runs, strict=True):
        assert rows(one.folder) == rows(other.folder)
        assert equal(weights(one.folder), weights(other.folder))


def test_diverging_member_fails_and_the_others_go_on_untouched(small_sweep: SmallSweep) -> None:
    members = [["model.channels=2", change] for change in ("seed=0", "optimizer.lr=1e30", "seed=2")]
    apart, ids = small_sweep(*members, name="apart")
    for member in (ids[0], ids[2]):
        train_pack(apart, [member])
    together, _ = small_sweep(*members, name="together")
    results = train_pack(together, ids)
    assert [result["status"] for result in results] == ["done", "failed", "done"]
    assert results[1]["error"]["type"] == "Diverged"
    assert "train/loss" in results[1]["error"]["message"]
    for number in (0, 2):
        mine, theirs = (load_sweep(folder).runs[number].folder for folder in (apart, together))
        assert rows(theirs)[-1] == pytest.approx(rows(mine)[-1], rel=5e-3)
    assert json.loads((load_sweep(together).runs[1].folder / "result.json").read_text())["status"] == "failed"


def test_other_images_than_those_it_was_planned_with_are_refused(small_sweep: SmallSweep, tmp_path: Path) -> None:
    folder, ids = small_sweep(["trainer.max_steps=1"], ["trainer.max_steps=1", "seed=1"])
    manifest = json.loads((folder / "sweep.json").read_text())
    planned = load(manifest["members"][0]["config"]["data"])
    others = tmp_path / "others.npy"
    np.save(others, np.asarray(planned.images)[::2])

    def plan(*paths: Path) -> None:
        for entry, path in zip(manifest["members"], paths, strict=True):
            entry["data_fingerprint"] = planned.fingerprint
            entry["config"]["data"]["path"] = str(path)
        write_json(folder / "sweep.json", manifest)

    own = Path(manifest["members"][0]["config"]["data"]["path"])
    plan(others, others)
    with pytest.raises(RecordError, match="the images are others by now"):
        train_pack(folder, ids)
    plan(tmp_path / "gone.npy", own)  # of a pack, one was asked for again at the place where they are now
    assert [result["data_fingerprint"] for result in train_pack(folder, ids)] == [planned.fingerprint] * 2


def test_what_is_done_stays_done_where_another_of_its_pack_cannot_be_measured(
    small_sweep: SmallSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(training: Training, index: int, weights: object) -> dict[str, float]:
        if index == broken:
            raise ValueError(f"no measure of {index}")
        return {"val/recon": 1.0 + index}

    monkeypatch.setattr(Training, "evaluate", evaluate)
    folder, ids = small_sweep(*(["trainer.max_steps=1", f"seed={n}"] for n in range(3)))
    for broken, wanted in ((1, ["done", "failed", "done"]), (0, ["done"] * 3), (2, ["done"] * 3)):
        with pytest.raises(ValueError, match=f"no measure of {broken}"):
            train_pack(folder, ids)
        results = [read_result(run.folder) for run in load_sweep(folder).runs]
        assert [result["status"] for result in results] == wanted
        assert [result["metrics"].get("val/recon") for result in results] == [1.0, 2.0 if broken != 1 else None, 3.0]


def test_terms_are_logged_apart_and_unweighted(small_sweep: SmallSweep) -> None:
    folder, ids = small_sweep(["loss.kl_weight=0.25", "kl_schedule=linear", "kl_schedule.warmup=0.5"])
    (result,) = train_pack(folder, ids)
    logged = rows(load_sweep(folder).runs[0].folder)
    for row in logged:
        if "val/loss" in row:  # at the target weight, whatever the schedule says
            assert row["val/loss"] == pytest.approx(row["val/recon"] + 0.25 * row["val/kl"], rel=1e-6)
            assert row["val/mse"] == pytest.approx(row["val/sse"] / (16 * 16 * 3))
    assert [row["kl_weight"] for row in logged if "train/kl" in row][-1] == 0.25
    assert result["metrics"]["val/kl"] > 0


def test_autoencoder_has_no_kl(small_sweep: SmallSweep) -> None:
    folder, ids = small_sweep(["objective=autoencoder"])
    (result,) = train_pack(folder, ids)
    assert result["status"] == "done"
    assert not any("kl" in key for row in rows(load_sweep(folder).runs[0].folder) for key in row)
    assert result["metrics"]["val/loss"] == pytest.approx(result["metrics"]["val/sse"], rel=1e-6)


def test_a_steered_loss_is_the_bound_before_the_first_training_row_and_of_perfect_pictures() -> None:
    """-ELBO in nats is -ln N(x; xhat, s^2 I) + KL, by torch, s^2 of the training row, or else the own error."""
    steered = LitVAE(Objective(linear((1, 2, 2), 1), SquaredError()), kl_schedule=Geco(10, 1.0), row_loggers=[])
    error, kl = torch.tensor([0.1, -0.2, 0.3, 0.4]), 1.5
    for noise in (math.nan, 0.0, 0.25):  # no row, one of no error, one
        steered.train_mse = noise
        for residual in (error, torch.zeros(4)):
            sse = residual.double().square().sum().item()
            means = {"recon": sse, "kl": kl, "loss": 0.0, "sse": sse, "mse": sse / 4, "psnr": 0.0}
            steered.write_val_row(means, 4)
            s2 = noise if noise > 0 else sse / 4
            loss = steered.last_val["val/loss"]
            if s2 > 0:
                nll = -torch.distributions.Normal(0.0, math.sqrt(s2)).log_prob(residual).sum().item()
                assert loss == pytest.approx(nll + kl, rel=1e-6)
            else:  # the likeliest noise is none: as low as numbers go
                assert math.isfinite(loss)
                assert loss < -1000


@pytest.mark.parametrize(
    "kind",
    [
        ["loss.divergence=tc", "loss.tc_weight=6,2", "loss.mi_weight=1,0.5"],
        ["kl_schedule=control_vae", "kl_schedule.target=3"],
        ["model.posterior=full", "optimizer.grad_clip=1"],
        ["objective=autoencoder"],
        *slow(
            ["loss.weight_kl_weight=1,0.1"],
            ["loss.recon=optimal_sigma"],
            ["loss.free_bits=0.5,0.2", "loss.free_bits_groups=4"],
            ["loss.divergence=reverse_kl", "loss.recon=bernoulli"],
            ["loss.recon=gaussian", "loss.learn_scale=true", "loss.scale=0.3"],
            ["kl_schedule=capacity"],
            ["kl_schedule=geco", "kl_schedule.goal=50"],
            ["model.posterior=shared_scale", "loss.recon=laplace"],
        ),
    ],
    ids=lambda kind: kind[0],
)
def test_every_objective_packs_and_continues(small_sweep: SmallSweep, kind: list[str]) -> None:
    common = [*kind, "trainer.max_steps=15", "trainer.precision=64", "seed=0,1", "optimizer.lr=1e-3,2e-3"]
    common += ["model.channels=2", "data.batch_size=8", "model.latent_grid=1", "model.linear_path=false"]
    members = [[_value_of(member, override) for override in common] for member in (0, 1)]
    apart, ids = small_sweep(*members, name="apart")
    for member in ids:
        train_pack(apart, [member])
    together, _ = small_sweep(*members, name="together")
    polled = iter(range(1, 1000))
    train_pack(together, ids, should_stop=lambda: next(polled) >= 7)
    assert [result["status"] for result in train_pack(together, ids)] == ["done", "done"]
    for one, other in zip(load_sweep(apart).runs, load_sweep(together).runs, strict=True):
        for mine, theirs in zip(rows(one.folder), rows(other.folder), strict=True):
            assert theirs == pytest.approx(mine, rel=1e-9, abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice: more loader workers, srun
def test_lit_vae_trains_under_a_plain_trainer_and_data_loader() -> None:
    images = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(images, batch_size=16)  # type: ignore[arg-type]
    trained = []
    for batches in (loader, Stretches(loader)):
        torch.manual_seed(0)
        module = LitVAE(Objective(linear((1, 8, 8), latent_dim=2), SquaredError()), kl_weight=0.1, row_loggers=[])
        trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False)
        trainer.fit(module, batches)
        assert module.step == 6
        assert trainer.global_step == (6 if batches is loader else 0)  # what max_steps and callbacks go by
        trained.append(module.state_dict())
    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, rtol=0, atol=0)


def _value_of(member: int, override: str) -> str:
    """a=1 of both, or of a=1,2 the member's own."""
    key, values = override.split("=")
    return f"{key}={values.split(',')[member % len(values.split(','))]}"
