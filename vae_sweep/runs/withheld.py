"""Values of the environment, `${oc.env:NAME}`, which are withheld from everything that is written.

What is written of a member (sweep.json, result.json, checkpoints, W&B) has the interpolation in the place of the value,
and under `withheld` a digest of each: {"model.key": "5e884898", "data.root": null}. By the digest another value is
another member, and whoever needs the value (`resolved`) is told where the environment has another one. Where another
value changes no number, such as a place or a password, there is none.

A digest has 32 bits: it confirms a guess, and tells nothing of a key that cannot be guessed.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from vae_sweep.runs.files import RecordError
from vae_sweep.runs.nested import at, with_value

KEY = "withheld"
# What an interpolation in a written configuration may ask: a run folder may come from anybody.
_HARMLESS = ("oc.env", "oc.decode", "oc.select", "oc.create", "oc.deprecated", "oc.dict.keys", "oc.dict.values")
_ASKED = re.compile(r"\$\{\s*([^\s${}:]+)\s*:|\$\{[^}:]*(\$\{)")  # a resolver's name, or one that is made of others
_LEAST = 4  # characters of a value that is looked for in messages; a shorter one is part of too much

_seen: dict[str, str] = {}  # values that this process has resolved -> their interpolations


def withhold(config: Mapping[str, Any], places: Mapping[str, str], moves: Collection[str] = ()) -> dict[str, Any]:
    """`config`, resolved, as it is written. places: dotted key -> the interpolation that stays there; moves: those of
    them that may have another value later."""
    digests = {key: None if key in moves else digest(_at(config, key)) for key in places}
    found = dict(config)
    for key, text in places.items():
        found = with_value(found, key.split("."), text)
    return {**found, KEY: digests} if digests else found


def resolved(config: Mapping[str, Any], sections: Collection[str] | None = None) -> dict[str, Any]:
    """A configuration as it was written, with the values of this process's environment. sections: only of these.

    Raises RecordError for a variable that is missing or has another value than when the member was planned.
    """
    found = {key: value for key, value in config.items() if key != KEY}
    if not (digests := config.get(KEY)):
        return found
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    asked = {name or made for name, made in _ASKED.findall(json.dumps(found, default=str))}
    if others := asked - set(_HARMLESS):
        raise RecordError(f"{min(others)} in an interpolation of a run's configuration: only oc.env is asked")
    written = dict(found)
    for key, wanted in digests.items():
        if sections is not None and key.split(".")[0] not in sections:
            continue
        text = _at(written, key)
        try:
            value = OmegaConf.select(OmegaConf.create(written), key)
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
        except OmegaConfBaseException as error:
            raise RecordError(f"{key}={text}: {why(error)}") from None
        if wanted is not None and digest(value) != wanted:
            raise RecordError(f"{key}={text}: has another value in this environment than the run was made with")
        if isinstance(value, str) and len(value) >= _LEAST:
            _seen[value] = str(text)
        found = with_value(found, key.split("."), value)
    return found


def identified(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the digests in their places: equal for members whose values are, whatever the variables' names."""
    found = {key: value for key, value in config.items() if key != KEY}
    for key, known in (config.get(KEY) or {}).items():
        found = with_value(found, key.split("."), {KEY: known})
    return found


def without_values(text: str) -> str:
    """A message with the interpolations in the place of the values that this process has looked up."""
    for value, interpolation in sorted(_seen.items(), key=lambda item: -len(item[0])):
        text = text.replace(value, interpolation)
    return text


def why(error: Exception) -> str:
    """OmegaConf's reason, in a line: Environment variable 'NAME' not found."""
    return str(error).splitlines()[0].split("raised while resolving interpolation: ")[-1].strip('"')


def digest(value: Any) -> str:
    """8 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _at(config: Mapping[str, Any], key: str) -> Any:
    """Raises RecordError for a key that is not there."""
    try:
        return at(config, key.split("."))
    except (LookupError, TypeError, ValueError):
        raise RecordError(f"{KEY}.{key}: no such key in the configuration") from None
