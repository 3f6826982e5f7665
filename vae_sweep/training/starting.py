"""What a member's network is told of its data before it trains: moments of the training images, computed once."""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object
from torch import Tensor

from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.image_data import ImageData
from vae_sweep.models.layout import ImageShape, layout_of, settled
from vae_sweep.models.start import Start
from vae_sweep.runs.members import is_multi_rate
from vae_sweep.theory import start as theory
from vae_sweep.theory.beta import sizes_of
from vae_sweep.theory.conventions import to_sum
from vae_sweep.theory.start import Moments
from vae_sweep.traits import likelihood

_ROUNDS = 12  # of a fixed point that halves its distance at each
_LOWEST = 1e-6  # of the weight at which the first unit shuts: below it the error left changes little


def wants_start(config: Mapping[str, Any]) -> bool:
    """Whether the network's builder, or class, has a parameter `start`."""
    return "start" in inspect.signature(get_object(config["model"]["_target_"])).parameters


def moments_for(config: Mapping[str, Any], data: ImageData) -> Moments | None:
    """Of the training images, from the cache beside the data; None for a network that is not told."""
    if not wants_start(config):
        return None
    at = layout_of(settled(config["model"], data.shape), data.shape)
    rank = at.picture_codes if at is not None and config["model"].get("linear_path") else 0
    cell, side = (at.cell, at.cells) if rank and at is not None else (1, max(data.shape[1:]))
    flips = "flip" in config["data"].get("augment", "none")
    source = hashlib.sha256(Path(str(theory.__file__)).read_bytes()).hexdigest()
    key = {
        "kind": "moments",
        "source": source,
        "fingerprint": data.fingerprint,
        "rank": rank,
        "cell": cell,
        "side": side,
        "flips": flips,
        "binarize": data.binarize,
    }

    def build(folder: Path) -> None:
        found = theory.moments(data.images, data.train, rank, cell, side, flips, data.binarize == "dynamic")
        for name in ("mean", "basis", "eigenvalues", "cells"):
            np.save(folder / f"{name}.npy", getattr(found, name))
        np.save(folder / "variance.npy", found.variance)

    folder = cached_folder(resolve_cache_dir(config["data"].get("cache_dir")), key, f"moments of {data.name}", build)
    arrays = {name: cached_array(folder / f"{name}.npy") for name in ("mean", "basis", "eigenvalues", "cells")}
    return Moments(**arrays, variance=float(cached_array(folder / "variance.npy")), cell=cell, side=side)


def unknown_moments(config: Mapping[str, Any], image_shape: ImageShape) -> Moments:
    """In the place of what a checkpoint will bring."""
    at = layout_of(settled(config["model"], image_shape), image_shape)
    return theory.unknown(image_shape, *((1, max(image_shape[1:])) if at is None else (at.cell, at.cells)))


def start_of(config: Mapping[str, Any], moments: Moments, image_shape: ImageShape) -> Start:
    """Where a member starts, from its settled config: at the optimum of the squared-error weight that its own is.

    Gaussian pixels: beta. Bernoulli: see Start. Laplace, and a fitted scale: the weight at which the pixel noise and
    the error it leads to agree. Laplace because |e| <= e^2 / (2 c) + c / 2 for any c, and c^2 = SSE / n bounds best.
    """
    loss = config["loss"]
    traits, scale = likelihood(loss), loss.get("scale", 1.0)
    if config["objective"] == "autoencoder" or is_multi_rate(config):
        return Start(moments, 0.0, traits.logits)
    weight = to_sum(loss["kl_weight"], loss.get("reduction", "sum"), sizes_of(config, image_shape))
    if not traits.begins_by_error:
        return Start(moments, traits.nearest_squared_error(weight, scale, 0.0), traits.logits)
    if (error := _error_left(moments, config, image_shape)) is None:
        return Start(moments, weight, traits.logits)  # of no consequence
    beta = traits.nearest_squared_error(weight, scale, moments.unit)
    for _ in range(_ROUNDS - 1):
        beta = traits.nearest_squared_error(weight, scale, error(beta))
    return Start(moments, beta, traits.logits)


def weights_of(config: Mapping[str, Any], moments: Moments, image_shape: ImageShape, betas: Tensor) -> Tensor:
    """The values of loss.kl_weight whose members start at squared-error weights `betas`, any shape: the inverse."""
    loss = config["loss"]
    traits, scale = likelihood(loss), loss.get("scale", 1.0)
    one = to_sum(1.0, loss.get("reduction", "sum"), sizes_of(config, image_shape))
    error = _error_left(moments, config, image_shape) if traits.begins_by_error else None
    highest = betas.max().item()
    if error is None or not highest > 0:
        return betas / traits.nearest_squared_error(one, scale, 1.0)
    among = highest * np.geomspace(_LOWEST, 1.0, _ROUNDS)
    worth = [traits.nearest_squared_error(one, scale, error(beta)) for beta in among]
    found = np.interp(betas.clamp(min=among[0]).log().numpy(), np.log(among), np.log(worth))
    return betas / torch.from_numpy(found).exp().to(betas.dtype)


def _error_left(
    moments: Moments, config: Mapping[str, Any], image_shape: ImageShape
) -> Callable[[float], float] | None:
    """Root mean square error of a pixel that a linear path leaves at a squared-error weight; None without a path."""
    at = layout_of(config["model"], image_shape)
    if at is None or not config["model"].get("linear_path"):
        return None

    def error(beta: float) -> float:
        path = theory.linear_path(moments, at.picture_codes, at.cell_codes, beta / 2)
        return math.sqrt(path.distortion / math.prod(image_shape))

    return error
