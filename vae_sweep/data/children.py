"""Child Pythons that run one module of this package: no fork of a process with threads, no second run of its main
module, and no fate shared with it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

from vae_sweep.environment import import_path

_LONGEST = 500  # characters of a reason


def start(module: str, *arguments: str, stderr: int | IO[Any] | None = None) -> subprocess.Popen[str]:
    """`python -m module`, with this process's import path and pipes on stdin and stdout.

    A child that reads stdin ends when its parent does, however that ends: nobody else holds the other end.
    """
    return subprocess.Popen(
        # Python warns of a module that its package has imported before it is run.
        [sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=os.environ | {"PYTHONPATH": import_path()},
    )


def failure(module: str, task: Mapping[str, Any]) -> str | None:
    """What went wrong when a child did `task`, by `serve` in its main function; a line, or None."""
    with start(module) as child:  # whose command line anybody may read
        out, _ = child.communicate(json.dumps(task))
    said = out.strip().splitlines()
    if child.returncode == 0:
        return None
    return said[-1] if said and child.returncode == 1 else f"ended its reader with code {child.returncode}"


def serve(perform: Callable[[Any], None]) -> None:
    """The child's end of `failure`. Exit code 0, or 1 and the reason as the last line of stdout."""
    try:
        perform(json.load(sys.stdin))
    except Exception as error:  # of anybody's files and code
        print("\n" + (" ".join(str(error).split())[:_LONGEST] or type(error).__name__))
        sys.exit(1)
