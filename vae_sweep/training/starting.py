"""What a member's network is told of its data before it trains: moments of the training images, computed once."""

import hashlib
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import get_object

from vae_sweep.data.cache import cached_array, cached_folder, resolve_cache_dir
from vae_sweep.data.image_data import ImageData
from vae_sweep.models.layout import ImageShape, layout_of, settled
from vae_sweep.models.start import Start
from vae_sweep.runs.members import is_multi_rate
from vae_sweep.theory import start as theory
from vae_sweep.theory.beta import beta_at, sizes_of
from vae_sweep.theory.conventions import to_sum
from vae_sweep.theory.start import Moments
from vae_sweep.traits import LIKELIHOODS, likelihood

_ROUNDS = 12  # of a fixed point that halves its distance at each


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

    Gaussian pixels: beta. Bernoulli: see Start. Laplace, and a fitted sigma: the weight at which the pixel noise and
    the error it leads to agree. Laplace because |e| <= e^2 / (2 c) + c / 2 for any c, and c^2 = SSE / n bounds best.
    """
    loss = config["loss"]
    if config["objective"] == "autoencoder" or is_multi_rate(config):
        return Start(moments, 0.0, loss["recon"] == "bernoulli")
    sizes, traits, scale = sizes_of(config, image_shape), likelihood(loss), loss.get("scale", 1.0)
    weight = to_sum(loss["kl_weight"], loss.get("reduction", "sum"), sizes)
    if traits is LIKELIHOODS["bernoulli"]:
        return Start(moments, weight / 2, logits=True)
    if traits is LIKELIHOODS["laplace"] or traits.name == "optimal_sigma" or traits.scale == "fitted":
        return Start(moments, _at_rest(moments, config, image_shape, weight, scale, traits.name == "laplace"))
    if traits.squared_error:
        weight = beta_at(traits, loss["kl_weight"], loss.get("reduction", "sum"), sizes, scale)
    return Start(moments, weight)


def _at_rest(
    moments: Moments, config: Mapping[str, Any], image_shape: ImageShape, weight: float, scale: float, laplace: bool
) -> float:
    at = layout_of(config["model"], image_shape)
    if at is None or not config["model"].get("linear_path"):
        return weight  # of no consequence
    sse, pixels = moments.variance, math.prod(image_shape)
    beta = weight
    for _ in range(_ROUNDS):
        beta = 2 * weight * (scale * math.sqrt(sse / pixels) if laplace else sse / pixels)
        sse = theory.linear_path(moments, at.picture_codes, at.cell_codes, beta / 2).distortion
    return beta
