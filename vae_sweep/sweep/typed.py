"""Paths, and splits such as train[:100], as people type them. Hydra's grammar gives a meaning to `~`, commas, brackets
and more; they do not."""

import os
import re
from collections.abc import Sequence

from vae_sweep.runs.members import PLACES

_PLAIN = re.compile(r"(\.{0,2}/|[A-Za-z_])[A-Za-z0-9_./-]*")
_TEXTS = (*PLACES, "data.split")
_SPECIAL = ("null", "true", "false", "nan", "inf")


def as_typed(words: Sequence[str]) -> list[str]:
    """Words of a command line, with quotes around paths that Hydra would not take for what they are.

    A path that there is is one value, whatever is in it; `a,b` that are not there are two.
    """
    return [_as_typed(word) for word in words]


def quoted(text: str) -> str:
    """A text in quotes, where Hydra would take it for something else without."""
    if _PLAIN.fullmatch(text) and text.lower() not in _SPECIAL:
        return text
    escaped = re.sub(r"(\\*)('|$)", _escaped, text)  # backslashes count before a quote alone
    return f"'{escaped}'".replace("${", "\\${")  # else a value that is looked up


def _as_typed(word: str) -> str:
    key, found, value = word.partition("=")
    if key.lstrip("+") not in _TEXTS or not found or not value or "${" in value:
        return word
    if os.path.exists(os.path.expanduser(value)):
        return f"{key}={quoted(value)}"
    return word if _is_text(word) else f"{key}={quoted(value)}"


def _is_text(word: str) -> bool:
    """Whether Hydra reads a text, several, or null; not a number, a list, or nothing at all."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    value = override.value()
    return override.is_sweep_override() or value is None or isinstance(getattr(value, "text", value), str)


def _escaped(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")
