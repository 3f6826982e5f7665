"""Folders of older versions, brought up to date as they are read: what they lack is computed, nothing is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.runs.manifest import shape_of
from vae_sweep.theory.beta import beta, beta_at, has_beta, sizes_of
from vae_sweep.theory.conventions import Sizes, to_sum
from vae_sweep.traits import likelihood

ImageShape = Sequence[int]  # (C, H, W)


def with_beta(record: Mapping[str, Any], shape: ImageShape | None) -> dict[str, Any]:
    """An entry of the manifest, or a result, with its beta."""
    if "beta" in record or "config" not in record:
        return dict(record)
    found = beta(record["config"], _sizes(record["config"], shape), record.get("says"))
    return dict(record) | {"beta": _finite(found)}


def with_cause(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result whose failure has its cause, which older ones tell by the type of the error."""
    if result.get("status") != "failed" or "cause" in result:
        return dict(result)
    error = str((result.get("error") or {}).get("type"))
    cause = (
        "diverged" if error == "Diverged"
        else "killed" if error in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
        else "lost" if error.startswith("SLURM")
        else "exception"
    )  # fmt: skip
    return dict(result) | {"cause": cause}


def up_to_date(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest whose members all have their beta, and whose data sets all have their forecasts with them.

    Older ones keep the forecast of the first data set apart, and each is that of the training images.
    """
    data = manifest.get("data") or {}
    datasets = {key: dict(described) for key, described in (manifest.get("datasets") or {}).items()}
    if fingerprint := data.get("fingerprint"):
        datasets.setdefault(fingerprint, dict(data))
        if manifest.get("preflight"):
            datasets[fingerprint].setdefault("preflight", manifest["preflight"])
    for described in datasets.values():
        if found := dict(described.pop("preflight", None) or {}):
            described["forecast"] = {"asked": found.pop("asked", {}), "train": found}
    members = [
        with_beta(entry, shape_of(manifest, entry.get("data_fingerprint"))) for entry in manifest.get("members") or []
    ]
    kept = {key: value for key, value in manifest.items() if key != "preflight"}
    return {**kept, "datasets": datasets, "members": members}


def evaluation_with_beta(
    evaluation: Mapping[str, Any], config: Mapping[str, Any], shape: ImageShape | None
) -> dict[str, Any]:
    """An evaluation that knows beta, and has the gradient of the distortion that beta trades.

    Older ones have that of the reconstruction term, in nats where the pixels are Gaussian, and the pixel std that beta
    stands for in `implied_sigma` only.
    """
    if "beta" in evaluation or not evaluation or "loss" not in config:
        return dict(evaluation)
    loss, sizes = config["loss"], _sizes(config, shape)
    traits, reduction, weight = likelihood(loss), loss.get("reduction", "sum"), loss["kl_weight"]
    fits_itself = likelihood({"recon": loss.get("recon", "sse")}).scale == "fitted"  # not by loss.learn_scale
    train = dict(evaluation.get("train") or {})
    implied, fitted = train.get("implied_sigma"), train.get("sigma_calibrated")
    found = beta(config, sizes)
    if not has_beta(config):
        found = None
    elif fits_itself and implied and fitted:  # `implied` has the floor of the sigma in force in it
        found = beta_at(traits, weight, reduction, sizes, fitted)
    elif found is None and implied:
        found = 2 * implied**2
    if traits.squared_error and traits.unit == "nats":
        fixed = traits.scale != "fitted"
        per_nat = (
            2 * loss.get("scale", 1.0) ** 2
            if fixed
            else 2 * (implied or math.nan) ** 2 / to_sum(weight, reduction, sizes)
        )
        for name in ("grad_norm_recon", "beta_hat"):
            if train.get(name) is not None:
                train[name] = _finite(train[name] * per_nat)
    return dict(evaluation) | {"beta": _finite(found)} | ({"train": train} if train else {})


def _sizes(config: Mapping[str, Any], shape: ImageShape | None) -> Sizes:
    """Not a number where they are not known: so is then what depends on them."""
    try:
        return sizes_of(config, shape or ())
    except (KeyError, ValueError):
        return Sizes(math.nan, math.nan, math.nan)  # type: ignore[arg-type]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
