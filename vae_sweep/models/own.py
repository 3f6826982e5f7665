"""Anybody's network: a module with encode(x) and decode(z), and latents of any shape."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vae_sweep.models.adapters import as_pair, as_pictures, with_methods
from vae_sweep.models.networks import VAE, ImageShape
from vae_sweep.models.posteriors import Diagonal, Posterior


class OwnVAE(VAE):
    """`network` as a VAE. latent_shape: of one image's latents as the network has them, such as (8, 4, 4); outside they
    are flat, d = 8 * 4 * 4."""

    def __init__(self, network: nn.Module, latent_shape: tuple[int, ...]):
        nn.Module.__init__(self)
        self.network = network
        self.latent_shape = latent_shape
        self.latent_dim = math.prod(latent_shape)

    def encode(self, x: Tensor) -> Posterior:
        encoded = as_pair(self.network.encode(x))  # type: ignore[operator]
        if isinstance(encoded, (tuple, list)):
            mean, logvar = encoded
            return Diagonal(mean.flatten(1), logvar.flatten(1))
        return encoded

    def decode(self, z: Tensor) -> Tensor:
        return as_pictures(self.network.decode(z.unflatten(-1, self.latent_shape)))  # type: ignore[operator]


def as_vae(network: nn.Module, latent_dim: int | None, image_shape: ImageShape) -> VAE:
    """A VAE as it is; another network tried on two grey images, which tells the shape of its latents.

    latent_dim: what they must be in all; None: whatever they are. Networks of other libraries: see adapters.py.
    Raises TypeError for a network without encode and decode or with another kind of posterior, ValueError for latents
    that are not `latent_dim` in all and for pictures of another shape (C, H, W).
    """
    if isinstance(network, VAE):
        return network
    name, network = type(network).__name__, with_methods(network)
    for method in ("encode", "decode"):
        if not callable(getattr(network, method, None)):
            raise TypeError(f"{name} has no {method}: a network needs the methods encode(x) and decode(z)")
    training = network.training
    network.eval()  # statistics of batches stay as they are
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            grey = torch.full((2, *image_shape), 0.5)
            before = grey._version
            encoded = as_pair(network.encode(grey))  # type: ignore[operator]
            if grey._version != before:
                raise ValueError(f"{name}.encode changes the images that it is given, in place: let it make its own")
            vae = OwnVAE(network, _latent_shape(name, encoded))
            if latent_dim is not None and vae.latent_dim != latent_dim:
                of = " x ".join(map(str, vae.latent_shape))
                raise ValueError(
                    f"model.latent_dim={latent_dim}: {name}.encode gives {of} latents per image,"
                    f" which is model.latent_dim={vae.latent_dim}"
                )
            out = vae.decode(torch.zeros(2, vae.latent_dim))
            if not isinstance(out, Tensor):
                raise TypeError(f"{name}.decode returns {_told(out)}, expected images (B, C, H, W)")
            if tuple(out.shape) != (2, *image_shape):
                raise ValueError(
                    f"{name}.decode gives {tuple(out.shape)} for two images, expected {(2, *image_shape)}: (B, C, H, W)"
                )
    finally:
        network.train(training)
    return vae


def _latent_shape(name: str, encoded: Any) -> tuple[int, ...]:
    if isinstance(encoded, (tuple, list)) and len(encoded) == 2 and all(isinstance(part, Tensor) for part in encoded):
        mean, logvar = encoded
        if mean.shape != logvar.shape:
            raise TypeError(f"{name}.encode: mean {tuple(mean.shape)} and logvar {tuple(logvar.shape)} differ in shape")
        return tuple(mean.shape[1:])
    if all(hasattr(encoded, needed) for needed in ("mean", "sample", "kl")):
        return tuple(encoded.mean.shape[1:])
    raise TypeError(f"{name}.encode returns {_told(encoded)}, expected (mean, logvar) or a posterior")


def _told(found: Any) -> str:
    """What it is: "tuple of 3", "dict of mu, std"."""
    if isinstance(found, Mapping):
        return f"{type(found).__name__} of {', '.join(map(str, found))}"
    return type(found).__name__ + (f" of {len(found)}" if isinstance(found, (tuple, list)) else "")


def taken(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """What of `offered` the signature of `function` has a name for; all of it for one with **keywords."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(offered)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {key: value for key, value in offered.items() if key in parameters and parameters[key].kind in by_name}


def call_with_taken(make: "partial[Any]", **offered: Any) -> Any:
    """Call a partial with those of its keywords, and of `offered`, that its function has a name for."""
    return make.func(*make.args, **taken(make.func, {**make.keywords, **offered}))
