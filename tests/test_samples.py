"""Blur, holes and the fitted sampler, on codes and decoders whose truth is known; and samples of a trained run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vae_sweep
from vae_sweep import evaluate as door
from vae_sweep.data.image_data import ImageData
from vae_sweep.evaluation.codes import Split, encode, noise_for
from vae_sweep.evaluation.samples import Samples, codes_of, judge, novelty, scale_of
from vae_sweep.models.grid_sampler import GridSampler
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.models.own import as_vae
from vae_sweep.runs.reading import load_run
from vae_sweep.training.train import train_pack

SIDE, LATENTS = 16, 4


class Known(nn.Module):
    """Pictures 0.5 + sum_j c_j pattern_j; the code is found again exactly, and decoded, perhaps with a blur."""

    def __init__(self, blur: int | None = None):
        super().__init__()
        patterns = np.random.default_rng(0).standard_normal((LATENTS, SIDE * SIDE))
        self.register_buffer("patterns", torch.from_numpy(np.linalg.qr(patterns.T)[0].T).float())
        self.blur = blur
        self.scale = nn.Parameter(torch.tensor(1.0))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x - 0.5).flatten(1) @ self.patterns.T  # type: ignore[operator]
        return mean, torch.full_like(mean, -14.0)

    def decode(self, z: Tensor) -> Tensor:
        x = 0.5 + (z @ self.patterns).unflatten(1, (1, SIDE, SIDE))  # type: ignore[operator]
        return x if self.blur is None else F.interpolate(F.adaptive_avg_pool2d(x, self.blur), SIDE, mode="bilinear")


def gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, LATENTS))


def shrunk_and_correlated(n: int, rng: np.random.Generator) -> np.ndarray:
    """Far from N(0, I), but still one Gaussian."""
    return rng.standard_normal((n, LATENTS)) @ (0.25 * np.eye(LATENTS) + 0.4 * np.ones((LATENTS, LATENTS)) / 2)


def ring(n: int, rng: np.random.Generator) -> np.ndarray:
    angle, codes = rng.uniform(0, 2 * np.pi, n), rng.standard_normal((n, LATENTS))
    codes[:, 0], codes[:, 1] = 3 * np.cos(angle), 3 * np.sin(angle)
    codes[:, 2:] *= 0.2
    return codes


def clusters(n: int, rng: np.random.Generator) -> np.ndarray:
    return 2 * rng.choice([-1.0, 1.0], (n, LATENTS)) + 0.2 * rng.standard_normal((n, LATENTS))


def judged(
    codes: Callable[[int, np.random.Generator], np.ndarray], blur: int | None = None, deterministic: bool = False
) -> Samples:
    drawn = torch.from_numpy(codes(1200, np.random.default_rng(1))).float()
    images = Known().decode(drawn).permute(0, 2, 3, 1).contiguous().numpy()
    data = ImageData(images, np.arange(1000), np.arange(1000, 1200), "known", "known")
    objective = Objective(
        as_vae(Known(blur), LATENTS, (1, SIDE, SIDE)), likelihood("sse"), deterministic=deterministic
    ).eval()
    held_out, training = (Split(data, rows, torch.device("cpu")) for rows in (data.val, data.train))
    held_out_codes, some_codes = (
        encode(objective, split, noise_for((len(split), LATENTS), split.device, "x"), 0)
        for split in (held_out, training.first(100))
    )
    found = judge(objective, held_out, held_out_codes, training, some_codes, 200)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def cases() -> dict[str, Samples]:
    return {
        "prior": judged(gaussian),
        "gaussian": judged(shrunk_and_correlated),
        "ring": judged(ring),
        "clusters": judged(clusters),
        "blurring": judged(gaussian, blur=4),
    }


@pytest.mark.parametrize("kernel", ["cubic", "inverse"])
@pytest.mark.parametrize("features", ["random_conv", "random_filters", "pooled_pixels"])
def test_blur_and_holes_are_told_apart(cases: dict[str, Samples], features: str, kernel: str) -> None:
    found = {name: case.detail["distances"][features][kernel] for name, case in cases.items()}
    # Codes that are the prior: no blur, no holes, and the fitted sampler is no better.
    for pair in ("holes", "prior", "fitted"):
        assert found["prior"][pair]["p"] > 0.01
        assert found["prior"][pair]["value"] < 2 * found["prior"][pair]["null_high"]
    for name in ("prior", "gaussian", "ring", "clusters"):
        assert abs(found[name]["blur"]["value"]) < 0.01, name  # the rounding to bytes
    # Codes elsewhere: holes, which the fitted sampler closes.
    for name in ("gaussian", "ring", "clusters"):
        assert found[name]["holes"]["p"] < 0.01, name
        assert found[name]["prior"]["low"] > found[name]["fitted"]["value"], name
        assert found[name]["fitted"]["value"] < 0.4 * found[name]["prior"]["value"], name
    # A decoder that blurs: no holes, and no sampler helps.
    blurring = found["blurring"]
    assert blurring["holes"]["p"] > 0.01
    if features != "pooled_pixels":
        assert blurring["blur"]["low"] > 0.5
        assert blurring["prior"]["value"] == pytest.approx(blurring["blur"]["value"], rel=0.25)
        assert blurring["fitted"]["value"] == pytest.approx(blurring["blur"]["value"], rel=0.25)


def test_the_sampler_that_was_chosen(cases: dict[str, Samples]) -> None:
    known = {name: case.detail["sampler"] for name, case in cases.items()}
    assert [known[name]["components"] for name in ("prior", "gaussian", "blurring")] == [1, 1, 1]
    assert min(known[name]["components"] for name in ("ring", "clusters")) >= 10
    assert known["prior"]["left_out_nats"] == pytest.approx(0, abs=0.1)
    assert all(one["novelty"] > 0.9 for one in known.values())  # none repeats its training codes
    # KL of one Gaussian to the prior, in closed form.
    root = 0.25 * np.eye(LATENTS) + 0.2 * np.ones((LATENTS, LATENTS))
    covariance = root @ root.T
    divergence = 0.5 * (np.trace(covariance) - LATENTS - np.linalg.slogdet(covariance)[1])
    assert known["gaussian"]["left_out_nats"] == pytest.approx(divergence, abs=4 * known["gaussian"]["left_out_se"])


def test_values_and_arrays(cases: dict[str, Samples]) -> None:
    case = cases["ring"]
    main = case.detail["distances"]["random_conv"]["cubic"]
    for pair in ("blur", "holes", "prior", "fitted"):
        assert case.values[f"distance_{pair}"] == main[pair]["value"]
        assert main[pair]["low"] < main[pair]["value"] < main[pair]["high"]
    assert case.arrays["fitted_samples"].shape == (64, SIDE, SIDE, 1)
    assert case.arrays["code_std"] == pytest.approx([3 / 2**0.5, 3 / 2**0.5, 0.2, 0.2], rel=0.1)


def test_novelty_of_copies_and_of_fresh_codes() -> None:
    rng = np.random.default_rng(0)
    training, fresh, more = (torch.from_numpy(rng.standard_normal((300, 6))) for _ in range(3))
    assert novelty(fresh, more, training) == pytest.approx(1, abs=0.1)
    assert novelty(training + 0.01, fresh, training) < 0.05


def test_scale_and_correlation() -> None:
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.standard_normal((5000, 3)) @ np.array([[2.0, 0, 0], [0, 2, 0], [0, 1.6, 1.2]]).T)
    found = scale_of(codes)
    assert found["code_std"] == pytest.approx(2, rel=0.02)
    assert found["code_correlation"] == pytest.approx((0.8**2 / 3) ** 0.5, rel=0.05)  # one of three pairs
    assert scale_of(torch.ones(5, 1)).keys() == {"code_std"}


@pytest.mark.parametrize(("images", "d"), [(300, 40), (40, 300), (3, 2)])
def test_the_correlation_is_that_of_all_pairs_of_units_that_vary(images: int, d: int) -> None:
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((images, d)) * rng.uniform(0.1, 10, d) + rng.standard_normal((images, 1)) + 5
    between = np.corrcoef(codes.T)[~np.eye(d, dtype=bool)]
    still = np.insert(codes, 1, 4.0, axis=1)
    found = scale_of(torch.from_numpy(still))["code_correlation"]
    assert found == pytest.approx(np.sqrt(np.mean(between**2)), rel=1e-9)


def test_of_a_single_unit_that_varies_there_is_no_correlation() -> None:
    codes = torch.zeros(50, 4)
    codes[:, 2] = torch.linspace(-1, 1, 50)
    assert scale_of(codes) == {"code_std": pytest.approx(codes.numpy().std(ddof=1))}


def test_codes_of_a_network_for_large_images_need_no_matrix_of_units() -> None:
    """d = 50,000, whose correlations are 20 GB; two groups of units, each of one size over all images."""
    z = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]).repeat_interleave(25_000, 1)
    same = 2 * 25_000 * 24_999 / (50_000 * 49_999)
    assert scale_of(z)["code_correlation"] == pytest.approx(same**0.5)


def test_too_few_images() -> None:
    data = ImageData(np.full((20, SIDE, SIDE, 1), 0.5, np.float32), np.arange(15), np.arange(15, 20), "few", "few")
    objective = Objective(as_vae(Known(), LATENTS, (1, SIDE, SIDE)), likelihood("sse")).eval()
    held_out = Split(data, data.val, torch.device("cpu"))
    codes = encode(objective, held_out, noise_for((5, LATENTS), held_out.device, "x"), 0)
    assert judge(objective, held_out, codes, Split(data, data.train, held_out.device), codes, 200) is None


@pytest.mark.parametrize("known", [1, 64, 100, 200])
def test_what_is_encoded_already_is_not_encoded_again(known: int) -> None:
    images = np.random.default_rng(0).uniform(size=(200, SIDE, SIDE, 1)).astype(np.float32)
    data = ImageData(images, np.arange(200), np.arange(0), "some", "some")
    network = Known()
    objective = Objective(as_vae(network, LATENTS, (1, SIDE, SIDE)), likelihood("sse")).eval()
    training = Split(data, data.train, torch.device("cpu"))
    some = training.first(known)
    codes = encode(objective, some, noise_for((known, LATENTS), some.device, "x"), 0)
    # Every image's own code, with its own noise, to within its deviation of e^-7.
    expected = (training[:] - 0.5).flatten(1) @ network.patterns.T
    seen: list[int] = []
    encoding, network.encode = network.encode, lambda x: seen.append(len(x)) or encoding(x)  # type: ignore[func-returns-value,method-assign]
    found = codes_of(objective, training, codes.first(200))
    assert sum(seen) == 200 - known
    noise = noise_for((200, LATENTS), training.device, "sampler")
    torch.testing.assert_close(found, expected + np.exp(-7) * noise, rtol=1e-4, atol=1e-5)


# ---- a trained run


def test_samples_of_trained_runs(
    small_sweep: Callable[..., tuple[Path, list[str]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = ["trainer.max_steps=4"]
    full, multi, plain = "model.posterior=full", "model.multi_rate=true", "objective=autoencoder"
    grid = ["model.latent_dim=80", "model.latent_grid=4"]
    sweep, ids = small_sweep([*quick, full], [*quick, multi, *grid, "loss.kl_weight=0.1"], [*quick, plain, *grid])
    for member in ids:
        train_pack(sweep, [member])
    folders = [sweep / f"{number:03d}-{member}" for number, member in enumerate(ids)]
    with pytest.raises(ValueError, match="no sampler is fitted to the codes yet"):
        vae_sweep.load_model(folders[0]).sample(2, from_="codes")
    before = [load_run(folder).id for folder in folders]
    assert door.main([str(sweep), "--images", "40", "--bound-images", "3", "--gradient-images", "20"]) == 0
    assert [load_run(folder).id for folder in folders] == before  # no part of who a member is
    assert isinstance(vae_sweep.load_model(folders[2]).sampler, GridSampler)
    for folder in folders:
        model = vae_sweep.load_model(folder)
        drawn = model.sample(5, seed=1, from_="codes")
        assert drawn.shape == (5, 3, 16, 16)
        assert torch.equal(drawn, vae_sweep.load_model(folder).sample(5, seed=1, from_="codes"))
        assert not torch.equal(drawn, model.sample(5, seed=2, from_="codes"))
        assert torch.equal(drawn, vae_sweep.load_model(folder / "checkpoints" / "last.ckpt").sample(5, 1, "codes"))
    monkeypatch.chdir(folders[0] / "checkpoints")
    assert vae_sweep.load_model("last.ckpt").sample(1, from_="codes").shape == (1, 3, 16, 16)
    multi_rate = vae_sweep.load_model(folders[1])
    # At its own weight it is what evaluation has fitted, but for the rounding of the file; elsewhere another.
    own = multi_rate.at(0.1).sample(5, from_="codes")
    assert torch.allclose(own, multi_rate.sample(5, from_="codes"), atol=1e-3)
    assert not torch.allclose(own, multi_rate.at(5).sample(5, from_="codes"), atol=1e-3)
    with pytest.raises(ValueError, match="from_='posterior': expected 'prior' or 'codes'"):
        multi_rate.sample(1, from_="posterior")
    stale = vae_sweep.load_model(folders[0])
    stale.lit.step += 1
    with pytest.raises(ValueError, match="fitted at step 4, this model is of step 5"):
        stale.sample(1, from_="codes")


def test_an_autoencoder_has_blur_and_a_fitted_sampler() -> None:
    found = judged(ring, deterministic=True)
    assert found.detail["distances"]["random_conv"]["cubic"].keys() == {"blur", "fitted", "fitted_holes"}
    assert "distance_prior" not in found.values
    assert found.values["distance_fitted"] < 0.5
