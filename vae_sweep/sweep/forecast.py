"""What is known of a sweep before it trains: its images described, the theory of its weights."""

from collections.abc import Mapping, Sequence

import numpy as np

from vae_sweep import traits
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.schema import DataSet, Entry, Manifest
from vae_sweep.theory import Loss, banner, data_forecast, first_look
from vae_sweep.theory.covariance import Pixels
from vae_sweep.theory.forecast import MAX_RANK
from vae_sweep.theory.pca import principal_axes
from vae_sweep.traits import LikelihoodTraits

Pictures = dict[str, dict[str, np.ndarray]]  # name of a file in the sweep's folder -> its arrays


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


def with_forecast(manifest: Manifest, images: Mapping[str, ImageData]) -> tuple[Manifest, Pictures]:
    """`manifest` with the theory of every data set whose members have asked for something new, and its pictures.

    images: by fingerprint.
    """
    datasets, pictures = dict(manifest["datasets"]), {}
    for fingerprint, data in images.items():
        entries = [entry for entry in manifest["members"] if entry["data_fingerprint"] == fingerprint]
        before = datasets[fingerprint].get("forecast")
        dims, betas = _latent_dims(entries), _betas(entries)
        asked: dict[str, list[float]] = {"latent_dims": [*dims], "kl_weights": betas}
        if not entries or (before and before["asked"] == asked):
            continue
        bernoulli = any(_likelihood(entry).collapse == "correlation" for entry in entries)
        axes = None
        if data.binarize != "dynamic":  # each look is another picture
            axes = principal_axes(Pixels(data.images, data.train), min(max(dims), MAX_RANK))
            shown = chosen(data.val, first_look.PICTURES)
            pictures[first_look.file_name(fingerprint)] = first_look.pictures(axes, data.images, shown, dims, betas)
        found = data_forecast(
            data.images, data.train, dims, betas, data.binarize, bernoulli, held_out=data.val, axes=axes
        )
        datasets[fingerprint] = {**datasets[fingerprint], "forecast": {"asked": asked, "train": found}}
    return {**manifest, "datasets": datasets}, pictures


def banners(manifest: Manifest) -> list[str]:
    """What the weights of the sweep mean: one text for every kind of loss and data set."""
    kinds: dict[tuple[str, int, Loss], list[Entry]] = {}
    for entry in manifest["members"]:
        if entry["config"]["objective"] == "vae":
            kinds.setdefault(_kind(entry), []).append(entry)
    return [
        banner(
            _weights(entries), _latent_dims(entries), _pixels(manifest, fingerprint), batch_size, loss,
            forecast_of(manifest, fingerprint),
        )
        for (fingerprint, batch_size, loss), entries in kinds.items()
    ]  # fmt: skip


def _kind(entry: Entry) -> tuple[str, int, Loss]:
    config, says = entry["config"], entry.get("says")
    loss, schedule = config["loss"], config["kl_schedule"]
    described = Loss(
        likelihood=_likelihood(entry),
        reduction=loss["reduction"],
        scale=loss.get("scale", 1.0),
        divergence=traits.divergence(config, says),
        free_bits=loss.get("free_bits"),
        mi_weight=loss.get("mi_weight", 1.0),
        schedule=traits.schedule(schedule, says),
        goal=next((schedule[key] for key in ("goal", "target", "maximum") if key in schedule), None),
    )
    return entry["data_fingerprint"], entry["config"]["data"]["batch_size"], described


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
