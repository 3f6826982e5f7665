"""Everything evaluation writes, for a linear VAE put at its optimum by PCA: then all of it is known in closed form."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vae_sweep import evaluate as door
from vae_sweep import load_model
from vae_sweep.analysis import glossary
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.evaluation import Evaluation, Settings, evaluate, export
from vae_sweep.evaluation.bounds import sizes_of_k
from vae_sweep.evaluation.codes import Split, cut, encode, joined, noise_for
from vae_sweep.evaluation.noise import beta_in_force, noise_at_weight_1, own_noise
from vae_sweep.models.code_sampler import CodeSampler
from vae_sweep.models.divergences import KL, Capacity, FreeBits, ReverseKL
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.networks import conv, linear
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import Diagonal
from vae_sweep.runs.files import write_json
from vae_sweep.runs.reading import load_run, read_manifest
from vae_sweep.theory import LinearVAE, Pixels, Spectrum, linear_vae, negative_log_likelihood, spectrum
from vae_sweep.theory.conventions import Sizes
from vae_sweep.training.train import train_pack

BETA, LATENTS = 0.02, 5
EVERYTHING = Settings(None, 50, None, 400, None, 20, 100)


def gaussian_images(count: int = 2000) -> np.ndarray:
    """(count, 4, 4, 1) float32 near 0.5, Gaussian, with eigenvalues from 0.1 down."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    scores = rng.standard_normal((count, 16)) * np.sqrt(0.1 * 0.5 ** np.arange(16))
    return (0.5 + scores @ basis.T).reshape(count, 4, 4, 1).astype(np.float32)


def same_images_twice(images: np.ndarray, **known: Any) -> ImageData:
    """The same rows as training and as held-out images, so that one covariance rules both."""
    rows = np.arange(len(images))
    return ImageData(images=images, train=rows, val=rows, fingerprint="gaussian", name="gaussian", **known)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return same_images_twice(gaussian_images())


@pytest.fixture(scope="module")
def known(data: ImageData) -> Spectrum:
    return spectrum(Pixels(data.images))


@pytest.fixture(scope="module")
def optimum(known: Spectrum) -> LinearVAE:
    return linear_vae(known, LATENTS, BETA)


def at_its_optimum(images: np.ndarray, beta: float, recon: str = "sse", **objective: Any) -> Objective:
    """A linear VAE with the weights of Lucas et al. 2019, section 3."""
    flat = images.reshape(len(images), -1).astype(float)
    mean, s2 = flat.mean(0), beta / 2
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    values, vectors = values[::-1][:LATENTS], vectors[:, ::-1][:, :LATENTS]
    on = values > s2
    decoder = vectors * np.sqrt(np.where(on, values - s2, 0))
    encoder = decoder.T / np.where(on, values, 1)[:, None]
    vae = linear(image_shape=(1, 4, 4), latent_dim=LATENTS)
    linear_encoder, linear_decoder = vae.encoder, vae.decoder[0]
    with torch.no_grad():
        linear_encoder.mean.weight.copy_(torch.from_numpy(encoder))
        linear_encoder.mean.bias.copy_(torch.from_numpy(-encoder @ mean))
        linear_encoder.scale.copy_(torch.from_numpy(np.log(np.where(on, s2 / values, 1))))
        linear_decoder.weight.copy_(torch.from_numpy(decoder))
        linear_decoder.bias.copy_(torch.from_numpy(mean))
    return Objective(vae, likelihood(recon), **objective)


@pytest.fixture(scope="module")
def found(data: ImageData) -> Evaluation:
    return evaluate(at_its_optimum(data.images, BETA), BETA, 0, data, 64, EVERYTHING)


def test_rate_and_distortion(found: Evaluation, optimum: LinearVAE) -> None:
    for split in ("train", "val"):
        values = found.values[split]
        assert values["images"] == 2000
        assert values["kl"] == pytest.approx(optimum.rate, rel=1e-4)
        assert values["sse_mean"] == pytest.approx(optimum.distortion_mean, rel=1e-4)
        assert values["sse"] == values["recon"] == pytest.approx(optimum.distortion, rel=0.02)
        assert values["mse"] == pytest.approx(values["sse"] / 16)
        assert values["active_units"] == optimum.active_units
        assert values["implied_sigma"] == pytest.approx(math.sqrt(BETA / 2))
        assert values["sigma_calibrated"] == pytest.approx(math.sqrt(found.values["train"]["mse"]))
        assert values["psnr"] <= values["psnr_mean"]


def test_bounds_are_tight_and_flat(found: Evaluation, known: Spectrum) -> None:
    exact = negative_log_likelihood(known, LATENTS, BETA)
    values = found.values["val"]
    for k in (1, 10, 100):
        assert values[f"nll_{k}"] == pytest.approx(values["nll_1"], abs=1e-3)
    # The bound is over 20 images, the closed form over all; the training-set ELBO is over all, but sampled.
    assert values["nll_100"] == pytest.approx(exact, abs=4 * values["nll_se"])
    assert -values["elbo"] == pytest.approx(exact, abs=0.2)
    assert values["ess"] == pytest.approx(100, rel=1e-3)
    assert values["nll_mc_se"] < 1e-2
    # At another sigma the posterior is no longer the right one.
    assert values["nll_calibrated_1"] >= values["nll_calibrated_10"] >= values["nll_calibrated_100"]
    assert values["bound_images"] == 20


def test_elbos_at_three_sigmas(found: Evaluation) -> None:
    values = found.values["val"]
    for name, sigma in (
        ("elbo", math.sqrt(BETA / 2)),
        ("elbo_calibrated", values["sigma_calibrated"]),
        ("elbo_beta1", 0.5**0.5),
    ):
        nats = values["sse"] / (2 * sigma**2) + 8 * math.log(2 * math.pi * sigma**2)
        assert values[name] == pytest.approx(-nats - values["kl"], rel=1e-6)
    assert values["elbo_calibrated"] >= max(values["elbo"], values["elbo_beta1"]) - 1e-6


def test_the_aggregate_posterior_is_the_prior(found: Evaluation, optimum: LinearVAE) -> None:
    values = found.values["train"]
    assert values["log_n"] == pytest.approx(math.log(2000))
    for kind in ("leave_in", "leave_one_out"):
        assert values[f"mi_{kind}"] == pytest.approx(optimum.rate, abs=0.25)
        assert values[f"tc_{kind}"] == pytest.approx(0, abs=0.25)
        assert values[f"dwkl_{kind}"] == pytest.approx(0, abs=0.05)
    assert 2 * values["mmd2_null_low"] < values["mmd2"] < values["mmd2_null_high"]


def test_moments_gradients_and_holes(found: Evaluation, optimum: LinearVAE) -> None:
    values = found.values["train"]
    assert values["moment_second"] == pytest.approx(1, abs=1e-4)
    assert values["moment_second_worst"] == pytest.approx(1, abs=1e-4)
    assert values["moment_mean"] == pytest.approx(0, abs=1e-4)
    assert values["moment_rate"] == pytest.approx(values["kl"], rel=1e-4)
    assert values["beta_hat"] == pytest.approx(BETA, rel=0.05)
    assert values["grad_cosine"] < -0.95
    active = optimum.activity > 0.01
    expected = ((1 - optimum.activity[active]) ** 2).mean()
    held_out = found.values["val"]
    assert held_out["hole_cycle_error"] == pytest.approx(expected, rel=0.3)
    assert held_out["hole_cycle_error_codes"] == pytest.approx(held_out["hole_cycle_error"], rel=0.3)


def test_one_fitted_component_equals_the_prior(found: Evaluation, optimum: LinearVAE) -> None:
    """The aggregate posterior of the optimum is N(0, I): fitting a sampler finds it again, and gains nothing."""
    sampler = CodeSampler.from_arrays(found.sampler)
    assert (sampler.components, sampler.codes) == (1, 2000)
    covariance = sampler.factors[0] @ sampler.factors[0].T
    assert np.abs(covariance - np.eye(LATENTS)).max() < 0.1
    assert np.abs(sampler.means).max() < 0.1
    assert sampler.left_out_nats == pytest.approx(0, abs=0.02)
    values = found.values["val"]
    assert (values["code_std"], values["code_correlation"]) == (pytest.approx(1, abs=0.02), pytest.approx(0, abs=0.04))
    for kernels in found.values["samples"]["distances"].values():
        for pairs in kernels.values():
            assert pairs["holes"]["p"] > 0.01
            assert pairs["fitted"]["low"] < pairs["prior"]["high"]
            assert pairs["prior"]["low"] < pairs["fitted"]["high"]


def test_arrays(found: Evaluation, data: ImageData, optimum: LinearVAE) -> None:
    arrays = found.arrays
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "originals": (8, 4, 4, 1),
        "recon_mean": (8, 4, 4, 1),
        "recon_sampled": (8, 4, 4, 1),
        "interpolations": (4, 8, 4, 4, 1),
        "latent_mean": (1000, 5),
        "latent_std": (1000, 5),
        "activity": (5,),
        "kl_per_unit": (5,),
        "mean_image": (4, 4, 1),
        "prior_samples": (64, 4, 4, 1),
        "traversals": (5, 7, 4, 4, 1),
        "traversal_units": (5,),
        "traversal_values": (5, 7),
        "fitted_samples": (64, 4, 4, 1),
        "code_std": (5,),
        "traversal_start": (5,),
        "val_image_recon": (len(data.val),),
        "val_image_sse": (len(data.val),),
        "val_image_kl": (len(data.val),),
        "val_image_psnr_mean": (len(data.val),),
    }
    assert arrays["val_image_sse"].mean() == pytest.approx(found.values["val"]["sse"], rel=1e-5)
    assert arrays["val_image_psnr_mean"].mean() == pytest.approx(found.values["val"]["psnr_mean"], rel=1e-5)
    assert arrays["kl_per_unit"] == pytest.approx(optimum.kl_per_unit, rel=1e-3, abs=1e-6)
    assert arrays["activity"] == pytest.approx(optimum.activity, rel=1e-3, abs=1e-6)
    assert arrays["latent_std"][0] ** 2 == pytest.approx(optimum.posterior_variance, rel=1e-4)
    assert arrays["traversal_units"].tolist() == [0, 1, 2, 3, 4]
    assert np.abs(arrays["mean_image"] - np.round(255 * data.images.mean(0))).max() <= 1
    # Paths begin and end at the reconstructions of held-out images, to a grey level, since they are decoded in another
    # batch; walks leave the first one's code in one unit.
    for end, image in ((0, 2), (-1, 3)):
        reached = arrays["interpolations"][1, end].astype(int)
        assert np.abs(reached - arrays["recon_mean"][image]).max() <= 1
    # Within three deviations of the codes, which at the optimum are the prior's.
    assert arrays["traversal_values"] == pytest.approx(np.tile([-3.0, -2, -1, 0, 1, 2, 3], (5, 1)), abs=0.3)
    walks = zip(*(arrays[f"traversal{name}"].astype(float) for name in ("s", "_start", "_values")), strict=True)
    for walk, start, values in walks:
        inside = ((walk[2:5] > 0) & (walk[2:5] < 255)).all(0)  # not clipped; -1, 0, 1: this decoder is linear
        through = walk[3] + (start - values[3]) * (walk[4] - walk[2]) / (values[4] - values[2])
        assert np.abs(through - arrays["recon_mean"][0])[inside].max() <= 1.5 + abs(start)
    rows = chosen(data.val, None)
    expected = np.clip(np.round(255 * data.images[rows[:8]].astype(np.float32)), 0, 255)
    np.testing.assert_array_equal(arrays["originals"], expected.astype(np.uint8))


def test_the_same_twice_and_no_trace(data: ImageData) -> None:
    objective = at_its_optimum(data.images, BETA)
    objective.vae.requires_grad_(False)
    objective.train()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    state = torch.get_rng_state()
    small = Settings(50, 50, 50, 20, 50, 3, 10)
    first, second = (evaluate(objective, BETA, 0, data, 64, small) for _ in range(2))
    assert first.values == second.values
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    assert objective.training
    assert not any(parameter.requires_grad for parameter in objective.vae.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())


def test_terms_do_not_depend_on_the_batch() -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, 12, 12, 3), dtype=np.uint8)
    data = same_images_twice(images)
    torch.manual_seed(0)
    objective = Objective(conv((3, 12, 12), latent_dim=4, channels=4), likelihood("sse"))
    split = Split(data, data.val, torch.device("cpu"))
    noise = noise_for((23, 4), split.device, "test")
    whole, parts = encode(objective, split, noise, batch=23), encode(objective, split, noise, batch=7)
    assert whole.terms.keys() == parts.terms.keys()
    for name, values in whole.terms.items():
        assert torch.allclose(values, parts.terms[name], rtol=1e-5), name
    assert torch.allclose(whole.posterior.mean, parts.posterior.mean, atol=1e-6)
    # A mean over images, the uneven last batch counted by its size.
    x = split[:]
    with torch.no_grad():
        out, posterior, _ = objective.vae(x, noise)
    assert parts.means()["sse"] == pytest.approx(float(((out - x) ** 2).flatten(1).sum(1).mean()), rel=1e-5)
    assert parts.means()["kl"] == pytest.approx(float(posterior.kl().mean()), rel=1e-5)


def test_a_posterior_of_somebody_s_own_is_joined_and_cut() -> None:
    class Own(Diagonal):
        def __init__(self, mean: torch.Tensor) -> None:
            super().__init__(mean, torch.zeros_like(mean))
            self.temperature, self.learned, self.words = 0.5, torch.tensor(2.0), ("a", "b")

    mean = torch.arange(10.0).view(5, 2)
    whole = joined([Own(mean[:2]), Own(mean[2:])])
    part = cut(whole, slice(1, 4))
    assert type(part) is Own
    assert torch.equal(whole.mean, mean)
    assert torch.equal(part.mean, mean[1:4])
    assert part.logvar.shape == (3, 2)
    assert (part.temperature, part.learned, part.words) == (0.5, torch.tensor(2.0), ("a", "b"))


def test_images_are_chosen_by_the_data_alone() -> None:
    rows = np.arange(100, 200)
    assert chosen(rows, 10).tolist() == chosen(rows, 20)[:10].tolist()
    assert sorted(chosen(rows, None)) == rows.tolist()
    assert chosen(rows, 10).tolist() != rows[:10].tolist()


def test_dynamic_binarisation_draws_each_image_once() -> None:
    images = np.full((6, 8, 8, 1), 128, np.uint8)
    data = same_images_twice(images, binarize="dynamic")
    split = Split(data, np.arange(6), torch.device("cpu"))
    x = split[:]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(x[0], x[1])
    assert torch.equal(split[2:4], x[2:4])
    assert torch.equal(Split(data, np.array([3]), torch.device("cpu"))[:], x[3:4])


def test_an_autoencoder_has_no_probabilities(data: ImageData) -> None:
    autoencoder = at_its_optimum(data.images, BETA, deterministic=True)
    found = evaluate(autoencoder, BETA, 0, data, 64, Settings(50, 50, 50, 20, 50, 3, 10))
    expected = {f"{name}{suffix}" for name in ("recon", "sse", "mse", "psnr", "ssim") for suffix in ("", "_mean")}
    expected |= {"distance_blur", "distance_fitted", "distance_fitted_holes", "code_std", "code_correlation"}
    expected |= {"sampler_components", "sampler_left_out_nats", "sampler_novelty"}
    assert found.values["val"].keys() == expected | {"images", "sigma_calibrated"}
    assert found.values["val"]["sse"] == found.values["val"]["sse_mean"]
    assert found.arrays.keys() == {
        "originals", "recon_mean", "interpolations", "latent_mean", "activity", "mean_image", "fitted_samples",
        "code_std", "val_image_recon", "val_image_sse", "val_image_psnr_mean",
    }  # fmt: skip


def test_factors_and_labels(data: ImageData) -> None:
    flat = data.images.reshape(2000, 16)
    vectors = np.linalg.eigh(np.cov(flat.T))[1][:, ::-1]
    factors = (flat - flat.mean(0)) @ vectors[:, :2]  # what the first two units code
    with_factors = same_images_twice(data.images, factors=factors, factor_names=("a", "b"), labels=np.arange(2000) % 3)
    found = evaluate(
        at_its_optimum(data.images, BETA), BETA, 0, with_factors, 64, Settings(1000, 50, 50, 20, 50, 3, 10)
    )
    assert found.values["train"]["mig_mean"] > 0.7
    assert 0.1 < found.values["train"]["mig_sampled"] < found.values["train"]["mig_mean"]
    assert found.arrays["latent_labels"].tolist() == (chosen(with_factors.val, 1000) % 3).tolist()


# ---- noise

SIZES = Sizes(pixels=16, latent_dim=LATENTS, batch_size=8)


def test_own_noise_makes_every_objective_a_multiple_of_the_elbo() -> None:
    """recon + w KL, less its own -ELBO times a constant, is the same for any image and any KL."""
    generator = torch.Generator().manual_seed(0)
    x, kl = torch.rand(5, 1, 4, 4, generator=generator), torch.rand(5, generator=generator) * 9
    out = x + 0.1 * torch.randn(x.shape, generator=generator)
    vae, weight = linear((1, 4, 4), LATENTS), 0.3
    sse = ((out - x) ** 2).flatten(1).sum(1)
    for name, options in (("sse", {}), ("gaussian", {"scale": 0.2}), ("laplace", {"scale": 0.2})):
        term = likelihood(name, **options)
        noise = own_noise(Objective(vae, term), weight, SIZES)
        assert noise is not None
        recon = term(out, x)
        negative_elbo = noise.nats(recon, sse) + kl
        rest = (recon + weight * kl) / weight - negative_elbo
        assert rest.std() < 1e-4 * rest.abs().mean()


def test_laplace_noise_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 4, 4, generator=generator)
    out = x + 0.1 * torch.randn(x.shape, generator=generator)
    term = likelihood("laplace", scale=0.2)
    noise = own_noise(Objective(linear((1, 4, 4), LATENTS), term), 0.5, SIZES)
    assert noise is not None
    expected = -torch.distributions.Laplace(out, 0.1).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(noise.nats(term(out, x), torch.zeros(3)), expected, rtol=1e-4)


def test_noise_at_weight_1() -> None:
    sse = torch.tensor([2.0])
    for name, expected in (("sse", 2.0 + 8 * math.log(math.pi)), ("bernoulli", 7.0)):
        noise = noise_at_weight_1(likelihood(name), 16)
        assert noise is not None
        assert noise.nats(torch.tensor([7.0]), sse).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"divergence": ReverseKL()},
        {"divergence": FreeBits(0.1)},
        {"divergence": Capacity(KL(), float)},
        {"deterministic": True},
    ],
)
def test_objectives_that_are_no_elbo_have_no_noise_of_their_own(options: dict[str, Any]) -> None:
    objective = Objective(linear((1, 4, 4), LATENTS), likelihood("sse"), **options)
    assert own_noise(objective, 0.5, SIZES) is None
    assert beta_in_force(objective, 0.5, SIZES, 0.1) is None


def test_sizes_of_k() -> None:
    assert sizes_of_k(100) == (1, 10, 100)
    assert sizes_of_k(250) == (1, 10, 250)
    assert sizes_of_k(1) == (1,)


# ---- door


def test_from_the_checkpoint(
    small_sweep: Callable[..., tuple[Path, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, ids = small_sweep(["trainer.evaluate=false"], ["objective=autoencoder", "trainer.evaluate=false"])
    for member in ids:
        train_pack(sweep, [member])
    arguments = ["--k", "10", "--bound-images", "3", "--images", "20", "--gradient-images", "20"]
    assert door.main([str(sweep), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "active units" in lines[0]
    assert "active units" not in lines[1]
    folder = sweep / f"000-{ids[0]}"
    values, arrays = load_run(folder).evaluation(), load_run(folder).arrays()
    written = json.loads((folder / "evaluation.json").read_text())
    assert values == {key: value for key, value in written.items() if key != "crc32"}
    assert values["schema"] == 1
    assert values["step"] == load_run(folder).result["steps"]
    assert values["val"]["images"] == 20
    assert values["settings"]["k"] == 10
    assert {"nll_1", "nll_10", "elbo", "hole_cycle_error", "mi_leave_in", "mmd2"} <= values["val"].keys()
    assert {"beta_hat", "moment_second"} <= values["train"].keys()
    assert {*values["train"], *values["val"]} <= glossary.keys()
    assert arrays["originals"].shape == (8, 16, 16, 3)
    assert "prior_samples" not in load_run(sweep / f"001-{ids[1]}").arrays()


def test_refusals(
    small_sweep: Callable[..., tuple[Path, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=f"^error: {tmp_path} is neither a run with a checkpoint nor a sweep$"):
        door.main([str(tmp_path)])
    sweep, _ = small_sweep(["loss.kl_weight=0.5"])
    with pytest.raises(SystemExit, match=f"^error: {sweep} has no finished run yet$"):
        door.main([str(sweep)])
    with pytest.raises(SystemExit) as stop:
        door.main([str(sweep), "--k", "0"])
    assert stop.value.code == 2
    assert "'0' is not a whole number >= 1" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("of a metric"), OSError(2, "of a metric")])
def test_a_mistake_in_somebodys_metric_keeps_its_traceback(error: Exception, tmp_path: Path, monkeypatch) -> None:
    def measured(*_):
        raise error

    monkeypatch.setattr(door, "_run_folders", lambda path: [path])
    monkeypatch.setattr(door, "evaluate_run", measured)
    with pytest.raises(type(error), match="of a metric"):
        door.main([str(tmp_path)])


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(door, "_trained", lambda *_: (torch.nn.Linear(1, 1), None, {}))
    monkeypatch.setattr(torch.nn.Linear, "objective", torch.nn.Identity(), raising=False)
    monkeypatch.setattr(export, "all_codes", lambda *_: {"mean": np.zeros((2, 3))})
    with pytest.raises(door.EvaluationError, match=r"^/proc/no/codes.npz: cannot be written: No such file"):
        door.codes_of_run(tmp_path, Path("/proc/no/codes.npz"))


def test_other_images_are_refused(
    small_sweep: Callable[..., tuple[Path, list[str]]], images: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.npy"
    np.save(mine, np.load(images))
    sweep, ids = small_sweep([f"data.path={mine}", "trainer.max_steps=2", "trainer.evaluate=false"])
    train_pack(sweep, ids)
    np.save(mine, 255 - np.load(images))
    with pytest.raises(SystemExit, match=r"^error: .* was trained on other images"):
        door.main([str(sweep)])
    assert not list(sweep.rglob("evaluation.*"))


def test_images_that_have_moved_since_are_found_where_the_sweep_was_told(
    small_sweep: Callable[..., tuple[Path, list[str]]], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.npy", tmp_path / "new.npy"
    np.save(old, np.load(images))
    sweep, ids = small_sweep([f"data.path={old}", "trainer.max_steps=1", "trainer.evaluate=false"])
    train_pack(sweep, ids)
    old.rename(new)
    run = sweep / f"000-{ids[0]}"
    codes = ["--codes", str(tmp_path / "codes.npz")]
    with pytest.raises(SystemExit, match=r"old\.npy"):
        door.main([str(run), *codes])

    manifest = read_manifest(sweep)
    section = manifest["members"][0]["config"]["data"]
    for told, begun_in in ((str(new), "/nowhere"), (new.name, str(tmp_path))):
        section["path"], manifest["cwd"] = told, begun_in
        write_json(sweep / "sweep.json", manifest)
        monkeypatch.chdir(run)
        for folder in (".", str(run)):
            assert door.main([folder, *codes]) == 0
        pixels = {image.tobytes() for image in np.load(images)}
        for name in (run, run / "checkpoints/last.ckpt"):
            found = (load_model(name).images("val", None) * 255).round().byte().movedim(1, -1).numpy()
            assert {image.tobytes() for image in found} < pixels
    monkeypatch.setenv("NEW", str(new))
    section["path"], manifest["members"][0]["config"]["withheld"] = "${oc.env:NEW}", {"data.path": None}
    write_json(sweep / "sweep.json", manifest)
    assert door.main([str(run), *codes]) == 0
