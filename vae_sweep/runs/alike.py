"""Failures that are one: a network that does not work fails in every member, and is reported once."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Item = TypeVar("Item")
_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}|\d+(\.\d+)?(e[+-]?\d+)?")
_FRAME = re.compile(r'^\s*File "(.+?)", line (\d+)', re.MULTILINE)


def said(error: Mapping[str, Any]) -> str:
    """What a failure says, without the numbers that differ from member to member."""
    first = (str(error.get("message") or "").strip().splitlines() or [""])[0]
    return _NUMBERS.sub("#", f"{error.get('type')}: {first}")[:160]


def kind(error: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Two failures of the same kind say the same, at the same lines of code."""
    return said(error), tuple(_FRAME.findall(str(error.get("traceback") or "")))


def grouped(failures: Iterable[tuple[Item, Mapping[str, Any]]]) -> list[list[Item]]:
    """Those of one kind together, all in their order. failures: (whose, error)"""
    found: dict[Any, list[Item]] = {}
    for item, error in failures:
        found.setdefault(kind(error), []).append(item)
    return list(found.values())


def in_others(others: int) -> str:
    """'the same in 9 other runs'"""
    return f"the same in {others} other run{'s' if others > 1 else ''}"
