"""One model for all KL weights, held to the closed form of the linear VAE, to its own parts, and to being continued."""

import copy
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import member_config

from vae_sweep import load_model
from vae_sweep.evaluate import main as evaluate_main
from vae_sweep.evaluation import curve_weights
from vae_sweep.models import networks as models
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.models.objective import Objective
from vae_sweep.models.own import OwnVAE
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.members import member_id
from vae_sweep.runs.reading import load_run, load_sweep
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.theory import Pixels, linear_vae, spectrum
from vae_sweep.theory.start import moments
from vae_sweep.training.build import build
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.lit_vae import LitVAE, OptimizerSettings
from vae_sweep.training.train import train_pack

SHAPE, D, B = (3, 8, 8), 4, 6
RANGE = (0.01, 10.0)
SmallSweep = Callable[..., tuple[Path, list[str]]]


def multi_rate(make: Any = models.conv, kl_weight: float = 1.0, **kwargs: Any) -> MultiRateVAE:
    """With gates that are not where they began."""
    torch.manual_seed(0)
    model = MultiRateVAE(make(SHAPE, D, **kwargs), kl_weight, RANGE)
    with torch.no_grad():
        for parameter in model.shift.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(B, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [models.conv, models.resnet, models.mlp, models.linear])
def test_a_batch_of_weights_is_each_image_at_its_own(make: Any, x: torch.Tensor) -> None:
    model = multi_rate(make)
    weights = torch.logspace(-2, 1, B)
    view, noise = model.at(weights), torch.randn(B, D)
    together = view.encode(x)
    out = view.decode(together.sample(noise))
    for i, weight in enumerate(weights.tolist()):
        row = slice(i, i + 1)
        alone = model.at(weight).encode(x[row])
        torch.testing.assert_close(alone.kl(), together.kl()[row], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.at(weight).decode(alone.sample(noise[row])), out[row], rtol=1e-4, atol=1e-5)


def test_without_a_weight_it_stands_at_its_own(x: torch.Tensor) -> None:
    model, noise = multi_rate(kl_weight=0.3), torch.randn(B, D)
    out, posterior, z = model(x, noise)
    view = model.at(0.3)
    torch.testing.assert_close(posterior.kl(), view.encode(x).kl(), rtol=0, atol=0)
    torch.testing.assert_close(out, view.decode(z), rtol=0, atol=0)
    assert (model.at(3.0).encode(x).mean - posterior.mean).abs().max() > 0.01


def test_units_shut_above_their_own_weight(x: torch.Tensor) -> None:
    model = multi_rate()
    ends = model.log_ends.exp()
    assert ends.min() > RANGE[0] * math.e  # whoever is shut everywhere would never learn again
    for weight in (0.02, 0.5, 9.0):
        opened = model.at(weight).open[0]
        torch.testing.assert_close(opened[ends > weight], (1 - weight / ends[ends > weight]).sqrt())
        assert (opened[ends <= weight] <= 1.1e-3).all()
        shut_kl = model.at(weight).encode(x).kl_per_unit()[:, ends <= weight]
        torch.testing.assert_close(shut_kl, torch.zeros_like(shut_kl), rtol=0, atol=1e-4)


def test_the_loss_is_the_mean_over_images_at_their_weights(x: torch.Tensor) -> None:
    objective = Objective(multi_rate(), likelihood("sse"), reduction="half_sum")
    weights, noise = torch.logspace(-2, 1, B), torch.randn(B, D)
    loss, terms = objective(x, noise, weights)
    torch.testing.assert_close(loss, (0.5 * terms["recon"] + weights * terms["kl"]).mean())
    singly = [objective(x[i : i + 1], noise[i : i + 1], float(weights[i]))[0] for i in range(B)]
    torch.testing.assert_close(loss, torch.stack(singly).mean(), rtol=1e-4, atol=1e-4)


def pictures() -> np.ndarray:
    """(100, 12, 12, 1) uint8: eigenvalues fall by a factor at each of 30 components."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((144, 30)))[0]
    scores = rng.standard_normal((100, 30)) * np.sqrt(4 * 0.7 ** np.arange(30))
    return np.round(255 * (scores @ basis.T + 0.5).clip(0, 1)).astype(np.uint8).reshape(100, 12, 12, 1)


def begun(images: np.ndarray, loss: dict[str, Any], one: float, many: bool) -> Objective:
    """The objective of an untrained run. one: its loss.kl_weight."""
    config = member_config("model=conv", "model.latent_grid=1", "model.latent_dim=20", "model.channels=2")
    config["loss"] |= loss | {"kl_weight": one}
    config["model"] |= {"multi_rate": many, "kl_weight_range": [1e-4 * one, 100 * one]}
    check_member(config)
    known = moments(images, np.arange(100), 20, 12, 1)
    return build(config, (1, 12, 12), 100, known).objective.eval()


def rate_and_error(objective: Objective, images: np.ndarray, weight: float) -> tuple[torch.Tensor, float]:
    """(KL of each unit (d,), SSE), means over the images, the latents' noise the same for all."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    noise = torch.randn(100, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, terms = objective(x, noise, weight)
        return objective.vae.at(weight).encode(x).kl_per_unit().mean(0), terms["sse"].mean().item()


# Of the same objective: how a reconstruction term and its weight are written, and the weight that stands for 1.
NOTATIONS: dict[str, list[tuple[dict[str, Any], float]]] = {
    "sse": [
        ({}, 1.0),
        ({"reduction": "mean_pixels"}, 1 / 144),
        ({"reduction": "mean_pixels_latents"}, 20 / 144),
        ({"recon": "gaussian", "scale": 0.1}, 50.0),
        ({"recon": "gaussian", "scale": 0.1, "reduction": "half_sum"}, 25.0),
    ],
    "bernoulli": [({"recon": "bernoulli"}, 1.0), ({"recon": "bernoulli", "reduction": "mean_pixels"}, 1 / 144)],
    "laplace": [
        ({"recon": "laplace"}, 1.0),
        ({"recon": "laplace", "scale": 0.1}, 10.0),
        ({"recon": "laplace", "scale": 0.1, "reduction": "mean_pixels"}, 10 / 144),
    ],
}


@pytest.mark.parametrize("family", NOTATIONS)
def test_it_begins_alike_however_the_objective_is_written(family: str) -> None:
    images = pictures()
    written = [(begun(images, loss, one, many=True), one) for loss, one in NOTATIONS[family]]
    for weight in (0.02, 0.2, 1.0):
        first, *others = [rate_and_error(objective, images, weight * one) for objective, one in written]
        assert 0 < first[0].sum() < 200
        for rate, error in others:
            torch.testing.assert_close(rate, first[0], rtol=1e-4, atol=1e-4)
            assert error == pytest.approx(first[1], rel=1e-4)


@pytest.mark.parametrize("family", NOTATIONS)
def test_it_begins_where_runs_of_one_weight_do(family: str) -> None:
    """Of the linear optimum the same rate; of Laplace, whose noise is another at each weight, the same units."""
    images = pictures()
    loss, one = NOTATIONS[family][-1]
    model = begun(images, loss, one, many=True)
    for weight in (0.2, 1.0, 3.0):
        rate, error = rate_and_error(model, images, weight * one)
        alone, own_error = rate_and_error(begun(images, loss, weight * one, many=False), images, weight * one)
        assert alone.max() > 0.1
        assert ((rate > 1e-3) == (alone > 1e-3)).all()
        if family != "laplace":
            torch.testing.assert_close(rate, alone, rtol=1e-3, atol=1e-3)
            assert error == pytest.approx(own_error, rel=1e-3)


def test_weights_are_drawn_from_the_density_they_should_have() -> None:
    model = multi_rate()
    weights = torch.cat([model.draw(torch.rand(16)) for _ in range(500)]).double()
    assert weights.min() >= RANGE[0]
    assert weights.max() <= RANGE[1]
    low, high = (end**-0.4 for end in RANGE)
    for weight in (0.02, 0.1, 1.0):  # distribution function of ln beta with density ~ beta^-0.4
        expected = (low - weight**-0.4) / (low - high)
        assert (weights <= weight).double().mean().item() == pytest.approx(expected, abs=0.01)
    each = model.draw(torch.zeros(4))  # one in each part of the range
    assert each[0] == pytest.approx(RANGE[0])
    assert (each[1:] > each[:-1]).all()


@pytest.mark.slow
def test_linear_truth() -> None:
    """One model on the closed form of every weight: SSE + beta KL within 1 % from end to end of the range."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    scores = rng.standard_normal((256, 9)) * np.sqrt(0.4 * 0.4 ** np.arange(9))
    images = (scores @ basis.T).reshape(256, 3, 3, 1)
    known = spectrum(Pixels(images + 0.5, np.arange(256)))
    x = torch.tensor(images + 0.5, dtype=torch.float32).permute(0, 3, 1, 2)
    torch.manual_seed(0)
    model = MultiRateVAE(models.linear((1, 3, 3), 3), 0.1, (0.01, 1.0))
    objective = Objective(model, likelihood("sse"))
    lit = LitVAE(objective, 0.1, optimizer=OptimizerSettings(0.05), total_steps=1500, log_every_n_steps=10**6)
    lit.configure_optimizers()
    for _ in range(lit.total_steps):
        shuffled = x[torch.randperm(len(x))]
        loss, _ = objective(shuffled, lit.noise(x), lit.weights_for(x))
        loss.backward()
        lit.update()
        lit.step += 1
    # Exact in the noise: the SSE of a linear decoder is quadratic, so its mean is that over +- sqrt(d) on each axis.
    axes = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)])
    for weight in (0.01, 0.03, 0.1, 0.3, 0.6, 1.0):
        with torch.no_grad():
            losses = [objective(x, axis.expand(len(x), -1), weight)[0].item() for axis in axes]
        assert np.mean(losses) == pytest.approx(linear_vae(known, 3, weight).loss, rel=0.01), weight


# ---- runs


def rows(run: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "time_s"} for row in read_rows(run / "metrics.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "pack"])
def test_continued_run_is_the_uninterrupted_one_bit_for_bit(small_sweep: SmallSweep, packed: bool) -> None:
    members = [
        ["model.multi_rate=true", "model.channels=2", "trainer.max_epochs=2", f"seed={seed}"]
        for seed in range(1 + packed)
    ]
    whole, ids = small_sweep(*members, name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep(*members, name="parts")
    polled = iter(range(1, 1000))
    stopped = train_pack(parts, ids, should_stop=lambda: next(polled) >= 12)
    assert {result["status"] for result in stopped} == {"interrupted"}
    train_pack(parts, ids)
    for one, other in zip(load_sweep(whole).runs, load_sweep(parts).runs, strict=True):
        assert rows(one.folder) == rows(other.folder)
        mine, theirs = (load_checkpoint(run.folder / LAST)["state_dict"] for run in (one, other))
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.slow
def test_pack_equals_separate_runs(small_sweep: SmallSweep) -> None:
    common = ["model.multi_rate=true", "trainer.max_steps=30", "trainer.precision=64"]
    members = [common, [*common, "seed=1"], [*common, "optimizer.lr=1e-3"]]
    apart, ids = small_sweep(*members, name="apart")
    together, _ = small_sweep(*members, name="together")
    for member in ids:
        train_pack(apart, [member])
    train_pack(together, ids)
    for one, other in zip(load_sweep(apart).runs, load_sweep(together).runs, strict=True):
        mine, theirs = (load_checkpoint(run.folder / LAST)["state_dict"] for run in (one, other))
        for name, tensor in mine.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def trained(small_sweep_at: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a multi-rate run with its evaluation, and of two separate weights that are not trained."""
    folder = tmp_path_factory.mktemp("multi_rate") / "sweep"
    multi_rate = ["model.multi_rate=true", "model.channels=2", "loss.kl_weight=1", "trainer.evaluate=true"]
    ids = small_sweep_at(folder, multi_rate, ["loss.kl_weight=0.123"], ["loss.kl_weight=30"])
    train_pack(folder, ids[:1])
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A multi-rate run to do with as one likes."""
    return load_sweep(shutil.copytree(trained, tmp_path / "sweep")).runs[0].folder


def test_a_weight_of_the_sweep_takes_the_place_of_the_even_one_beside_it() -> None:
    also = [10**-0.4, 10**-0.6, 1.0, 0.005, 0.5]
    found = curve_weights(multi_rate(), also)
    even = 10 ** np.linspace(-2, 1, 16)
    expected = sorted({*even, 0.5})
    assert found == pytest.approx(expected, rel=1e-4)
    assert set(also) - {0.005} <= set(found)
    assert curve_weights(multi_rate()) == [float(f"{weight:.4g}") for weight in even]


def test_a_run_writes_its_curve(run: Path) -> None:
    curve, evaluation = read_json(run / "curve.json"), read_json(run / "evaluation.json")
    weights = [row["kl_weight"] for row in curve["val"]]
    assert len(weights) == 17  # 16, of which one is the target, and the separate run's that is in range
    assert weights == sorted(weights)
    assert [weights[0], weights[-1]] == [0.01, 10]
    assert {0.123, 1.0} <= set(weights)
    for split in ("train", "val"):
        (at_target,) = (row for row in curve[split] if row["kl_weight"] == 1)
        terms = ["sse", "kl", "mse", "active_units"]
        terms += ["sse_mean", "psnr_mean", "elbo_calibrated"] if split == "val" else []
        for term in terms:  # by the code that evaluates separate runs
            assert at_target[term] == pytest.approx(evaluation[split][term], rel=1e-5)
        assert all(row["loss"] == pytest.approx(row["sse"] + row["kl_weight"] * row["kl"]) for row in curve[split])
    assert all("kl_weight" not in row for row in rows(run) if "train/loss" in row)


def test_a_run_writes_its_pictures_at_every_weight_of_its_curve(run: Path) -> None:
    at, evaluated = load_run(run).arrays("curve.npz"), load_run(run).arrays()
    weights = at["kl_weights"].tolist()
    assert weights == [row["kl_weight"] for row in read_json(run / "curve.json")["val"]]
    for name in ("recon_mean", "recon_sampled", "prior_samples"):
        assert at[name].shape[0] == 17
        assert at[name].dtype == np.uint8
        here = at[name][weights.index(1.0)]  # evaluation.npz is at the same weight, with the same noise
        assert np.abs(here.astype(int) - evaluated[name][: len(here)]).max() <= 1
    x = torch.tensor(evaluated["originals"]).permute(0, 3, 1, 2) / 255
    model = load_model(run)
    for k in (0, 8, 16):
        expected = (model.at(weights[k]).reconstruct(x) * 255).permute(0, 2, 3, 1).numpy()
        assert np.abs(at["recon_mean"][k] - expected[: len(at["recon_mean"][k])]).max() <= 1


def test_a_run_is_measured_at_other_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_main([str(run), "--weights", "0.05,0.7"]) == 0
    assert "kl_weight 0.05: sse" in capsys.readouterr().out
    assert {0.05, 0.123, 0.7} <= {row["kl_weight"] for row in read_json(run / "curve.json")["val"]}
    with pytest.raises(SystemExit, match=r"^error: --weights 20: .* was trained on 0.01 to 10"):
        evaluate_main([str(run), "--weights", "20"])


def test_a_loaded_model_at_a_weight(run: Path) -> None:
    model = load_model(run)
    x = torch.rand(2, *model.image_shape)
    torch.testing.assert_close(model.at(1.0).reconstruct(x), model.reconstruct(x))
    assert model.at(0.05).encode(x).kl().mean() > model.at(5.0).encode(x).kl().mean()
    with pytest.raises(ValueError, match=r"trained on 0\.01 to 10"):
        model.at(30)


def test_a_model_of_one_weight_has_no_other(small_sweep: SmallSweep) -> None:
    sweep, ids = small_sweep(["loss.kl_weight=1"])
    train_pack(sweep, ids)
    folder = load_sweep(sweep).runs[0].folder
    with pytest.raises(ValueError, match="one weight"):
        load_model(folder).at(0.1)
    with pytest.raises(SystemExit, match=r"^error: .*multi_rate"):
        evaluate_main([str(folder), "--weights", "0.1"])


# ---- settings


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.posterior=full", "model.posterior=full"),
        ("loss.divergence=reverse_kl", "loss.divergence=reverse_kl"),
        ("loss.free_bits=0.1", "loss.free_bits=0.1"),
        ("loss.weight_kl_weight=1", "loss.weight_kl_weight=1"),
        ("loss.recon=optimal_sigma", "loss.recon=optimal_sigma"),
        ("kl_schedule=linear", "kl_schedule._target_="),
        ("kl_schedule=geco kl_schedule.goal=1", "kl_schedule._target_="),
        ("loss.kl_weight=30", "outside model.kl_weight_range"),
        ("model.kl_weight_range=[1,0.1]", "two rising numbers"),
        ("model.kl_weight_range=[0,1]", "two rising numbers"),
    ],
)
def test_what_it_cannot_be_combined_with(override: str, named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_member(member_config("model.multi_rate=true", *override.split()))
    assert named in str(refused.value)


def test_a_learned_scale_is_refused() -> None:
    with pytest.raises(SettingsError, match="learn_scale"):
        check_member(member_config("model.multi_rate=true", "loss.recon=gaussian", "loss.learn_scale=true"))


def test_one_member_whatever_the_weight() -> None:
    def identity(*overrides: str) -> str:
        return member_id(member_config(*overrides), "data")

    one = identity("model.multi_rate=true", "loss.kl_weight=1")
    assert one == identity("model.multi_rate=true", "loss.kl_weight=0.1")
    assert one != identity("model.multi_rate=true", "model.kl_weight_range=[0.1,1]")
    assert identity("loss.kl_weight=1") == identity("loss.kl_weight=1", "model.kl_weight_range=[0.1,1]")
    assert identity("loss.kl_weight=1") not in (one, identity("loss.kl_weight=0.1"))
    # An autoencoder has no KL, and no weight of it.
    assert identity("objective=autoencoder") == identity("objective=autoencoder", "model.multi_rate=true")


def test_networks_without_an_encoder_and_a_decoder_are_refused() -> None:
    with pytest.raises(TypeError, match="encoder and decoder"):
        MultiRateVAE(OwnVAE(copy.deepcopy(models.linear(SHAPE, D)), (D,)), 1.0, RANGE)
    with pytest.raises(ValueError, match="kl_weight_range"):
        MultiRateVAE(models.linear(SHAPE, D), 1.0, (1.0, 0.1))
    with pytest.raises(ValueError, match="plain KL"):
        Objective(multi_rate(), likelihood("sse"), deterministic=True)
