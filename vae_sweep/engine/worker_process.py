"""A worker as the pool sees it: what it was told, what it says, where it runs, and what it died of."""

import contextlib
import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.engine.fork_server import ForkServer
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.process import Failure, failure, tail
from vae_sweep.runs.schema import Event


class WorkerProcess:
    """One worker process, leader of its own process group, on the slots `places`."""

    def __init__(self, places: Sequence[int], environ: Mapping[str, str], folder: Path, server: ForkServer):
        self.places = list(places)
        self.pack: Pack | None = None
        self.number = -1
        self.awaited: set[str] = set()  # members whose result has not come yet
        self.began = False  # whether it has read its order
        self.served = 0  # packs it has ended
        self.retiring = False
        self._buffer = b""
        self._log = folder / "logs" / f"slot-{places[0]}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "ab") as output:
            self._log_start = output.tell()
            self.process = server.fork(folder, environ, output)

    @property
    def idle(self) -> bool:
        return self.pack is None and not self.retiring

    def send(self, number: int, pack: Pack) -> None:
        self.number, self.pack, self.awaited, self.began = number, pack, set(pack.members), False
        self._log_start = os.path.getsize(self._log)
        self._write({"pack": number, "members": list(pack.members), "threads": pack.threads})

    def retire(self) -> None:
        """Ask an idle worker to end."""
        self.retiring = True
        self._write({"exit": True})

    def _write(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # dead; read() will tell
            os.write(self.process.orders_fd, (json.dumps(order) + "\n").encode())

    def read(self) -> tuple[list[Event], bool]:
        """(events, whether the worker lives). Its end of the pipe is closed by its death and by nothing else."""
        chunks = []
        alive = True
        while True:
            try:
                chunk = os.read(self.process.events_fd, 1 << 16)
            except BlockingIOError:
                break
            if not chunk:
                alive = False
                break
            chunks.append(chunk)
        *lines, self._buffer = (self._buffer + b"".join(chunks)).split(b"\n")
        events = [json.loads(line) for line in lines]
        for event in events:
            self.began |= event["event"] == "began"
            self.served += event["event"] == "ended"
        return events, alive

    def wait_for_end(self, deadline: float) -> bool:
        """Whether the worker ends before `deadline` (time.monotonic())."""
        while (remaining := deadline - time.monotonic()) > 0:
            select.select([self.process.events_fd], [], [], remaining)
            if not self.read()[1]:
                return True
        return False

    def reap(self) -> Failure:
        """Wait for a worker that is dying, end what it has left behind, and say what it died of."""
        return failure(self.process.reap(), tail(self._log, self._log_start))
