"""A process that imports what training needs and forks workers from itself: imports are paid once, their memory shared.

    with ForkServer(target) as server:      # begins to import
        process = server.fork(folder, environ, output)

The process is `python -m vae_sweep.engine.fork_server`; its workers run worker.serve. JSON lines over a socket:

    out  {"import_s": 4.2}                                    once, when it can fork
    in   {"fork": SWEEP, "environ": {...}, "target": "..."}   with descriptors for orders, output, events, life
    out  {"pid": 4711}
    in   {"reap": 4711}                                       wait for its death, kill what it has started
    out  {"code": -9}                                         as subprocess has it, negative for a signal
         end of file: the parent is gone
"""

import argparse
import contextlib
import faulthandler
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

from vae_sweep.engine.process import die_with_parent, guarded, leave
from vae_sweep.engine.slots import thread_environment
from vae_sweep.engine.worker import TARGET, Reporter, load, serve
from vae_sweep.environment import import_path

_DESCRIPTORS = 4
_LINE = 1 << 16
# Torch may not start threads, nor CUDA, before the fork: neither survives it.
_FORKABLE = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONUNBUFFERED": "1"}


class ServerDied(Exception):
    """The fork server is gone, and with it its workers. code: as subprocess has it."""

    def __init__(self, code: int, output: str):
        super().__init__(f"the fork server ended with {code}")
        self.code, self.output = code, output


class Process:
    """A forked worker, leader of its own process group. It is not our child: only the server can wait for it."""

    def __init__(self, server: "ForkServer", pid: int, orders_fd: int, events_fd: int):
        self.server, self.pid = server, pid
        self.orders_fd, self.events_fd = orders_fd, events_fd

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and all it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for the death of a process that is dying, and end what it has left behind. Returns its exit code."""
        os.close(self.orders_fd)
        os.close(self.events_fd)
        try:
            return int(self.server.ask({"reap": self.pid})["code"])
        except ServerDied:  # which took it along
            self.kill()
            return -signal.SIGKILL


class ForkServer:
    """The parent's end. target: module:function that trains a pack, imported at once, in the background."""

    def __init__(self, target: str = TARGET):
        self.target = target
        self.ready = False
        self._buffer = b""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._life, self._life_held = os.pipe()  # workers watch one end; the other is held by this process alone
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vae_sweep.engine.fork_server", str(theirs.fileno()), "--target", target],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=os.environ | thread_environment(1) | _FORKABLE | {"PYTHONPATH": import_path()},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()
        self._output.close()
        os.close(self._life)
        os.close(self._life_held)

    def fileno(self) -> int:
        """Readable when the imports are done."""
        return self._socket.fileno()

    def wait(self) -> None:
        """Wait until it can fork. Raises ServerDied."""
        if not self.ready:
            self._answer()
            self.ready = True

    def fork(self, folder: Path, environ: Mapping[str, str], output: IO[bytes]) -> Process:
        """A new worker of a sweep. environ: added to this process's environment. Raises ServerDied."""
        self.wait()
        their_orders, orders = os.pipe()
        events, their_events = os.pipe()
        os.set_blocking(events, False)
        request = {"fork": str(folder.resolve()), "environ": dict(environ), "target": self.target}
        try:
            answer = self.ask(request, [their_orders, output.fileno(), their_events, self._life])
        except ServerDied:
            os.close(orders)
            os.close(events)
            raise
        finally:
            os.close(their_orders)
            os.close(their_events)
        return Process(self, answer["pid"], orders, events)

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead; there is no answer
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], list(descriptors))
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            try:
                chunk = self._socket.recv(_LINE)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                code = self.process.wait()
                self._output.seek(0)
                raise ServerDied(code, self._output.read().decode(errors="replace"))
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)


# ---- from here on in the server


def main(argv: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m vae_sweep.engine.fork_server")
    parser.add_argument("fd", type=int, help="descriptor of the socket to the parent")
    parser.add_argument("--target", default=TARGET, help="module:function that trains a pack")
    args = parser.parse_args(argv)
    die_with_parent()
    faulthandler.enable()
    began = time.monotonic()
    if sys.platform == "linux":  # the libraries of other systems do not survive a fork: there workers import
        load(args.target)
        gc.collect()
        gc.freeze()  # the collector of a worker leaves alone, and so shared, what was here before it
    with socket.socket(fileno=args.fd) as parent:
        _send(parent, {"import_s": time.monotonic() - began})
        while True:
            line, descriptors, _, _ = socket.recv_fds(parent, _LINE, _DESCRIPTORS)
            while line and not line.endswith(b"\n"):
                line += parent.recv(_LINE)
            if not line:
                leave(0)
            request = json.loads(line)
            if "reap" in request:
                _send(parent, {"code": _reap(request["reap"])})
                continue
            pid = os.fork()
            if pid == 0:
                parent.close()
                _work(request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            _send(parent, {"pid": pid})


def _send(parent: socket.socket, answer: Mapping[str, Any]) -> None:
    try:
        parent.sendall(json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:  # the parent is gone
        leave(0)


def _work(request: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    orders, output, events, life = descriptors
    os.setsid()
    for descriptor, standard in ((orders, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    os.close(orders)
    os.close(output)
    for descriptor in (events, life):
        os.set_inheritable(descriptor, False)
    os.environ.update(request["environ"])
    code = 1
    try:
        with guarded(life):
            code = serve(Path(request["fork"]), request["target"], Reporter(events))
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    leave(code)


def _reap(pid: int) -> int:
    if hasattr(os, "waitid"):  # Wait without reaping, so that the process group cannot become somebody else's.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
