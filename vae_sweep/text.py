"""Strings of other people (names of sweeps, files, labels, overrides) as they are shown: inert, one function a medium.

HTML, Markdown and the scripts' JSON take `inert` and then escape as they must (report/render.py).
"""

import re
import unicodedata

# Control characters; marks that turn the direction of what follows; what stands for bytes that are no UTF-8.
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@")


def inert(text: object) -> str:
    r"""One line that a terminal shows and does not obey: `\x1b`, `\u202e`, and `\xff` for a byte that is no UTF-8."""
    return _ACTIVE.sub(_escaped, str(text))


def lines(text: object) -> str:
    """As `inert`, but with line ends and tabs as they are: tracebacks, tables."""
    return re.sub(r"[^\n\t]+", lambda part: inert(part.group()), str(text))


def cell(text: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula; numbers are left as they are."""
    shown = inert(text)
    return f"'{shown}" if shown.startswith(_FORMULA) and not _is_number(shown) else shown


def has_control_characters(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for the byte
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
