"""A member: one configuration of the sweep, known by its content."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vae_sweep.runs import withheld
from vae_sweep.runs.nested import flatten
from vae_sweep.traits import Says

# What a member's numbers do not depend on. Data are known by their fingerprint, not by where they lie.
_IMMATERIAL = (
    "logger", "launcher", "sweep", "retry", "output_dir", "experiment",
    "data.root", "data.path", "data.dataset", "data.cache_dir", "data.download", "data.max_unreadable", "data.workers",
    "trainer.log_every_n_steps", "trainer.checkpoint_every_s", "trainer.evaluate", "trainer.metrics",
    "trainer.accelerator",
)  # fmt: skip
# Settings that are paths of this machine.
PLACES = ("data.root", "data.path", "data.cache_dir", "data.dataset.root", "model.init_from", "output_dir")
# What an autoencoder, which has no KL, does not depend on either.
_ONLY_VARIATIONAL = (
    "loss.kl_weight", "loss.divergence", "loss.free_bits", "loss.free_bits_groups", "loss.mi_weight", "loss.tc_weight",
    "loss.dimension_weight", "loss.tc_estimator", "kl_schedule", "model.posterior", "model.multi_rate",
    "model.kl_weight_range",
)  # fmt: skip
# What older folders have no word for, where it is as it was.
_AS_EVER = (
    ("data", "augment", "none"), ("optimizer", "weight_decay", 0),
    ("model", "latent_grid", 1), ("model", "linear_path", False), ("model", "init_from", None),
    ("data", "images", None), ("data", "labels", None),
    ("data", "range", None), ("data", "white", None), ("data", "channels", None), ("data", "bands", None),
    ("trainer", "until", None), ("optimizer", "_target_", "torch.optim.Adam"),
    ("trainer", "keep", "last"), ("trainer", "ema", 0),
)  # fmt: skip
LENGTH = ("max_epochs", "max_steps", "until")  # of `trainer`: a longer run is the same member, gone on
_SLUG_LENGTH = 60


@dataclass(frozen=True)
class Member:
    """One configuration.

    id: content hash; config: plain dict, as it is written (withheld.py); overrides: what the user typed; says: what the
    classes of other packages that it names say of themselves (traits.py).
    """

    id: str
    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    says: Says = field(default_factory=dict)


def member_id(config: Mapping[str, Any], data_fingerprint: str) -> str:
    """8 hex digits of the config that matters and the data's fingerprint."""
    kept = config_that_matters(withheld.identified(config))
    for section, key, old in _AS_EVER:
        if key in kept.get(section, {}) and kept[section][key] == old:
            del kept[section][key]
    matters = json.dumps([kept, data_fingerprint], sort_keys=True)
    return hashlib.sha256(matters.encode()).hexdigest()[:8]


def kin(config: Mapping[str, Any], data_fingerprint: str) -> str:
    """Equal for members that differ in nothing but their length."""
    trainer = {key: value for key, value in config["trainer"].items() if key not in LENGTH}
    return member_id({**config, "trainer": trainer}, data_fingerprint)


def total_steps(config: Mapping[str, Any], images: int) -> int:
    """Optimiser steps of a member that trains on so many images."""
    trainer = config["trainer"]
    if trainer["max_steps"] is not None:
        return trainer["max_steps"]
    return math.ceil(trainer["max_epochs"] * images / config["data"]["batch_size"])


def config_that_matters(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without the keys that change no number of this member."""
    kept = {key: _sections_copied(value) for key, value in config.items() if key != "hydra"}
    if config["objective"] == "autoencoder":
        others: tuple[str, ...] = _ONLY_VARIATIONAL
    elif is_multi_rate(config):
        others = () if keeps_best(config) else ("loss.kl_weight",)  # it is validated at that weight
    else:
        others = ("model.kl_weight_range",)
    for key in _IMMATERIAL + others:
        *parents, last = key.split(".")
        node = kept
        for parent in parents:
            node = node.get(parent, {})
        node.pop(last, None)
    if digests := kept.pop(withheld.KEY, None):
        known = {key: found for key, found in digests.items() if not _is_below(key, (*_IMMATERIAL, *others))}
        kept |= {withheld.KEY: known} if known else {}
    return kept


def written(config: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """A resolved `config` as it is written, without the values of the environment. places: key -> interpolation."""
    data = [key for key in _IMMATERIAL if key.startswith("data.")]  # which are known by their fingerprint
    return withheld.withhold(config, places, [key for key in places if _is_below(key, data)])


def _is_below(key: str, keys: Iterable[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in keys)


def _sections_copied(value: Any) -> Any:
    """Of a config: its sections, which keys are taken out of, but not the values in them."""
    if not isinstance(value, Mapping):
        return value
    return {key: _sections_copied(inner) for key, inner in value.items()}


def is_multi_rate(config: Mapping[str, Any]) -> bool:
    """Whether the member is one model for all weights: it trains on a range, loss.kl_weight only says where to look."""
    return config["objective"] == "vae" and bool(config["model"].get("multi_rate"))


def keeps_best(config: Mapping[str, Any]) -> bool:
    """Whether the member is judged at its best validation, not at its end."""
    return config.get("trainer", {}).get("keep") == "best"


def slug(overrides: Iterable[str], config: Mapping[str, Any]) -> str:
    """A readable part of a folder's name: the last words of the overrides that matter to this member."""
    matters = flatten(config_that_matters(config))
    words = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in matters or any(known.startswith(f"{key}.") for known in matters):
            speaks = "." not in key and value.isidentifier()  # vae, linear, conv; a seed needs its name
            words.append(value if speaks else f"{key.split('.')[-1]}={_short(value)}")
    text = re.sub(r"[^A-Za-z0-9_.=,+-]+", "_", ",".join(words)).strip("_.,-")
    return text[:_SLUG_LENGTH].rstrip("_.,-") or "default"


def _short(value: str) -> str:
    """0.30000000000000004, which a range makes, as 0.3."""
    return f"{float(value):.6g}" if re.fullmatch(r"-?\d+\.\d{9,}", value) else value


def swept_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Dotted keys that matter and whose value differs between the members that have them, in config order."""
    flats = [flatten(config_that_matters(config)) for config in configs]
    values: dict[str, list[Any]] = {}
    for flat in flats:
        for key, value in flat.items():
            values.setdefault(key, []).append(value)
    return [key for key, found in values.items() if any(value != found[0] for value in found)]
