"""Nested sections, as configs are: a value at a path of keys, and all of them by dotted keys. Nothing is changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def at(node: Any, path: Iterable[str | int]) -> Any:
    """The value at a path of keys and, in lists, places. Raises LookupError, TypeError or ValueError without one."""
    for word in path:
        node = node[word] if isinstance(node, Mapping) else node[int(word)]
    return node


def with_value(node: Any, path: Sequence[str | int], value: Any) -> Any:
    """`node` with a value at `path`; what lies beside the path is shared, not copied."""
    word, *rest = path
    if isinstance(node, Mapping):
        return {**node, word: with_value(node[word], rest, value) if rest else value}
    place = int(word)
    return [*node[:place], with_value(node[place], rest, value) if rest else value, *node[place + 1 :]]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"loss": {"kl_weight": 1}} -> {"loss.kl_weight": 1}; an empty section is a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
