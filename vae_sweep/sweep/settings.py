"""Checks of a configuration before anything is trained or written. One error, one line, the key and its value named."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.checks import (
    SHARE_HELD_OUT,
    Check,
    SettingsError,
    boolean,
    check_all,
    choice,
    either,
    file_name,
    integer,
    number,
    optional,
    shown,
    text,
    time_span,
)
from vae_sweep.environment import install
from vae_sweep.models.layout import AUTO, layout_of, settled
from vae_sweep.runs.members import is_multi_rate
from vae_sweep.runs.nested import flatten
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

# Groups, whose options have keys of their own, and the keys without which a group is none.
_GROUPS = {
    "data": ("_target_", "batch_size"),
    "model": ("_target_", "latent_dim"),
    "kl_schedule": ("_target_",),
    "optimizer": ("lr", "lr_schedule"),
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
    check_all("", {key: found[0] for key in CHECKS if (found := _found(config, key))}, CHECKS)
    for rule in _RULES:
        _refuse(rule(config))


def _refuse(why: str | None) -> None:
    if why is not None:
        raise SettingsError(why)


def _found(config: Mapping[str, Any], key: str) -> list[Any]:
    """[the value of a setting], or [] where its section has no such key."""
    section, _, name = key.rpartition(".")
    values = config[section] if section else config
    return [values[name]] if name in values else []


def _check_sections(config: Mapping[str, Any]) -> None:
    """Every section is there, with the keys that it always has."""
    for section, needs in {**_GROUPS, **dict.fromkeys(_CLOSED, ())}.items():
        found = config.get(section)
        if not isinstance(found, Mapping):
            raise SettingsError(f"{section}={shown(found)}: expected a section of settings; --help lists its options")
        if missing := [key for key in needs if found.get(key) is None]:
            raise SettingsError(f"{section}.{missing[0]}: needs a value, none was given")
    for key in CHECKS:
        if key.split(".")[0] not in _GROUPS and not _found(config, key):
            raise SettingsError(f"{key}: needs a value, none was given")
    # An optimiser of torch's has its option's keys alone; what another one takes is its own affair.
    ours = str(config["optimizer"].get("_target_", "torch.optim.")).startswith("torch.optim.")
    for section in (*_CLOSED, *(("optimizer",) if ours else ())):
        if unknown := [key for key in config[section] if f"{section}.{key}" not in CHECKS and key != "_target_"]:
            raise SettingsError(f"{section}.{unknown[0]}: no such setting")


# ---- rules about several settings: each says in a line why a config, whose every value is in its range, cannot be


def _importable(config: Mapping[str, Any]) -> str | None:
    """The package that each dotted path lies in is there. Nothing is imported, as it would be to look inside of it."""
    named = [("trainer.metrics", path) for path in config["trainer"]["metrics"]]
    named += [(f"{section}._target_", config[section]["_target_"]) for section in ("model", "data", "kl_schedule")]
    named += [("optimizer._target_", target) for target in _found(config, "optimizer._target_")]
    parts = [(f"loss.{key}", target_of(config["loss"][key])) for key in ("recon", "divergence")]
    for key, target in [*named, *(part for part in parts if "." in part[1])]:
        package, _, inside = str(target).partition(".")
        try:
            if inside and importlib.util.find_spec(package) is not None:
                continue
        except (ImportError, ValueError):
            pass
        return f"{key}={target}: no such module; is it importable from this folder?"
    return None


def _loggers_are_there(config: Mapping[str, Any]) -> str | None:
    """Of the extras: a run would go on without them."""
    also = config["logger"].get("also") or []
    for name in [also] if isinstance(also, str) else also:
        packages = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",)}.get(str(name), ())
        if packages and not any(importlib.util.find_spec(package) for package in packages):
            return f"logger.also={name}: {install(name)}"
    return None


def _nesterov(config: Mapping[str, Any]) -> str | None:
    if config["optimizer"].get("nesterov") and not config["optimizer"].get("momentum"):
        return "optimizer.nesterov=true: needs optimizer.momentum above 0"
    return None


def _devices(config: Mapping[str, Any]) -> str | None:
    batch_size, devices = config["data"]["batch_size"], config["trainer"]["devices"]
    if batch_size % devices:
        return f"data.batch_size={batch_size}: not divisible by trainer.devices={devices}"
    if config["trainer"].get("until") and devices > 1:
        return f"trainer.devices={devices}: trainer.until=converged needs 1"
    return None


def _until_converged(config: Mapping[str, Any]) -> str | None:
    if config["trainer"].get("until") and config["optimizer"]["lr_schedule"] == "cosine":
        return (
            "optimizer.lr_schedule=cosine: falls from the first step on; trainer.until=converged needs a rate that is"
            " level first: wsd, plateau or constant"
        )
    return None


def _keep_best(config: Mapping[str, Any]) -> str | None:
    schedule = SCHEDULES.get(target_of(config["kl_schedule"]))
    if schedule is None or schedule.settles or config["objective"] != "vae":
        return None
    if config["trainer"]["keep"] == "best":
        return (
            f"trainer.keep=best: kl_schedule={schedule.name} has no final KL weight at which one validation could be"
            " compared with another; expected last"
        )
    return None


def _scale(config: Mapping[str, Any]) -> str | None:
    loss, recon = config["loss"], target_of(config["loss"]["recon"])
    if likelihood({"recon": loss["recon"]}).scale == "set":
        return None
    if loss["scale"] != 1:
        return f"loss.scale={loss['scale']}: loss.recon={recon} has no scale to set"
    if loss["learn_scale"]:
        return f"loss.learn_scale=true: loss.recon={recon} has no scale to learn"
    return None


def _free_bits(config: Mapping[str, Any]) -> str | None:
    loss = config["loss"]
    if loss["free_bits"] is not None and loss["divergence"] != "kl":
        return f"loss.free_bits={loss['free_bits']}: needs loss.divergence=kl"
    return None


def _free_bits_groups(config: Mapping[str, Any]) -> str | None:
    groups, latents = config["loss"].get("free_bits_groups"), config["model"]["latent_dim"]
    if groups is not None and latents != AUTO and latents % groups:
        return f"loss.free_bits_groups={groups}: does not divide model.latent_dim={latents}"
    return None


def _some_kl(config: Mapping[str, Any]) -> str | None:
    weight = config["loss"]["kl_weight"]
    if config["objective"] != "vae" or weight >= 1e-12:
        return None
    if weight == 0:
        return (
            "loss.kl_weight=0: a VAE without KL has no noise scale; objective=autoencoder is that run, and 1e-8 is"
            " noise without a price"
        )
    return f"loss.kl_weight={weight}: a VAE whose KL weighs nothing; objective=autoencoder is that run"


def _random_weights(config: Mapping[str, Any]) -> str | None:
    if (begins := config["model"].get("init_from")) and config["loss"]["weight_kl_weight"] is not None:
        return f"model.init_from={begins}: random weights (loss.weight_kl_weight) begin at their own"
    return None


# What one loss for all weights leaves no room for: a second weight, or one that moves.
_MULTI_RATE_NEEDS = {
    "model.posterior": "diagonal",
    "loss.divergence": "kl",
    "loss.free_bits": None,
    "loss.weight_kl_weight": None,
    "loss.learn_scale": False,
    "kl_schedule._target_": "vae_sweep.schedules.constant",
}


def _multi_rate(config: Mapping[str, Any]) -> str | None:
    if not is_multi_rate(config):
        return None
    flat = flatten(config)
    for key, needed in _MULTI_RATE_NEEDS.items():
        if flat.get(key, needed) != needed:
            return f"{key}={shown(flat[key])}: model.multi_rate=true needs {shown(needed)}"
    if likelihood(config["loss"]).scale == "fitted":
        recon = target_of(config["loss"]["recon"])
        return f"loss.recon={recon}: sets its own weight; model.multi_rate=true trains on a range"
    low, high = flat["model.kl_weight_range"]
    if not low <= flat["loss.kl_weight"] <= high:
        return (
            f"loss.kl_weight={flat['loss.kl_weight']}: outside model.kl_weight_range=[{low}, {high}],"
            " which a multi-rate model is trained on"
        )
    return None


_RULES = (
    _importable, _loggers_are_there, _nesterov, _devices, _until_converged, _keep_best, _scale, _free_bits,
    _free_bits_groups, _some_kl, _random_weights, _multi_rate,
)  # fmt: skip


def settle(config: Mapping[str, Any], image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """A member's config with the numbers that `auto` stands for on images (C, H, W).

    Raises SettingsError for latents that do not lie on the grid, and for free bits that do not divide them.
    """
    model = settled(config["model"], image_shape)
    try:
        layout_of(model, image_shape)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    found = {**config, "model": model}
    _refuse(_free_bits_groups(found))
    return found


def check_members(configs: Sequence[Mapping[str, Any]]) -> None:
    """All members before the first trains. The message says which member is meant where there are several."""
    for index, config in enumerate(configs, start=1):
        try:
            check_member(config)
        except SettingsError as error:
            where = f" (member {index} of {len(configs)})" if len(configs) > 1 else ""
            raise SettingsError(f"{error}{where}") from None
