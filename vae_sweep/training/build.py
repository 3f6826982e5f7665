"""From a member's config to its objects: the door behind which nobody reads a config."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from hydra.utils import get_method, get_object, instantiate
from torch import nn

from vae_sweep.evaluation import Metric
from vae_sweep.models.bayesian import BayesianVAE
from vae_sweep.models.divergences import KL, Capacity, Divergence, divergence
from vae_sweep.models.layout import settled
from vae_sweep.models.likelihoods import Likelihood, likelihood
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.models.networks import ImageShape
from vae_sweep.models.objective import Objective
from vae_sweep.models.own import as_vae, call_with_taken
from vae_sweep.runs.members import keeps_best, total_steps
from vae_sweep.schedules import constant
from vae_sweep.theory.start import Moments
from vae_sweep.training.lit_vae import LitVAE, OptimizerSettings
from vae_sweep.training.starting import start_of, weights_of
from vae_sweep.traits import DIVERGENCES, LIKELIHOODS, ScheduleTraits, is_ours, schedule

Section = Mapping[str, Any]  # of a config


@dataclass(frozen=True)
class RunSettings:
    """How a member is trained and measured, beside its objective. metrics: of other packages.

    batch_size: images of a step, over all devices; val_every_n_epochs: may be a fraction; checkpoint_every_s: seconds;
    augment: see data/augment.py.
    """

    batch_size: int
    accelerator: str
    devices: int
    precision: str | int
    val_every_n_epochs: float
    checkpoint_every_s: float
    evaluate: bool
    augment: str = "none"
    metrics: tuple[Metric, ...] = ()


def run_settings(config: Mapping[str, Any]) -> RunSettings:
    trainer = config["trainer"]
    return RunSettings(
        batch_size=config["data"]["batch_size"],
        accelerator=trainer["accelerator"],
        devices=trainer["devices"],
        precision=trainer["precision"],
        val_every_n_epochs=trainer["val_every_n_epochs"],
        checkpoint_every_s=trainer["checkpoint_every_s"],
        evaluate=trainer["evaluate"],
        augment=config["data"].get("augment", "none"),
        metrics=tuple(own_metrics(config)),
    )


def build(config: Mapping[str, Any], image_shape: ImageShape, images: int, moments: Moments | None = None) -> LitVAE:
    """The untrained module of a member. images: how many there are to train on; moments: theirs, if the network starts
    from them.

    The weights follow from the seed alone, so that a member begins alike in a pack, alone and on any device. Raises
    ValueError, naming the key, for a combination that has no meaning.
    """
    steps = total_steps(config, images)
    config = {**config, "model": settled(config["model"], image_shape)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        vae = build_vae(config, image_shape, moments)
        kl_schedule, capacity = build_schedule(config, steps)
        objective = Objective(
            vae,
            build_likelihood(config["loss"]),
            build_divergence(config, images, capacity),
            config["loss"].get("reduction", "sum"),
            config["objective"] == "autoencoder",
            config["loss"].get("weight_kl_weight"),
            images,
            config["data"]["batch_size"],
        )
    return LitVAE(
        objective,
        kl_weight=config["loss"]["kl_weight"],
        kl_schedule=kl_schedule,
        optimizer=optimizer_settings(config["optimizer"]),
        total_steps=steps,
        seed=config["seed"],
        images=images,
        binarize=config["data"].get("binarize") == "dynamic",
        log_every_n_steps=config["trainer"]["log_every_n_steps"],
        until_rest=config["trainer"].get("until") == "converged",
        keep_best=keeps_best(config),
        ema=config["trainer"].get("ema", 0),
    ).to(memory_format=torch.channels_last)


def build_vae(config: Mapping[str, Any], image_shape: ImageShape, moments: Moments | None = None) -> nn.Module:
    """The network, with what the member makes of it: one model for all weights, or random weights."""
    # A partial, so that the network gets a tuple and lists, not the containers of Hydra.
    model, loss = dict(config["model"]), config["loss"]
    multi_rate, kl_weight_range = model.pop("multi_rate", False), model.pop("kl_weight_range", None)
    model.pop("init_from", None)  # weights that training begins with; see init_from.py
    known = {} if moments is None else {"start": start_of(config, moments, image_shape)}
    make = instantiate(model, _partial_=True, _convert_="all")
    call = make if model["_target_"].startswith("vae_sweep.") else partial(call_with_taken, make)
    vae: nn.Module = as_vae(call(image_shape=tuple(image_shape), **known), model["latent_dim"], image_shape)
    if multi_rate and config["objective"] != "autoencoder":
        own = {} if moments is None else {"own_weights": partial(weights_of, config, moments, image_shape)}
        vae = MultiRateVAE(vae, loss["kl_weight"], kl_weight_range, **own)
    if loss.get("weight_kl_weight") is not None:
        vae = BayesianVAE(vae, loss["weight_prior_scale"])
    return vae


def optimizer_settings(section: Section) -> OptimizerSettings:
    """The section's own keys, and what else it holds, for the optimiser of its `_target_`.

    Raises ValueError for a class that is no optimiser, or lacks a parameter.
    """
    ours = {field.name for field in fields(OptimizerSettings)} - {"make", "options"}
    known = {key: value for key, value in section.items() if key in ours}
    options = {key: value for key, value in section.items() if key not in ours and key != "_target_"}
    target = section.get("_target_", "torch.optim.Adam")
    make = get_object(target)
    if not (isinstance(make, type) and issubclass(make, torch.optim.Optimizer)):
        raise ValueError(f"optimizer._target_={target}: expected a class made of torch.optim.Optimizer")
    if make is torch.optim.LBFGS:
        raise ValueError(f"optimizer._target_={target}: looks at a batch several times in a step; expected one look")
    taken = inspect.signature(make).parameters
    if unknown := [key for key in options if key not in taken]:
        raise ValueError(f"optimizer.{unknown[0]}: {target} has no parameter of that name")
    return OptimizerSettings(**known, make=make, options=options)


def build_likelihood(loss: Section) -> Likelihood:
    """loss.recon: a name of ours, or somebody's own class."""
    recon = loss.get("recon", "sse")
    if is_ours(recon, LIKELIHOODS):
        return likelihood(recon, loss.get("scale", 1.0), loss.get("learn_scale", False))
    return own("loss.recon", recon, Likelihood)


def build_divergence(config: Mapping[str, Any], images: int, capacity: Callable[[int], float] | None) -> Divergence:
    """loss.divergence, a name of ours or somebody's own class, with its free bits, or pulled to a capacity."""
    if config["objective"] == "autoencoder":
        return KL()  # of which it has none
    loss = config["loss"]
    named = loss.get("divergence", "kl")
    if is_ours(named, DIVERGENCES):
        keys = ("free_bits", "free_bits_groups", "mi_weight", "tc_weight", "dimension_weight", "tc_estimator")
        settings = {key: loss[key] for key in keys if key in loss}
        found = divergence(named, images, config["model"]["latent_dim"], **settings)
    else:
        found = own("loss.divergence", named, Divergence)
    return found if capacity is None else Capacity(found, capacity)


def build_schedule(config: Mapping[str, Any], steps: int) -> tuple[Any, Callable[[int], float] | None]:
    """(schedule or controller, capacity in nats by step or None)"""
    if config["objective"] == "autoencoder":
        return constant(steps), None
    made = instantiate(config["kl_schedule"], total_steps=steps)
    if schedule_traits(made, config["kl_schedule"]).capacity:
        return constant(steps), made
    return made, None


def schedule_traits(made: Any, kl_schedule: Section) -> ScheduleTraits:
    """What the schedule `made` of this section says of itself; of a plain function that says nothing, what it is."""
    said = getattr(made, "traits", None) or getattr(get_object(kl_schedule["_target_"]), "traits", None)
    if said is None and not hasattr(made, "at"):
        return schedule(kl_schedule, {"schedule": {"name": str(kl_schedule["_target_"]).rsplit(".", 1)[-1]}})
    return schedule(kl_schedule) if said is None else said


def own_metrics(config: Mapping[str, Any]) -> list[Metric]:
    """trainer.metrics: functions of other packages, by their dotted paths."""
    return [get_method(path) for path in config["trainer"].get("metrics") or ()]


def own(key: str, named: str | Section, kind: type) -> Any:
    """An object of another package: by the dotted path of its class, or by a mapping with `_target_` and arguments.

    Raises ValueError if it is not of the kind that `key` needs, or says nothing of itself.
    """
    section = {"_target_": named} if isinstance(named, str) else named
    made = instantiate(section, _convert_="all")
    if not isinstance(made, kind) or not hasattr(made, "traits"):
        raise ValueError(
            f"{key}={section['_target_']}: expected a subclass of {kind.__name__} that declares its traits"
        )
    return made
