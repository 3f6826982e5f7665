"""Child Pythons that run one module of this package: no fork of a process with threads, no second run of its main
module, and no fate shared with it."""

import os
import subprocess
import sys
from typing import IO, Any


def start(module: str, *arguments: str, stderr: int | IO[Any] | None = None) -> subprocess.Popen[str]:
    """`python -m module`, with this process's import path and pipes on stdin and stdout.

    A child that reads stdin ends when its parent does, however that ends: nobody else holds the other end.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return subprocess.Popen(
        # Python warns of a module that its package has imported before it is run.
        [sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
