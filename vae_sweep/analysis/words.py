"""Numbers as words: what the page, the summary and the verdicts write."""

from collections.abc import Sequence
from typing import Any


def figure(value: float | None, digits: int = 3) -> str:
    """152.345 -> '152'; 0.06312 -> '0.0631'; 1234567 -> '1.23e+6'; None -> '–'."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    rounded = f"{value:.{digits}g}"
    if 1000 <= abs(float(rounded)) < 1e6:
        return f"{value:,.0f}"
    return rounded.replace("e-0", "e-").replace("e+0", "e+")


def percent(share: float | None) -> str:
    """0.934 -> '93%'; below one per cent with one digit."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}%" if 0 < abs(share) < 0.0095 else f"{100 * share:.0f}%"


def listed(words: Sequence[Any], last: str = "and") -> str:
    """['a', 'b', 'c'] -> 'a, b and c'."""
    texts = [str(word) for word in words]
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}" if len(texts) > 1 else "".join(texts)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """(1, 'run') -> '1 run'; (3, 'run') -> '3 runs'."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def times(factor: float) -> str:
    """3.02 -> '3.0x'; 45 -> '45x'."""
    return f"{factor:.0f}x" if factor >= 10 else f"{factor:.1f}x" if factor >= 0.1 else f"{factor:.2g}x"


def duration(seconds: float | None) -> str:
    """75 -> '1 min 15 s'."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
