"""What is known of a sweep before it trains: its images described, its schedules tried, the theory of its weights."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep import traits
from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.members import total_steps
from vae_sweep.runs.schema import DataSet, Entry, Manifest
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.theory import banner, preflight
from vae_sweep.traits import LikelihoodTraits

_SCHEDULES = "vae_sweep.schedules"


def describe(data: ImageData) -> DataSet:
    """What the manifest says of a data set."""
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "images": len(data.images),
        "train": len(data.train),
        "val": len(data.val),
        "shape": list(data.shape),
    }


def check_schedule(config: Mapping[str, Any], n_train: int) -> None:
    """Raises SettingsError for a schedule that does not fit into the run. Controllers (torch) are left to training."""
    target, settings = config["kl_schedule"]["_target_"], dict(config["kl_schedule"])
    module, _, name = settings.pop("_target_").rpartition(".")
    if module != _SCHEDULES or config["objective"] == "autoencoder":
        return
    try:
        getattr(importlib.import_module(module), name)(total_steps=total_steps(config, n_train), **settings)
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingsError(str(error) if isinstance(error, ValueError) else f"kl_schedule={target}: {error}") from None


def with_forecast(manifest: Manifest, images: Mapping[str, ImageData]) -> Manifest:
    """`manifest` with the theory of every data set whose members have asked for something new.

    images: by fingerprint.
    """
    datasets = dict(manifest["datasets"])
    for fingerprint, data in images.items():
        entries = [entry for entry in manifest["members"] if entry["data_fingerprint"] == fingerprint]
        before = datasets[fingerprint].get("forecast")
        dims, betas = _latent_dims(entries), _betas(entries)
        asked: dict[str, list[float]] = {"latent_dims": [*dims], "kl_weights": betas}
        if not entries or (before and before["asked"] == asked):
            continue
        bernoulli = any(_likelihood(entry).collapse == "correlation" for entry in entries)
        found = preflight(data.images, data.train, dims, betas, data.binarize, bernoulli)
        datasets[fingerprint] = {**datasets[fingerprint], "forecast": {"asked": asked, "train": found}}
    return {**manifest, "datasets": datasets}


def banners(manifest: Manifest) -> list[str]:
    """What the weights of the sweep mean: one text for every kind of loss and data set."""
    kinds: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in manifest["members"]:
        if entry["config"]["objective"] == "vae":
            kinds.setdefault(_kind(entry), []).append(entry)
    return [
        banner(
            _weights(entries),
            _latent_dims(entries),
            _pixels(manifest, fingerprint),
            batch_size,
            likelihood,
            reduction,
            scale,
            forecast_of(manifest, fingerprint) or None,
        )
        for (fingerprint, batch_size, likelihood, reduction, scale), entries in kinds.items()
    ]


def _kind(entry: Entry) -> tuple[Any, ...]:
    loss = entry["config"]["loss"]
    return (
        entry["data_fingerprint"],
        entry["config"]["data"]["batch_size"],
        _likelihood(entry),
        loss["reduction"],
        loss.get("scale", 1),
    )


def _likelihood(entry: Entry) -> LikelihoodTraits:
    return traits.likelihood(entry["config"]["loss"], entry.get("says"))


def _weights(entries: Sequence[Entry]) -> list[float]:
    return sorted({entry["config"]["loss"]["kl_weight"] for entry in entries if entry["config"]["objective"] == "vae"})


def _betas(entries: Sequence[Entry]) -> list[float]:
    """Of the members whose pixels are Gaussian: the linear VAE's weights."""
    gaussian = [entry for entry in entries if _likelihood(entry).squared_error]
    return sorted({entry["beta"] for entry in gaussian if entry["beta"] is not None})


def _latent_dims(entries: Sequence[Entry]) -> list[int]:
    return sorted({entry["config"]["model"]["latent_dim"] for entry in entries})


def _pixels(manifest: Manifest, fingerprint: str) -> int:
    channels, height, width = manifest["datasets"][fingerprint]["shape"]
    return channels * height * width
