"""Runs packs on slots: worker processes take packs one after another, devices are handed out as they come free.

The pool knows processes, not training: what a worker reports (worker.py has the protocol) is passed to `watch`, and
whatever a lost worker could not report any more, the pool reports in its place. So `watch` hears one `result` for
every member. One thread; no import of torch.
"""

import contextlib
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.engine.plan import Pack, start_order
from vae_sweep.engine.slots import Slot, environment
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import TARGET

Event = dict[str, Any]
Watch = Callable[[Event], None]

TICK_S = 0.25
GRACE_S = 60.0  # after SIGTERM, for the checkpoints
_EXIT_S = 10.0  # for the clean end of a worker that has nothing left to do
_LOG_TAIL = 4000  # characters of a dead worker's output that are shown


@contextlib.contextmanager
def started(packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, target: str = TARGET) -> Iterator["Pool"]:
    """A pool whose first workers are importing what they need. No process outlives the context.

    folder: the sweep's, handed to the workers, whose output goes to its `logs/`.
    """
    pool = Pool(packs, slots, folder, target)
    try:
        pool.start_workers()
        yield pool
    finally:
        pool.kill_all()


class Pool:
    def __init__(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, target: str):
        self.queue = deque(enumerate(start_order(packs)))
        self.slots = list(slots)
        self.folder = folder
        self.target = target
        self.watch: Watch = lambda event: None
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()
        self.life, self._life_held = os.pipe()  # workers watch one end; the other is held by this process alone

    def run(self, watch: Watch, grace_s: float = GRACE_S) -> StopRequest:
        """Train the packs; returns when every member has its result and no worker has anything left to do.

        After Ctrl-C or SIGTERM the workers are asked to checkpoint, and killed after `grace_s` seconds or at the
        second request; the request is returned.
        """
        self.watch = watch
        with stop_request() as stop:
            self._run(stop, grace_s)
        return stop

    def _run(self, stop: StopRequest, grace_s: float) -> None:
        deadline = None
        while self.queue or self.busy():
            if stop.signum is None:
                self.start_packs()
            elif deadline is None:
                deadline = time.monotonic() + grace_s
                self.watch({"event": "stopping", "signal": signal.Signals(stop.signum).name, "grace_s": grace_s})
                self.give_up_queue()
                for worker in self.workers:
                    worker.terminate()
            elif stop.count > 1 or time.monotonic() > deadline:
                for worker in self.workers:
                    worker.kill()
            for key, _ in self.selector.select(TICK_S):
                self.hear(key.data, stopping=stop.signum is not None)
            self.watch({"event": "tick"})
        for worker in self.workers:
            worker.retire()

    def busy(self) -> list["_Worker"]:
        return [worker for worker in self.workers if worker.pack]

    def start_workers(self) -> None:
        """Workers for the packs that will start first. They import and wait; none has work yet."""
        free = list(range(len(self.slots)))
        for _, pack in self.queue:
            places = self.pick_slots(free, min(pack.width, len(self.slots)))
            if places is None:
                return
            free = [place for place in free if place not in places]
            self.start_worker(places, pack.threads)

    def start_packs(self) -> None:
        """Hand waiting packs to free slots, in order: a wide pack at the head is not overtaken."""
        while self.queue:
            number, pack = self.queue[0]
            width = min(pack.width, len(self.slots))
            worker = self.find_worker(width, pack.threads)
            if worker is None:
                return
            self.queue.popleft()
            self.watch(
                {
                    "event": "started",
                    "ids": list(pack.members),
                    "slots": [self.slots[place].name for place in worker.places],
                }
            )
            worker.send(number, pack)

    def find_worker(self, width: int, threads: int) -> "_Worker | None":
        """An idle worker of that shape, or a new one on free slots; None if there are not enough."""
        idle = [worker for worker in self.workers if worker.idle]
        taken = {place for worker in self.workers if not worker.idle for place in worker.places}
        for worker in idle:
            if len(worker.places) == width and worker.threads == threads and not taken & set(worker.places):
                return worker
        places = self.pick_slots([place for place in range(len(self.slots)) if place not in taken], width)
        if places is None:
            return None
        if idle and self.slots[0].device == "cpu":  # a process is tied to GPUs, but not to cores
            idle[0].places, idle[0].threads = places, threads
            return idle[0]
        in_the_way = [worker for worker in self.workers if set(worker.places) & set(places)]
        if in_the_way:  # idle, but of another shape: their devices are free when they are gone
            for worker in in_the_way:
                worker.retire()
            return None
        return self.start_worker(places, threads)

    def start_worker(self, places: Sequence[int], threads: int) -> "_Worker":
        devices = list(dict.fromkeys(self.slots[place].device for place in places))
        worker = _Worker(places, environment(devices, threads), threads, self.folder, self.target, self.life)
        self.workers.append(worker)
        self.selector.register(worker.events_fd, selectors.EVENT_READ, worker)
        return worker

    def pick_slots(self, free: Sequence[int], width: int) -> list[int] | None:
        """`width` free slots on devices of their own (the CPU's slots are all on one), or None."""
        if self.slots[0].device == "cpu" or width == 1:
            return list(free[:width]) if len(free) >= width else None
        by_device = {self.slots[place].device: place for place in reversed(free)}
        return sorted(by_device.values())[:width] if len(by_device) >= width else None

    def hear(self, worker: "_Worker", stopping: bool) -> None:
        """Take in what a worker has written, its death included."""
        events, alive = worker.read()
        for event in events:
            if event["event"] == "ended":
                worker.pack = None
                worker.retiring |= event["last"]
            elif event["event"] not in ("ready", "began"):
                if event["event"] == "result":
                    worker.awaited.discard(event["id"])
                self.watch(event)
        if alive:
            return
        self.selector.unregister(worker.events_fd)
        self.workers.remove(worker)
        error = worker.bury()
        if worker.pack is None:
            return
        if not worker.began and worker.served and not stopping:  # died idle, before it had read its new order
            self.queue.appendleft((worker.number, worker.pack))
            return
        for member in worker.pack.members:
            if member in worker.awaited:
                status = {"status": "interrupted", "error": None} if stopping else {"status": "failed", "error": error}
                self.watch({"event": "result", "id": member, **status})

    def give_up_queue(self) -> None:
        for _, pack in self.queue:
            for member in pack.members:
                self.watch({"event": "result", "id": member, "status": "interrupted", "error": None})
        self.queue.clear()

    def kill_all(self) -> None:
        """Leave no process behind, whatever happened."""
        deadline = time.monotonic() + _EXIT_S
        for worker in self.workers:
            if not worker.retiring or worker.pack or not worker.wait_for_end(deadline):
                worker.kill()
            worker.bury()
        self.workers.clear()
        self.selector.close()
        os.close(self.life)
        os.close(self._life_held)


class _Worker:
    """One worker process, leader of its own process group, on the slots `places`."""

    def __init__(self, places: Sequence[int], env: dict[str, str], threads: int, folder: Path, target: str, life: int):
        self.places = list(places)
        self.threads = threads
        self.pack: Pack | None = None
        self.number = -1
        self.awaited: set[str] = set()  # members whose result has not come yet
        self.began = False  # whether it has read its order
        self.served = 0  # packs it has ended
        self.retiring = False
        self._buffer = b""
        log = folder / "logs" / f"slot-{places[0]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = open(log, "ab")  # noqa: SIM115 - closed by bury()
        self._log_start = self._log.tell()
        self.events_fd, theirs = os.pipe()
        os.set_blocking(self.events_fd, False)
        command = [sys.executable, "-m", "vae_sweep.engine.worker", "--serve", str(folder.resolve())]
        try:
            self.process = subprocess.Popen(
                [*command, "--events-fd", str(theirs), "--life-fd", str(life), "--target", target],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                env=os.environ | env | {"PYTHONUNBUFFERED": "1"},
                pass_fds=[theirs, life],
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    @property
    def idle(self) -> bool:
        return self.pack is None and not self.retiring

    def send(self, number: int, pack: Pack) -> None:
        self.number, self.pack, self.awaited, self.began = number, pack, set(pack.members), False
        self._log_start = os.path.getsize(self._log.name)
        self._write({"pack": number, "members": list(pack.members), "threads": pack.threads})

    def retire(self) -> None:
        """Ask an idle worker to end."""
        self.retiring = True
        self._write({"exit": True})

    def _write(self, order: Event) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # dead; read() will tell
            self.process.stdin.write((json.dumps(order) + "\n").encode())
            self.process.stdin.flush()

    def read(self) -> tuple[list[Event], bool]:
        """(events, whether the worker lives). Its end of the pipe is closed by its death and by nothing else."""
        chunks = []
        alive = True
        while True:
            try:
                chunk = os.read(self.events_fd, 1 << 16)
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
            select.select([self.events_fd], [], [], remaining)
            if not self.read()[1]:
                return True
        return False

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker and all it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def bury(self) -> dict[str, Any]:
        """Wait for a worker that is dying, end what it has left behind, and say what it died of."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.events_fd)
        if hasattr(os, "waitid"):  # Wait without reaping, so that the process group cannot become somebody else's.
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            self.kill()
        code = self.process.wait()
        self._log.close()
        return death(code, tail(Path(self._log.name), self._log_start))


def death(code: int, output: str) -> dict[str, Any]:
    """Error record of a worker that ended without a word. code: as subprocess has it, negative for a signal."""
    if code >= 0:
        return {"type": "WorkerExit", "message": f"the worker ended with exit code {code}", "traceback": output}
    name = signal.Signals(-code).name
    why = " (kill -9, or the machine ran out of memory)" if name == "SIGKILL" else ""
    return {"type": name, "message": f"the worker was killed by {name}{why}", "traceback": output}


def tail(log: Path, start: int = 0) -> str:
    """The last of what a log holds from byte `start` on."""
    with open(log, "rb") as file:
        file.seek(max(start, os.path.getsize(log) - _LOG_TAIL))
        return file.read().decode(errors="replace")
