"""What W&B is shown of a run, as plain values."""

import math
import shlex

import numpy as np
import pytest

from vae_sweep.tracking import content

CONFIG = {
    "objective": "vae",
    "data": {"_target_": "vae_sweep.data.image_folder", "root": "/home/somebody/pictures", "image_size": 64},
    "model": {"_target_": "vae_sweep.models.conv", "latent_dim": 64, "posterior": "diagonal"},
    "loss": {"kl_weight": 0.5, "recon": "sse"},
    "kl_schedule": {"_target_": "vae_sweep.schedules.linear"},
    "logger": {"wandb": "auto"},
}
ENTRY = {"id": "4f2a9c01", "number": 3, "folder": "003-kl_weight=0.5-4f2a9c01", "config": CONFIG, "beta": 0.5}
MANIFEST = {"sweep": "weights", "created": "2026-01-01T00:00:00.000"}
AUTOENCODER = {**ENTRY, "beta": None, "config": {**CONFIG, "objective": "autoencoder"}}


def test_id_is_fixed_per_member_and_sweep() -> None:
    known = content.run_id(ENTRY, MANIFEST)
    assert known == content.run_id(dict(ENTRY), dict(MANIFEST))
    others = [
        content.run_id({**ENTRY, "id": "4f2a9c02"}, MANIFEST),
        content.run_id(ENTRY, {**MANIFEST, "sweep": "other"}),
        content.run_id(ENTRY, {**MANIFEST, "created": "2026-01-01T00:00:00.001"}),
    ]
    assert len({known, *others}) == 4
    assert not set(content.run_id(ENTRY, {**MANIFEST, "sweep": "a/b: ü?"})) & set("/\\#?%: ")  # what W&B refuses


def test_tags_name_what_matters_to_the_member() -> None:
    swept = ["objective", "loss.kl_weight", "model.latent_dim", "kl_schedule._target_"]
    assert content.tags(ENTRY, swept) == ["vae", "conv", "linear", "kl_weight=0.5", "latent_dim=64"]
    assert content.tags(AUTOENCODER, swept) == ["autoencoder", "conv", "latent_dim=64"]
    long = {**ENTRY, "config": {**CONFIG, "model": {"_target_": "a." + "x" * 100}}}
    assert max(map(len, content.tags(long, []))) == 64


def test_config_leaves_local_paths_at_home() -> None:
    config = content.config(ENTRY, MANIFEST)
    assert config["data"] == {"_target_": "vae_sweep.data.image_folder", "image_size": 64}
    assert config["loss"]["kl_weight"] == 0.5
    assert (config["member"], config["number"], config["sweep"]) == ("4f2a9c01", 3, "weights")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("data.root=/home/me/x", "data.root=PICTURES"),
        ("+data.dataset.root=/home/me/x", "+data.dataset.root=PLACE"),
        ("++data.dataset.token=sesame", "++data.dataset.token=PLACE"),
        ("data.dataset={_target_: my.Set, root: /home/me/x}", "data.dataset=PLACE"),
        ("output_dir='/home/me/x y'", "output_dir=PLACE"),
        ("data.cache_dir=x", "data.cache_dir=PLACE"),
        ("data.dataset._target_=my.Set", "data.dataset._target_=my.Set"),
        ("loss.kl_weight=1,0.1", "loss.kl_weight=1,0.1"),
        ("-m", "-m"),
    ],
)
def test_a_command_is_sent_without_paths(typed: str, sent: str) -> None:
    command = shlex.join(["python3", "-m", "vae_sweep.run", typed])
    assert content.without_places(command) == shlex.join(["python3", "-m", "vae_sweep.run", sent])


def test_forecast_is_read_at_the_members_weight_and_latent_size() -> None:
    weights = [10.0, 1.0, 0.1]  # as a sweep may list them
    rates = [32 * math.log(2 * 20 / weight) for weight in weights]  # 64 units of variance 20, all active
    linear = [
        {"latent_dim": 64, "kl_weight": weights, "rate": rates, "distortion": weights, "distortion_mean": weights},
        {"latent_dim": 8, "kl_weight": weights, "rate": [0, 0, 0], "distortion": weights, "distortion_mean": weights},
    ]
    found = {"n": 12288, "collapse_threshold": 41.3, "collapse_threshold_bernoulli": float("inf"), "linear": linear}
    told = content.forecast(found, ENTRY)
    assert told["linear_rate"] == pytest.approx(32 * math.log(2 * 20 / 0.5))
    assert told["collapse_threshold"] == 41.3
    assert "collapse_threshold_bernoulli" not in told
    assert "linear_rate" not in content.forecast(found, AUTOENCODER)
    assert "linear_rate" not in content.forecast(found, {**ENTRY, "beta": 100.0})
    bernoulli = {**ENTRY, "config": {**CONFIG, "loss": {"recon": "bernoulli"}}}
    assert "linear_rate" not in content.forecast(found, bernoulli), "the linear model is of squared errors"


def test_pictures_are_the_pixels() -> None:
    rng = np.random.default_rng(0)
    names = ("originals", "recon_mean", "recon_sampled")
    arrays = {name: rng.integers(0, 256, (20, 3, 5, 1), np.uint8) for name in names}
    arrays["prior_samples"] = rng.integers(0, 256, (7, 3, 5, 1), np.uint8)
    found = content.pictures(arrays)
    held_out = [key for key in found if key.startswith("held_out/")]
    assert held_out == [f"held_out/{index:02d}" for index in range(16)]
    pixels = found["held_out/03"].pixels
    assert pixels.shape == (3, 5 + 2 + 5 + 2 + 5)
    for index, name in enumerate(names):
        np.testing.assert_array_equal(pixels[:, 7 * index : 7 * index + 5], arrays[name][3, :, :, 0])
    assert found["prior/samples"].pixels.shape == (3 * 3 + 2 * 2, 5 * 2 + 2)  # 3 rows of 2, the odd one left out
    assert content.pictures({}) == {}
    del arrays["recon_sampled"]
    anchor = content.pictures(arrays)["held_out/03"]  # an autoencoder's
    np.testing.assert_array_equal(anchor.pixels, pixels[:, :12])
    assert anchor.caption == "original | mean"


def test_histogram_counts_every_unit_between_the_same_edges() -> None:
    for kl in (np.array([0.0, 7.99, 100.0]), np.zeros(64), np.linspace(0, 8, 1000)):
        counts, edges = content.kl_histogram(kl)
        assert counts.sum() == len(kl)
        np.testing.assert_array_equal(edges, content.KL_EDGES)


def test_summary_holds_finite_numbers_and_the_failure() -> None:
    result = {"status": "failed", "metrics": {"val/kl": float("nan"), "val/recon": 2.0, "val/mse": None}, "steps": 7}
    error = {"type": "Diverged", "message": "loss is nan at step 7", "traceback": "..."}
    told = content.summary({**result, "error": error}, {"step": 7, "val": {"psnr": 20.0, "tc": None}}, "diverged")
    assert told == {
        "val/recon": 2.0,
        "val/psnr": 20.0,
        "steps": 7,
        "status": "failed",
        "error": "Diverged: loss is nan at step 7",
        "verdict": "diverged",
    }
    assert [content.exit_code(status) for status in ("done", "failed", "interrupted", "running")] == [0, 1, 143, 1]
