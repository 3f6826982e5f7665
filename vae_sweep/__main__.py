"""`python3 -m vae_sweep`: what there is."""

import sys
from collections.abc import Sequence

from vae_sweep import __version__
from vae_sweep.commands import DOORS, command, door


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    with door():
        if given == ["--version"]:
            print(f"vae-sweep {__version__}")
        elif given in ([], ["--help"], ["-h"]):
            print(overview())
        else:
            print(f"error: {given[0]!r}: the commands are {', '.join(map(command, DOORS))}", file=sys.stderr)
            return 2
    return 0


def overview() -> str:
    """A line for every command."""
    width = max(len(command(name)) for name in DOORS)
    lines = [f"  {command(name).ljust(width)}  {what}" for name, what in DOORS.items()]
    return "\n".join(
        [
            f"vae-sweep {__version__}: which KL weight should my VAE have, and why?",
            "",
            *lines,
            "",
            "Each has --help. A first sweep: " + command("run", "-m", "loss.kl_weight=1,0.5,0.1"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
