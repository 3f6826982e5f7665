"""Published networks, images and figures, as their sources have them. What training makes of them: docs/validity.md."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from configs import CONF
from PIL import Image

from benchmarks.published.__main__ import compared
from benchmarks.published.curves import CURVES, Figure
from benchmarks.published.images import all_of_it, larochelle, resized
from benchmarks.published.networks import SoftplusScale
from vae_sweep.data import DataError, mnist, torchvision_sets
from vae_sweep.runs.files import append_row
from vae_sweep.runs.reading import Run
from vae_sweep.training.build import build

ROOT = Path(__file__).parents[1]
Compose = Callable[..., dict[str, Any]]


# What the sources print, or the sum over the layers that they name.
@pytest.mark.parametrize(
    ("experiment", "encoder", "decoder"),
    [
        ("mnist_keras", 69_076, 65_089),  # its `encoder.summary()` and `decoder.summary()`
        ("mnist_burgess", 544 + 2 * 16_416 + 131_328 + 65_792 + 5_140, 2_816 + 65_792 + 131_584 + 2 * 16_416 + 513),
        ("mnist_flax", 785 * 500 + 2 * 501 * 20, 21 * 500 + 501 * 784),
        ("mnist_altosaar", 785 * 256 + 257 * 256 + 257 * 256, 129 * 256 + 257 * 256 + 257 * 784),
    ],
)
def test_networks_have_the_published_size(compose: Compose, experiment: str, encoder: int, decoder: int) -> None:
    config = compose(f"experiment={experiment}")
    side = config["data"]["image_size"]
    vae = build(config, (1, side, side), images=60_000).objective.vae
    sizes = [sum(weights.numel() for weights in part.parameters()) for part in (vae.encoder, vae.decoder)]
    assert sizes == [encoder, decoder]
    posterior = vae.encode(torch.rand(2, 1, side, side))
    assert vae.decode(posterior.sample(torch.randn_like(posterior.mean))).shape == (2, 1, side, side)


def test_first_weights_are_the_sources(compose: Compose) -> None:
    """He's uniform weights have variance 2 / inputs, Glorot's 2 / (inputs + outputs)."""
    burgess = build(compose("experiment=mnist_burgess"), (1, 32, 32), images=60_000).objective.vae
    assert float(burgess.encoder[7].weight.detach().var()) == pytest.approx(2 / 512, rel=0.02)
    keras = build(compose("experiment=mnist_keras"), (1, 28, 28), images=70_000).objective.vae
    assert float(keras.encoder[5].weight.detach().var()) == pytest.approx(2 / (3136 + 16), rel=0.02)
    assert all(not weights.any() for name, weights in keras.named_parameters() if name.endswith("bias"))


def test_keras_layers_are_turned_by_half_a_turn() -> None:
    """Keras' "same" pads on the right and below; torch's padding of 1 sees the turned image with the turned kernel."""
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 3, 28, 28), torch.randn(4, 3, 3, 3)
    theirs = torch.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1)), kernel, stride=2)
    ours = torch.conv2d(x.flip(2, 3), kernel.flip(2, 3), stride=2, padding=1)
    torch.testing.assert_close(ours.flip(2, 3), theirs)
    z = torch.randn(2, 4, 14, 14)
    theirs = torch.conv_transpose2d(z, kernel, stride=2)[..., :28, :28]  # the transpose of what is above
    ours = torch.conv_transpose2d(z.flip(2, 3), kernel.flip(2, 3), stride=2, padding=1, output_padding=1)
    torch.testing.assert_close(ours.flip(2, 3), theirs)


def test_softplus_scale_is_the_sources() -> None:
    torch.manual_seed(0)
    h = torch.randn(5, 6)
    theirs = torch.distributions.Normal(h[:, :3], torch.nn.functional.softplus(h[:, 3:]))
    ours = SoftplusScale.from_params(h, 3)
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)
    prior = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(ours.kl_per_unit(), torch.distributions.kl_divergence(theirs, prior))


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of 30 + 10 random digits, read in this process."""
    raw = tmp_path / "sets" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", 30), ("t10k", 10)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            head = b"\0\0\x08" + bytes([len(shape)]) + np.array(shape, ">u4").tobytes()
            array = rng.integers(0, 10 if len(shape) == 1 else 256, shape, np.uint8)
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
    monkeypatch.setattr(torchvision_sets, "_in_child", torchvision_sets.perform)
    return {"root": str(tmp_path / "sets"), "cache_dir": str(tmp_path / "cache")}


def test_resized_as_torchvision_does(digits: dict[str, str]) -> None:
    as_it_is, large = mnist(**digits), resized(32, **digits)
    resize = torchvision.transforms.Resize(32)
    for before, after in zip(as_it_is.images, large.images, strict=True):
        assert np.array_equal(np.asarray(resize(Image.fromarray(before[..., 0]))), after[..., 0])
    assert large.fingerprint not in (as_it_is.fingerprint, mnist(image_size=32, **digits).fingerprint)


def test_all_of_it_is_trained_on(digits: dict[str, str]) -> None:
    data = all_of_it(**digits)
    assert (data.train.tolist(), data.val.tolist()) == (list(range(40)), list(range(30, 40)))
    assert data.fingerprint != mnist(**digits).fingerprint


def test_larochelle_has_the_first_five_sixths(digits: dict[str, str]) -> None:
    test, validation = (larochelle(held_out=held_out, **digits) for held_out in ("test", "validation"))
    assert test.train.tolist() == validation.train.tolist() == list(range(25))
    assert (test.val.tolist(), validation.val.tolist()) == (list(range(30, 40)), list(range(25, 30)))
    assert test.fingerprint != validation.fingerprint
    with pytest.raises(DataError, match=r"data\.held_out=train"):
        larochelle(held_out="train", **digits)


def test_figures_stand_beside_the_run_of_their_weight_and_step(tmp_path: Path) -> None:
    runs = []
    for number, weight in enumerate((1.0, 4.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for step in (10, 20):
            append_row(folder / "metrics.jsonl", {"step": step, "train/kl": weight * step})
        append_row(folder / "metrics.jsonl", {"step": 20, "val/loss": -1.0})
        runs.append(Run(folder, {"config": {"loss": {"kl_weight": weight}}}))
    figures = [
        Figure("near", 80.5, "train/kl", 20, 0.01, kl_weight=4.0),
        Figure("far", 12.0, "train/kl", 10, 0.1),
        Figure("in nats", 11.0, "train/kl", 10, 1.0, in_nats=True),
        Figure("not reached", 1.0, "train/kl", 30, 0.1),
    ]
    near, far, nats, missing = compared(figures, runs)
    assert (near.ours, near.holds) == (80.0, True)
    assert far.difference == pytest.approx(-1 / 6)
    assert not far.holds
    assert (nats.difference, nats.holds) == (-1.0, True)
    assert (missing.ours, missing.holds) == (None, None)


@pytest.mark.parametrize("experiment", CURVES)
def test_published_steps_have_a_row(compose: Compose, experiment: str) -> None:
    trainer = compose(f"experiment={experiment}")["trainer"]
    for figure in CURVES[experiment]:
        if figure.key.startswith("train/"):
            assert figure.step % trainer["log_every_n_steps"] == 0


def test_the_package_leaves_out_what_needs_the_checkout() -> None:
    """Networks of benchmarks/ are not in the wheel, so that experiments that name them have no place in it."""
    left_out = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "exclude"
    ]
    naming = {path for path in (CONF / "experiment").glob("*.yaml") if "_target_: benchmarks." in path.read_text()}
    assert {ROOT / path for path in left_out} == naming
