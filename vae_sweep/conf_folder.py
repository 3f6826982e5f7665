"""Where the settings lie: conf/ of the checkout, packed into the package by a wheel."""

from pathlib import Path

_PACKED = Path(__file__).parent / "conf"
CONF = _PACKED if _PACKED.is_dir() else Path(__file__).parents[1] / "conf"
