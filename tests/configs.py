"""Members' configs, composed from the real conf/. Not a test."""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

CONF = Path(__file__).parents[1] / "conf"


def member_config(*overrides: str) -> dict[str, Any]:
    """The resolved plain config of one member. Hydra's global state is left as it was: unset.

    Composing takes Hydra a tenth of a second, and conf/ has no interpolations. So values are put where the config of
    the chosen groups has others; whatever is less plain than a value in the place of a value is left to Hydra.
    """
    choices = tuple(override for override in overrides if _is_choice(override))
    config = copy.deepcopy(_composed(choices))
    for override in overrides:
        if override not in choices and not _put(config, override):
            return copy.deepcopy(_composed(overrides))
    return config


@functools.lru_cache(maxsize=256)
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)  # type: ignore[return-value]


def _is_choice(override: str) -> bool:
    return (CONF / override.partition("=")[0]).is_dir()


def _put(config: dict[str, Any], override: str) -> bool:
    """Whether the override is a plain value of a key that has one; then it has that of the override."""
    key, equals, text = override.partition("=")
    if not equals or any(sign in text for sign in "${}()\\'\"") or not all(key.split(".")):
        return False
    *sections, last = key.split(".")
    node: Any = config
    for section in sections:
        node = node.get(section) if isinstance(node, dict) else None
    if not isinstance(node, dict) or isinstance(node.get(last, {}), Mapping):
        return False
    parsed = _parsed(override)
    if parsed.is_sweep_override():
        return False
    node[last] = copy.deepcopy(parsed.value())
    return True


@functools.lru_cache(maxsize=1024)
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)
