"""Checks of single values: each says what it expected, or None where the value is fine."""

import difflib
import math
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], str | None]  # value -> what was expected, or None if it is fine


def number(low: float = -math.inf, high: float = math.inf, above: float | None = None) -> Check:
    """A finite number with low <= value <= high, and value > above."""
    bounds = [f">= {low:g}"] if low > -math.inf else []
    bounds += [f"> {above:g}"] if above is not None else []
    bounds += [f"<= {high:g}"] if high < math.inf else []

    def check(value: Any) -> str | None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if is_number and low <= value <= high and (above is None or value > above):
            return None
        return " and ".join([f"a number {bounds[0]}", *bounds[1:]]) if bounds else "a number"

    return check


def integer(low: int, high: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high):
            return None
        return f"a whole number >= {low}" + (f" and <= {high}" if high is not None else "")

    return check


def choice(*options: Any) -> Check:
    def check(value: Any) -> str | None:
        # YAML reads off and on as booleans.
        words = {True: "on", False: "off"}
        if value in options or (isinstance(value, bool) and words[value] in options):
            return None
        guess = difflib.get_close_matches(str(value), [str(option) for option in options], n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else ""
        return f"one of {', '.join(str(option) for option in options)}{hint}"

    return check


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "a name"


def file_name(value: Any) -> str | None:
    if (
        isinstance(value, (str, int))
        and str(value)
        and not set(str(value)) & set("/\\\0")
        and str(value) not in (".", "..")
    ):
        return None
    return "a name without slashes"


def optional(check: Check) -> Check:
    def check_or_none(value: Any) -> str | None:
        expected = None if value is None else check(value)
        return expected and f"{expected}, or null"

    return check_or_none


def either(first: Check, second: Check) -> Check:
    return lambda value: first(value) and second(value) and f"{first(value)} or {second(value)}"
