"""Checks of single values: each says what it expected, or None where the value is fine. And the error to raise."""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from vae_sweep.text import has_control_characters, inert


class SettingsError(ValueError):
    """A setting that cannot be: the message names the key, the value and what is expected."""


Check = Callable[[Any], str | None]  # value -> what was expected, or None if it is fine


def check_all(prefix: str, values: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Raises SettingsError for the first of `values` out of its range. prefix: of the keys, as they are typed."""
    for key, check in checks.items():
        if key in values and (expected := check(values[key])):
            raise SettingsError(f"{prefix}{key}={shown(values[key])}: expected {expected}")


def shown(value: Any) -> str:
    """A value in a message, as it is typed."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def number(low: float = -math.inf, high: float = math.inf, above: float | None = None) -> Check:
    """A finite number with low <= value <= high, and value > above."""
    bounds = [f">= {low:g}"] if low > -math.inf else []
    bounds += [f"> {above:g}"] if above is not None else []
    bounds += [f"<= {high:g}"] if high < math.inf else []

    def check(value: Any) -> str | None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if is_number and low <= value <= high and (above is None or value > above):
            return None
        expected = " and ".join([f"a number {bounds[0]}", *bounds[1:]]) if bounds else "a number"
        return expected + _as_decimal(value)

    return check


def _as_decimal(value: Any) -> str:
    """What 1/4 and "0,5" are in the notation that is read."""
    if fraction := re.fullmatch(r"\s*(\d+)\s*/\s*([1-9]\d*)\s*", str(value)):
        return f"; {value} is {int(fraction[1]) / int(fraction[2]):.12g}"
    if comma := re.fullmatch(r"(\d+),(\d+)", str(value)):
        return f"; with a point, {comma[1]}.{comma[2]}"
    return ""


SHARE_HELD_OUT = number(above=0, high=0.9)


def integer(low: int, high: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high):
            return None
        return f"a whole number >= {low}" + (f" and <= {high}" if high is not None else "")

    return check


_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(s|min|h|d)\s*")


def seconds(text: str) -> float:
    """ "90min" -> 5400.0. Raises ValueError for what is no duration."""
    found = _DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is no duration")
    return float(found[1]) * _SECONDS[found[2]]


def time_span(value: Any) -> str | None:
    """2h, 90min."""
    try:
        seconds(str(value))
    except ValueError:
        return "a time with its unit, such as 90min, 2h or 1.5d"
    return None


# What others call the options that a choice may have.
_OTHER_WORDS = {
    "sse": "mse l2 squared squared_error normal",
    "bernoulli": "bce binary cross_entropy binary_cross_entropy",
    "laplace": "l1 mae absolute",
    "cuda": "gpu nvidia",
    "vae": "beta_vae betavae variational",
    "autoencoder": "ae auto_encoder deterministic",
    "kl": "kld forward",
    "tc": "betatc beta_tc btcvae tcvae total_correlation",
    "full": "full_covariance dense",
    "diagonal": "mean_field isotropic",
    "bf16": "bf16-mixed bfloat16",
    "32": "fp32 float32 full_precision 32-true",
    "64": "fp64 float64 double 64-true",
    "disabled": "none no false",
}


def choice(*options: Any) -> Check:
    def check(value: Any) -> str | None:
        # YAML reads off and on as booleans.
        words = {True: "on", False: "off"}
        if value in options or (isinstance(value, bool) and words[value] in options):
            return None
        said = str(value).lower()
        guess = [str(option) for option in options if said in _OTHER_WORDS.get(str(option), "").split()]
        guess = guess or difflib.get_close_matches(str(value), [str(option) for option in options], n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else ""
        return f"one of {', '.join(str(option) for option in options)}{hint}"

    return check


def meant(value: str, check: Check) -> str | None:
    """The option of a `choice` that `value` is, or is another word for; None if it is neither."""
    if check(value) is None:
        return value if check(f"no {value}") is not None else None  # a check that takes any text tells nothing
    _, found, rest = str(check(value)).partition("did you mean '")
    return rest.partition("'")[0] if found else None


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def text(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "a name"
    return "a name without control characters" if has_control_characters(value) else None


MAX_NAME = 200  # bytes; file systems take 255, of which a temporary neighbour needs some


def file_name(value: Any) -> str | None:
    name = str(value)
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not name or set(name) & set("/\\"):
        return "a name without slashes"
    if name in (".", "..") or inert(name) != name:
        return "a name without slashes, control characters and marks of direction"
    return None if len(name.encode()) <= MAX_NAME else f"a name of at most {MAX_NAME} bytes, not {len(name.encode())}"


def optional(check: Check) -> Check:
    def check_or_none(value: Any) -> str | None:
        expected = None if value is None else check(value)
        return expected and f"{expected}, or null"

    return check_or_none


def either(first: Check, second: Check) -> Check:
    return lambda value: first(value) and second(value) and f"{first(value)} or {second(value)}"
