"""trainer.ema: the average of the weights over the steps, which is what is validated, kept, shown and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from marks import slow
from test_keep import assert_same, held_out_loss, stopped_after, validations
from torch import nn
from torch.utils.data import DataLoader

from vae_sweep.data.batches import Stretches
from vae_sweep.models.likelihoods import SquaredError
from vae_sweep.models.networks import linear
from vae_sweep.models.objective import Objective
from vae_sweep.models.own import as_vae
from vae_sweep.runs.members import member_id
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.training.averaging import decay_at
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.lit_vae import LitVAE, OptimizerSettings
from vae_sweep.training.loading import load_model
from vae_sweep.training.train import train_pack

SmallSweep = Callable[..., tuple[Path, list[str]]]
SMALL = (
    "model.channels=2", "model.latent_grid=1", "model.linear_path=false", "optimizer.lr=0.05",
    "optimizer.lr_schedule=constant", "trainer.max_steps=20", "trainer.val_every_n_epochs=0.3", "trainer.ema=0.8",
    "trainer.keep=best", "loss.kl_weight=0.5",
)  # fmt: skip


class Normalised(nn.Module):
    """Latents (2, 2, 2) of images (1, 8, 8), through a layer with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.down = nn.BatchNorm2d(1, momentum=0.5), nn.Conv2d(1, 4, 4, stride=4)
        self.up = nn.ConvTranspose2d(2, 1, 4, stride=4)
        self.register_buffer("counts", torch.zeros(3))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.training:
            self.counts += 1
        return self.down(self.norm(x)).chunk(2, dim=1)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.up(z)


class _Rows:
    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append({"step": step or 0, **metrics})


@pytest.mark.filterwarnings("ignore")  # Lightning's advice: more loader workers
@pytest.mark.parametrize("decay", [0.6, 0.999])
def test_the_average_is_the_weighted_sum_of_the_weights_of_all_steps(decay: float) -> None:
    """sum_i (1 - d_i) (prod_{j > i} d_j) w_i, from weights written down at every step; its coefficients sum to 1."""
    images = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = _Rows()
    objective = Objective(as_vae(Normalised(), 8, (1, 8, 8)), SquaredError())
    lit = LitVAE(objective, 0.1, optimizer=OptimizerSettings(lr=0.05), row_loggers=[rows], ema=decay).double()
    written: list[dict[str, torch.Tensor]] = []
    lit.between_steps = lambda: written.append({k: v.clone() for k, v in objective.state_dict().items()})
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, precision="64-true",
        enable_progress_bar=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(lit, Stretches(DataLoader(images, batch_size=12)), DataLoader(images, batch_size=48))  # type: ignore[arg-type]
    decays = [0.0, *(min(decay, (1 + t) / (10 + t)) for t in range(1, 12))]
    assert [decay_at(t, decay) for t in range(12)] == decays
    shares = [(1 - d) * float(np.prod(decays[i + 1 :])) for i, d in enumerate(decays)]
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert lit.average is not None
    found = lit.average.tensors()
    kept = dict(written[-1])
    for name, last in written[-1].items():
        if name.endswith(("counts", "num_batches_tracked")):  # as training has left them
            assert name not in found
            continue
        kept[name] = sum(share * weights[name] for share, weights in zip(shares, written, strict=True))
        torch.testing.assert_close(found[name], kept[name], rtol=1e-10, atol=1e-12)
        assert not torch.equal(kept[name], last)
        torch.testing.assert_close(objective.state_dict()[name], last, rtol=0, atol=0)  # training has its own again
    judge = Objective(as_vae(Normalised(), 8, (1, 8, 8)), SquaredError()).double().eval()
    judge.load_state_dict(kept)
    x, noise = lit.validation_inputs(images, 0)
    with torch.no_grad():
        loss, _ = judge(x, noise, 0.1)
    last_row = [row for row in rows.rows if "val/loss" in row][-1]
    assert (last_row["step"], last_row["val/loss"]) == (12, pytest.approx(float(loss), rel=1e-9))


@pytest.mark.parametrize(
    "kind",
    slow(["model.multi_rate=true"], [], ["loss.recon=optimal_sigma"]),
    ids=str,
)
def test_a_continued_pack_is_separate_uninterrupted_runs(small_sweep: SmallSweep, kind: list[str]) -> None:
    if kind == ["model.multi_rate=true"]:
        kind = [*kind, "model.kl_weight_range=[0.1,10]"]
    members = [[*SMALL, *kind, "trainer.precision=64", f"seed={seed}"] for seed in (0, 1)]
    apart, ids = small_sweep(*members, name="apart")
    for member in ids:
        train_pack(apart, [member])
    together, _ = small_sweep(*members, name="together")
    train_pack(together, ids, should_stop=stopped_after(9))
    train_pack(together, ids)
    for one, other in zip(load_sweep(apart).runs, load_sweep(together).runs, strict=True):
        mine, theirs = (load_checkpoint(run.folder / LAST) for run in (one, other))
        assert any(name.startswith("average.") for name in mine["state_dict"])
        assert mine["best"]["step"] == theirs["best"]["step"]
        for name, tensor in mine["state_dict"].items():
            torch.testing.assert_close(theirs["state_dict"][name], tensor, rtol=1e-9, atol=1e-9)
        for step, row in validations(one.folder).items():
            assert validations(other.folder)[step] | {"time_s": 0} == pytest.approx(row | {"time_s": 0}, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "pack"])
def test_a_continued_run_is_the_uninterrupted_one_bit_for_bit(small_sweep: SmallSweep, packed: bool) -> None:
    members = [[*SMALL], [*SMALL, "seed=1"]][: 1 + packed]
    whole, ids = small_sweep(*members, name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep(*members, name="parts")
    for stop in (4, 9):
        train_pack(parts, ids, should_stop=stopped_after(stop))
    train_pack(parts, ids)
    for one, other in zip(load_sweep(whole).runs, load_sweep(parts).runs, strict=True):
        assert_same(one.folder, other.folder)


def test_what_is_validated_is_what_is_measured_shown_and_loaded(small_sweep: SmallSweep) -> None:
    folder, ids = small_sweep([*SMALL, "trainer.evaluate=true"], [*SMALL, "trainer.evaluate=true", "trainer.keep=last"])
    for member in ids:
        train_pack(folder, [member])
    for run in load_sweep(folder).runs:
        step, rows = load_model(run.folder).lit.step, validations(run.folder)
        assert run.evaluation()["step"] == step
        assert held_out_loss(run.folder, 0.5) == pytest.approx(rows[step]["val/loss"], rel=1e-5)
        loss = run.metrics["val/recon"] + 0.5 * run.metrics["val/kl"]
        assert loss == pytest.approx(rows[step]["val/loss"], rel=0.05)  # other noise
        shown, vae = run.arrays(), load_model(run.folder)
        originals = torch.from_numpy(shown["originals"]).permute(0, 3, 1, 2) / 255
        again = vae.decode(vae.encode(originals).mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(255 * again, shown["recon_mean"], atol=0.51)
        during = run.arrays("progress.npz")
        [at] = np.flatnonzero(during["steps"] == step)
        assert np.abs(during["recon_mean"][at].astype(int) - shown["recon_mean"]).max() <= 1
        trained = load_checkpoint(run.folder / LAST)["state_dict"]
        loaded = vae.lit.state_dict()
        assert any(not torch.equal(loaded[name], tensor) for name, tensor in trained.items())


def test_training_itself_is_as_it_is_without(small_sweep: SmallSweep) -> None:
    without, ids = small_sweep([*SMALL, "trainer.ema=0"], name="without")
    train_pack(without, ids)
    averaged, others = small_sweep([*SMALL], name="averaged")
    train_pack(averaged, others)
    one, other = (load_checkpoint(load_sweep(at).runs[0].folder / LAST)["state_dict"] for at in (without, averaged))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert not any(name.startswith("average.") for name in one)
    assert ids != others


def test_it_is_of_the_member_only_if_there_is_one(compose: Callable[..., dict[str, Any]]) -> None:
    before = compose()
    del before["trainer"]["ema"]
    assert (
        member_id(before, "f") == member_id(compose("trainer.ema=0"), "f") == member_id(compose("trainer.ema=0."), "f")
    )
    assert len({member_id(compose(f"trainer.ema={decay}"), "f") for decay in (0, 0.9, 0.99)}) == 3


@pytest.mark.parametrize("value", [1, -0.1, True, float("nan"), "0,9", None], ids=str)
def test_a_decay_out_of_its_range_is_refused(compose: Callable[..., dict[str, Any]], value: Any) -> None:
    config = compose()
    config["trainer"]["ema"] = value
    with pytest.raises(SettingsError, match=r"trainer\.ema"):
        check_member(config)


def test_a_linear_network_has_no_statistics_to_average() -> None:
    lit = LitVAE(Objective(linear((1, 8, 8), latent_dim=2), SquaredError()), ema=0.9)
    assert lit.average is not None
    assert lit.average.tensors().keys() == dict(lit.objective.named_parameters()).keys()
