"""One look at a network: a member built once, on one batch; what it is taken for, in lines for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from vae_sweep.checks import SettingsError
from vae_sweep.data.image_data import ImageData
from vae_sweep.models.own import as_vae, call_with_taken
from vae_sweep.models.squashed import squashed
from vae_sweep.training.build import build
from vae_sweep.training.trial import as_batch, refused

_NOT_ITS = ("multi_rate", "kl_weight_range", "init_from")


def looked_at(config: Mapping[str, Any], data: ImageData, typed: Sequence[str]) -> list[str]:
    """Latents may be any number, which is said. typed: the overrides. Raises SettingsError for what cannot train."""
    batch = as_batch(np.asarray(data.images[data.train[: config["data"]["batch_size"]]]))
    told, target = [], config["model"]["_target_"]
    if not target.startswith("vae_sweep."):
        vae = _made(config["model"], data)
        config = {**config, "model": {**config["model"], "latent_dim": vae.latent_dim}}
        told = _of_the_network(vae, config)
    if said := refused(config, typed, batch, len(data.train)):
        raise SettingsError(said)
    images = f"images      {data.name}: {len(data.train):,} to train on, of {_shape(data.shape)} (C, H, W) in [0, 1]"
    return [images, *told, *_of_the_loss(config, batch, len(data.train))]


def _made(model: Mapping[str, Any], data: ImageData) -> Any:
    own = {key: value for key, value in model.items() if key not in _NOT_ITS}
    try:
        with torch.random.fork_rng(devices=[]):
            make = instantiate(own, _partial_=True, _convert_="all")
            return as_vae(call_with_taken(make, image_shape=data.shape), None, data.shape)
    except Exception as error:
        cause = error.__cause__ or error
        first = (str(cause).strip().splitlines() or [""])[0]
        raise SettingsError(f"model._target_={model['_target_']}: {type(cause).__name__}: {first}") from None


def _of_the_network(vae: nn.Module, config: Mapping[str, Any]) -> list[str]:
    shape: tuple[int, ...] = getattr(vae, "latent_shape", (vae.latent_dim,))  # type: ignore[arg-type]
    told = [
        f"network     {config['model']['_target_']}: {sum(p.numel() for p in vae.parameters()):,} parameters",
        f"latents     {_shape(shape)} of an image: model.latent_dim={vae.latent_dim}",
    ]
    if any(isinstance(part, BatchNorm) for part in vae.modules()):
        told.append(
            f"BatchNorm   trains on the statistics of {config['data']['batch_size']} images, and is measured with"
            " running means of them, which some hundred steps make true; its members train one to a process"
        )
    return told


def _of_the_loss(config: Mapping[str, Any], batch: Tensor, images: int) -> list[str]:
    lit = build(config, tuple(batch.shape[1:]), images)  # type: ignore[arg-type]
    recon, vae = config["loss"]["recon"], lit.objective.vae
    read_as = "logits" if lit.objective.likelihood.traits.logits else "pixels in [0, 1], not squashed"
    ends_in = None if config["model"]["_target_"].startswith("vae_sweep.") else squashed(vae, vae.latent_dim)
    x = lit.draw(batch)
    loss, terms = lit.objective(x, lit.noise(x), lit.weights_for(x), lit.weight_noise(x))
    rate = terms["kl"].mean().item() if "kl" in terms else None
    return [
        f"outputs     read as {read_as} (loss.recon={recon})" + (f"; they end in a {ends_in}" if ends_in else ""),
        f"first batch loss {loss.item():.4g}" + (f", KL {rate:.4g} nats an image" if rate is not None else ""),
    ]


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
