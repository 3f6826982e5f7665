"""Checks of a configuration before anything is trained or written. One error, one line, the key and its value named."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.checks import (
    SHARE_HELD_OUT,
    Check,
    SettingsError,
    boolean,
    choice,
    either,
    file_name,
    integer,
    number,
    optional,
    text,
    time_span,
)
from vae_sweep.models.layout import AUTO, layout_of, settled
from vae_sweep.runs.members import flatten, is_multi_rate
from vae_sweep.schedules import SHAPES
from vae_sweep.schedules.learning_rate import NAMES
from vae_sweep.traits import LIKELIHOODS, SCHEDULES, likelihood, target_of


def _widths(value: Any) -> str | None:
    fine = isinstance(value, (list, tuple)) and value and all(integer(1)(width) is None for width in value)
    return None if fine else "a list of whole numbers >= 1"


def _rising(value: Any) -> str | None:
    fine = isinstance(value, (list, tuple)) and len(value) == 2 and all(number(above=0)(end) is None for end in value)
    return None if fine and value[0] < value[1] else "[lowest, highest], two rising numbers > 0"


def _dotted_paths(value: Any) -> str | None:
    fine = isinstance(value, (list, tuple)) and all(isinstance(path, str) and "." in path for path in value)
    return None if fine else "a list of dotted paths of functions, [my_package.sharpness]"


def _loggers(value: Any) -> str | None:
    names = ("tensorboard", "csv", "mlflow")
    each = value if isinstance(value, (list, tuple)) else [value]
    fine = all(one in names if isinstance(one, str) else isinstance(one, Mapping) and "_target_" in one for one in each)
    return None if fine else f"{', '.join(names)}, a list of them, or {{_target_: of a Lightning logger}}"


def either_named(*names: str) -> Check:
    """One of our names, or the dotted path of somebody's own class."""
    known = choice(*names)

    def check(value: Any) -> str | None:
        theirs = value.get("_target_") if isinstance(value, Mapping) else value
        expected = None if isinstance(theirs, str) and "." in theirs else known(value)
        return expected and f"{expected}, or the dotted path of a class of your own"

    return check


WEIGHT = 1e12  # more than any convention makes of a weight; a float32 holds its product with any KL

# Groups and sections, and the keys without which a group is none.
_SECTIONS = {
    "data": ("_target_", "batch_size"),
    "model": ("_target_", "latent_dim"),
    "kl_schedule": ("_target_",),
    "optimizer": ("lr", "lr_schedule"),
    **dict.fromkeys(("loss", "trainer", "logger", "launcher"), ()),
}
_CLOSED = ("loss", "trainer", "logger", "launcher")  # have the keys of conf/config.yaml and no others

# The range of every key that a member may have. Keys of other people's models (`_target_`) are not in here.
CHECKS: dict[str, Check] = {
    "objective": choice("vae", "autoencoder"),
    "model.latent_dim": either(choice(AUTO), integer(1, 10**6)),
    "model.latent_grid": either(choice(AUTO), integer(1, 1024)),
    "model.linear_path": boolean,
    "model.posterior": choice("diagonal", "shared_scale", "full"),
    "model.channels": integer(1, 10**4),
    "model.blocks": integer(0, 1000),
    "model.hidden": _widths,
    "model.init_from": optional(text),
    "model.multi_rate": boolean,
    "model.kl_weight_range": _rising,
    "model.activation": choice("relu", "tanh", "silu", "gelu", "softplus"),
    "data.batch_size": integer(1, 10**6),
    "data.augment": choice("none", "flip", "crop", "flip_crop"),
    "data.val_fraction": SHARE_HELD_OUT,
    "data.cache_dir": optional(text),
    "loss.recon": either_named(*LIKELIHOODS),
    "loss.kl_weight": number(low=0, high=WEIGHT),
    "loss.reduction": choice(
        "sum", "half_sum", "mean_pixels", "mean_pixels_latents", "mean_pixels_batch", "normalised"
    ),
    "loss.scale": number(low=1e-6, high=1e6),
    "loss.learn_scale": boolean,
    "loss.divergence": either_named("kl", "reverse_kl", "tc"),
    "loss.mi_weight": number(low=0, high=WEIGHT),
    "loss.tc_weight": number(low=0, high=WEIGHT),
    "loss.dimension_weight": number(low=0, high=WEIGHT),
    "loss.tc_estimator": choice("stratified", "weighted"),
    "loss.free_bits": optional(number(low=0, high=1e6)),
    "loss.free_bits_groups": optional(integer(1)),
    "loss.weight_kl_weight": optional(number(low=0, high=WEIGHT)),
    "loss.weight_prior_scale": number(low=1e-6, high=1e6),
    "optimizer.lr": number(above=0, high=10),
    "optimizer.lr_schedule": choice(*NAMES),
    "optimizer.grad_clip": optional(number(low=1e-9, high=1e12)),
    "optimizer.weight_decay": number(low=0, high=100),
    "optimizer.alpha": number(low=0, high=1),
    "optimizer.momentum": number(low=0, high=1),
    "optimizer.centered": boolean,
    "optimizer.nesterov": boolean,
    "trainer.max_epochs": number(above=0, high=1e6),
    "trainer.max_steps": optional(integer(1, 10**9)),
    "trainer.until": optional(choice("converged")),
    "trainer.ema": number(low=0, high=0.999999),
    "trainer.keep": choice("last", "best"),
    "trainer.accelerator": choice("auto", "cpu", "cuda", "mps"),
    "trainer.devices": integer(1, 1024),
    "trainer.precision": choice("auto", 32, "32", "bf16", 64, "64"),
    "trainer.log_every_n_steps": integer(1),
    "trainer.val_every_n_epochs": number(above=0),
    "trainer.checkpoint_every_s": number(above=0),
    "trainer.evaluate": boolean,
    "trainer.metrics": _dotted_paths,
    "logger.wandb": choice("auto", "online", "offline", "disabled"),
    "logger.also": optional(_loggers),
    "logger.project": text,
    "logger.entity": optional(text),
    "launcher.jobs": optional(integer(1, 10**4)),
    "launcher.jobs_per_gpu": integer(1, 64),
    "launcher.pack": either(choice("auto", "off"), integer(1)),
    "launcher.stop_after": optional(integer(1)),
    "launcher.budget": optional(time_span),
    "kl_schedule.goal": number(above=0),
    "kl_schedule.target": number(above=0),
    "kl_schedule.kl_weight": number(above=0, high=WEIGHT),
    "kl_schedule.eta": number(above=0),
    "kl_schedule.memory": number(low=0, high=0.999999),
    "kl_schedule.kp": number(low=0),
    "kl_schedule.ki": number(above=0),
    "kl_schedule.shape": choice(*SHAPES),
    "kl_schedule.low": number(low=0, high=1),
    "kl_schedule.high": number(low=1),
    "seed": integer(0, 2**32 - 1),
    "sweep": optional(file_name),
    "retry": optional(either(choice("failed"), integer(1))),
    "output_dir": text,
}


def check_member(config: Mapping[str, Any]) -> None:
    """Raises SettingsError for the first value out of its range, or a combination that cannot train."""
    _check_sections(config)
    for key, check in CHECKS.items():
        section, _, name = key.rpartition(".")
        values = config[section] if section else config
        if name in values and (expected := check(values[name])):
            raise SettingsError(f"{key}={_shown(values[name])}: expected {expected}")
    for path in config["trainer"]["metrics"]:
        _check_target("trainer.metrics", path)
    for section in ("model", "data", "kl_schedule"):
        _check_target(f"{section}._target_", config[section]["_target_"])
    if "_target_" in config["optimizer"]:
        _check_target("optimizer._target_", config["optimizer"]["_target_"])
    if config["optimizer"].get("nesterov") and not config["optimizer"].get("momentum"):
        raise SettingsError("optimizer.nesterov=true: needs optimizer.momentum above 0")
    for key in ("recon", "divergence"):
        if "." in (target := target_of(config["loss"][key])):
            _check_target(f"loss.{key}", target)
    batch_size, devices = config["data"]["batch_size"], config["trainer"]["devices"]
    if batch_size % devices:
        raise SettingsError(f"data.batch_size={batch_size}: not divisible by trainer.devices={devices}")
    if config["trainer"].get("until") and devices > 1:
        raise SettingsError(f"trainer.devices={devices}: trainer.until=converged needs 1")
    if config["trainer"].get("until") and config["optimizer"]["lr_schedule"] == "cosine":
        raise SettingsError(
            "optimizer.lr_schedule=cosine: falls from the first step on; trainer.until=converged needs a rate that is"
            " level first: wsd, plateau or constant"
        )
    kl_schedule = target_of(config["kl_schedule"])
    varies = kl_schedule in SCHEDULES and not SCHEDULES[kl_schedule].settles and config["objective"] == "vae"
    if config["trainer"]["keep"] == "best" and varies:
        raise SettingsError(
            f"trainer.keep=best: kl_schedule={SCHEDULES[kl_schedule].name} has no final KL weight at which one"
            " validation could be compared with another; expected last"
        )
    loss = config["loss"]
    recon, has_scale = target_of(loss["recon"]), likelihood({"recon": loss["recon"]}).scale == "set"
    if loss["scale"] != 1 and not has_scale:
        raise SettingsError(f"loss.scale={loss['scale']}: loss.recon={recon} has no scale to set")
    if loss["learn_scale"] and not has_scale:
        raise SettingsError(f"loss.learn_scale=true: loss.recon={recon} has no scale to learn")
    if loss["free_bits"] is not None and loss["divergence"] != "kl":
        raise SettingsError(f"loss.free_bits={loss['free_bits']}: needs loss.divergence=kl")
    groups, latents = loss["free_bits_groups"], config["model"]["latent_dim"]
    if groups is not None and latents != AUTO and latents % groups:
        raise SettingsError(f"loss.free_bits_groups={groups}: does not divide model.latent_dim={latents}")
    if config["objective"] == "vae" and loss["kl_weight"] == 0:
        raise SettingsError(
            "loss.kl_weight=0: a VAE without KL has no noise scale; objective=autoencoder is that run, and 1e-8 is"
            " noise without a price"
        )
    if config["objective"] == "vae" and loss["kl_weight"] < 1e-12:
        raise SettingsError(
            f"loss.kl_weight={loss['kl_weight']}: a VAE whose KL weighs nothing; objective=autoencoder is that run"
        )
    if config["model"].get("init_from") and loss["weight_kl_weight"] is not None:
        raise SettingsError(
            f"model.init_from={config['model']['init_from']}: random weights (loss.weight_kl_weight) begin at their own"
        )
    if is_multi_rate(config):
        _check_multi_rate(config)


def _check_sections(config: Mapping[str, Any]) -> None:
    """Every section is there, with the keys that it always has."""
    for section, needs in _SECTIONS.items():
        found = config.get(section)
        if not isinstance(found, Mapping):
            raise SettingsError(f"{section}={_shown(found)}: expected a section of settings; --help lists its options")
        if missing := [key for key in needs if found.get(key) is None]:
            raise SettingsError(f"{section}.{missing[0]}: needs a value, none was given")
    groups = ("data", "model", "kl_schedule", "optimizer")  # whose options have keys of their own
    closed = {key: key.rpartition(".") for key in CHECKS if key.split(".")[0] not in groups}
    for key, (section, _, name) in closed.items():
        if name not in (config[section] if section else config):
            raise SettingsError(f"{key}: needs a value, none was given")
    # An optimiser of torch's has its option's keys alone; what another one takes is its own affair.
    ours = str(config["optimizer"].get("_target_", "torch.optim.")).startswith("torch.optim.")
    for section in (*_CLOSED, *(("optimizer",) if ours else ())):
        if unknown := [key for key in config[section] if f"{section}.{key}" not in CHECKS and key != "_target_"]:
            raise SettingsError(f"{section}.{unknown[0]}: no such setting")


# What one loss for all weights leaves no room for: a second weight, or one that moves.
_MULTI_RATE_NEEDS = {
    "model.posterior": "diagonal",
    "loss.divergence": "kl",
    "loss.free_bits": None,
    "loss.weight_kl_weight": None,
    "loss.learn_scale": False,
    "kl_schedule._target_": "vae_sweep.schedules.constant",
}


def _check_multi_rate(config: Mapping[str, Any]) -> None:
    flat = flatten(config)
    for key, needed in _MULTI_RATE_NEEDS.items():
        if flat.get(key, needed) != needed:
            raise SettingsError(f"{key}={_shown(flat[key])}: model.multi_rate=true needs {_shown(needed)}")
    if likelihood(config["loss"]).scale == "fitted":
        recon = target_of(config["loss"]["recon"])
        raise SettingsError(f"loss.recon={recon}: sets its own weight; model.multi_rate=true trains on a range")
    low, high = flat["model.kl_weight_range"]
    if not low <= flat["loss.kl_weight"] <= high:
        raise SettingsError(
            f"loss.kl_weight={flat['loss.kl_weight']}: outside model.kl_weight_range=[{low}, {high}],"
            " which a multi-rate model is trained on"
        )


def _check_target(key: str, target: Any) -> None:
    """Find the package that `target` lies in. Nothing is imported, as it would be to find a module inside of it."""
    package, _, inside = str(target).partition(".")
    try:
        if inside and importlib.util.find_spec(package) is not None:
            return
    except (ImportError, ValueError):
        pass
    raise SettingsError(f"{key}={target}: no such module; is it importable from this folder?")


def settle(config: Mapping[str, Any], image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """A member's config with the numbers that `auto` stands for on images (C, H, W).

    Raises SettingsError for latents that do not lie on the grid, and for free bits that do not divide them.
    """
    model = settled(config["model"], image_shape)
    try:
        layout_of(model, image_shape)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    groups = config["loss"].get("free_bits_groups")
    if groups is not None and model["latent_dim"] % groups:
        raise SettingsError(f"loss.free_bits_groups={groups}: does not divide model.latent_dim={model['latent_dim']}")
    return {**config, "model": model}


def check_members(configs: Sequence[Mapping[str, Any]]) -> None:
    """All members before the first trains. The message says which member is meant where there are several."""
    for number_, config in enumerate(configs):
        try:
            check_member(config)
        except SettingsError as error:
            where = f" (member {number_ + 1} of {len(configs)})" if len(configs) > 1 else ""
            raise SettingsError(f"{error}{where}") from None


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
