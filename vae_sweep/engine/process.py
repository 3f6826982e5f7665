"""Processes that leave nothing behind: they die with their parent, take along what they started, say how it ended."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NoReturn, TypedDict

from vae_sweep.runs.schema import Cause, Error

# Killed from outside, so nothing is wrong with the member itself. (A crash, SIGSEGV say, is its own.)
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
_LOG_TAIL = 4000  # characters of a dead worker's output that are shown


class Failure(TypedDict):
    """What a `result` event says of a member whose process is gone."""

    status: Literal["failed"]
    cause: Cause
    error: Error


def die_with_parent() -> None:
    """On Linux: have the kernel kill this process when its parent dies, even if it hangs."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


@contextlib.contextmanager
def guarded(life_fd: int) -> Iterator[None]:
    """See to it that a killed parent takes this process along, and whatever this process has started.

    life_fd: a pipe that nobody writes to and that only the parent holds open. A shell, in this process group, waits for
    its end and kills the group.
    """
    die_with_parent()
    guard = subprocess.Popen(["/bin/sh", "-c", "read _; kill -s KILL 0"], stdin=life_fd, stderr=subprocess.DEVNULL)
    os.close(life_fd)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


def die() -> None:
    """Leave at once, without a word: what an exception would write down is not true."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(code: int) -> NoReturn:
    """End at once: to take apart all that torch has loaded would take two seconds, and everything is written."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def failure(code: int, output: str) -> Failure:
    """Of a worker that ended without a word. code: as subprocess has it, negative for a signal; output: its last."""
    if code >= 0:
        message = f"the worker ended with exit code {code}"
        return {"status": "failed", "cause": "exception", "error": _record("WorkerExit", message, output)}
    name = signal.Signals(-code).name
    why = " (kill -9, or the machine ran out of memory)" if name == "SIGKILL" else ""
    return {
        "status": "failed",
        "cause": "killed" if name in _FROM_OUTSIDE else "exception",
        "error": _record(name, f"the worker was killed by {name}{why}", output),
    }


def _record(kind: str, message: str, output: str) -> Error:
    return {"type": kind, "message": message, "traceback": output}


def tail(log: Path, start: int = 0) -> str:
    """The last of what a log holds from byte `start` on."""
    with open(log, "rb") as file:
        file.seek(max(start, os.path.getsize(log) - _LOG_TAIL))
        return file.read().decode(errors="replace")
