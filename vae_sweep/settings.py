"""Every setting with its default, its unit and what it changes: docs/settings.md.

python3 -m vae_sweep.settings                the whole list
python3 -m vae_sweep.settings kl_schedule    the lines that hold a word
"""

import argparse
import sys
from collections.abc import Sequence

from vae_sweep.commands import Parser, door
from vae_sweep.conf_folder import CONF
from vae_sweep.sweep.reference import markdown


def parser() -> argparse.ArgumentParser:
    found = Parser("settings", "Every setting, as Markdown tables.")
    found.add_argument("word", nargs="?", help="only the lines that hold it")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        word = parser().parse_args(arguments).word
        text = markdown(CONF)
        if word is None:
            print(text, end="")
            return 0
        lines = [line for line in text.splitlines() if line.startswith(("| `", "**")) and word in line]
        if not lines:
            print(f"error: no setting holds {word!r}", file=sys.stderr)
            return 1
        print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
