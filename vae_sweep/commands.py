"""The commands there are, and how each is typed here: lines that are printed can be pasted where they are read."""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from vae_sweep.environment import CALLED_AS

# Module below vae_sweep -> what it does. The console script of `x` is vae-sweep-x, of `run` vae-sweep.
DOORS = {
    "run": "train one run, or with -m a sweep",
    "report": "the page of a sweep",
    "evaluate": "measure trained runs again",
    "forecast": "what a linear VAE makes of your pictures at each weight, in seconds",
    "check": "try a network of yours on one batch, and say what it is taken for",
    "weights": "a KL weight of one library in the terms of every other",
    "schedules": "draw a KL schedule",
    "settings": "every setting, with its default and what it changes",
    "tracking": "upload to W&B what is not there yet",
}
PYTHON = "python3"  # of the documents


def script(door: str) -> str:
    """The console script: "vae-sweep", "vae-sweep-report" ..."""
    return "vae-sweep" if door == "run" else f"vae-sweep-{door}"


class Parser(argparse.ArgumentParser):
    """Of a door: named as it was called, its examples left as they are, what is wrong answered in one line."""

    def __init__(self, door: str, description: str, epilog: str | None = None):
        super().__init__(
            prog=command(door),
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists what there is\n")


def command(door: str, *words: str) -> str:
    """The command line of a door, called as the process was that the person began: by a Python or a console script."""
    called = os.environ.get(CALLED_AS, PYTHON)
    if Path(called).name in map(script, DOORS):
        first = [_shown(Path(called).with_name(script(door)))]
    else:
        first = [_shown(Path(called)) if os.path.isabs(called) else called, "-m", f"vae_sweep.{door}"]
    return shlex.join([*first, *words])


def _shown(path: Path) -> str:
    """A program as short as it can be pasted: by its name where the shell finds it, in this folder by the way there."""
    if shutil.which(path.name) == str(path.absolute()):
        return path.name
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def door() -> Iterator[None]:
    """Around the main function of every door: notes how it was called, and ends in silence when the reader of its
    output has gone (`... --help | head`), with a shell's code for that."""
    if Path(sys.argv[0]).name in map(script, DOORS):
        os.environ.setdefault(CALLED_AS, sys.argv[0])
    os.environ["MPLBACKEND"] = "agg"  # no door opens windows, and by a name that it does not know matplotlib fails
    if "" not in sys.path and os.getcwd() not in sys.path:  # as with `python -m`: your own network is found
        sys.path.insert(0, os.getcwd())
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        raise SystemExit(141) from None
