"""Runs packs on slots: worker processes take packs one after another, devices are handed out as they come free.

The pool knows processes, not training: what a worker reports (worker.py has the protocol) is passed to `watch`, and
whatever a lost worker could not report any more, the pool reports in its place. So `watch` hears one `result` for
every member. One thread; no import of torch.
"""

import selectors
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from vae_sweep.engine.fork_server import ForkServer, ServerDied
from vae_sweep.engine.pack import Pack, start_order
from vae_sweep.engine.place import Watch
from vae_sweep.engine.process import Failure, failure
from vae_sweep.engine.slots import Slot, device_environment
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import interrupted
from vae_sweep.engine.worker_process import WorkerProcess
from vae_sweep.runs.schema import Ended

TICK_S = 0.25
GRACE_S = 60.0  # after SIGTERM, for the checkpoints
_EXIT_S = 10.0  # for the clean end of a worker that has nothing left to do


def run(
    packs: Sequence[Pack],
    slots: Sequence[Slot],
    folder: Path,
    server: ForkServer,
    watch: Watch,
    grace_s: float = GRACE_S,
) -> StopRequest:
    """Train the packs; returns when every member has its result. No worker outlives the call.

    folder: the sweep's, handed to the workers, whose output goes to its `logs/`. server: makes the workers. After
    Ctrl-C or SIGTERM they are asked to checkpoint, and killed after `grace_s` seconds or at the second request; the
    request is returned.
    """
    pool = _Pool(packs, slots, folder, server, watch)
    try:
        with stop_request() as stop:
            pool.run(stop, grace_s)
    finally:
        pool.kill_all()
    return stop


class _Pool:
    def __init__(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, server: ForkServer, watch: Watch):
        self.queue = deque(enumerate(start_order(packs)))
        self.slots = list(slots)
        self.folder = folder
        self.server = server
        self.watch = watch
        self.workers: list[WorkerProcess] = []
        self.selector = selectors.DefaultSelector()
        if not server.ready:
            self.selector.register(server, selectors.EVENT_READ)

    def run(self, stop: StopRequest, grace_s: float) -> None:
        deadline = None
        while self.queue or self.busy():
            if not stop.asked:
                self.start_packs()
            elif deadline is None:
                deadline = time.monotonic() + grace_s
                stop.announce(self.watch, grace_s)
                self.end_queue()
                for worker in self.workers:
                    worker.process.terminate()
            elif stop.count > 1 or time.monotonic() > deadline:
                for worker in self.workers:
                    worker.process.kill()
            for key, _ in self.selector.select(TICK_S):
                if key.data:
                    self.hear(key.data, stopping=stop.asked)
                else:
                    self.selector.unregister(self.server)
                    self.wait_for_server()
            if stop.heed(self.watch({"event": "tick"})):
                self.end_queue()
        for worker in self.workers:
            worker.retire()

    def busy(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.pack]

    def wait_for_server(self) -> None:
        try:
            self.server.wait()
        except ServerDied as error:
            self.end_queue(failure(error.code, error.output))

    def start_packs(self) -> None:
        """Hand waiting packs to free slots, in order: a wide pack at the head is not overtaken."""
        while self.queue and self.server.ready:
            number, pack = self.queue[0]
            try:
                worker = self.find_worker(min(pack.width, len(self.slots)))
            except ServerDied as error:
                self.end_queue(failure(error.code, error.output))
                return
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

    def find_worker(self, width: int) -> WorkerProcess | None:
        """An idle worker on so many slots, or a new one on free slots; None if there are not enough."""
        idle = [worker for worker in self.workers if worker.idle]
        places = self.pick_slots(self.free_slots(), width)
        if places is None:
            return None
        if idle and self.slots[0].device == "cpu":  # a process is tied to GPUs, but not to cores
            idle[0].places = places
            return idle[0]
        for worker in idle:
            if len(worker.places) == width:
                return worker
        in_the_way = [worker for worker in self.workers if set(worker.places) & set(places)]
        if in_the_way:  # idle, but of another width: their devices are free when they are gone
            for worker in in_the_way:
                worker.retire()
            return None
        return self.start_worker(places)

    def free_slots(self) -> list[int]:
        """Those where no worker has work, nor is about to end. Spare ones only if the rest of the sweep finds room."""
        taken = {place for worker in self.workers if not worker.idle for place in worker.places}
        last_round = len(self.busy()) + len(self.queue) <= len(self.slots)
        return [place for place, slot in enumerate(self.slots) if place not in taken and (last_round or not slot.spare)]

    def start_worker(self, places: Sequence[int]) -> WorkerProcess:
        devices = list(dict.fromkeys(self.slots[place].device for place in places))
        worker = WorkerProcess(places, device_environment(devices), self.folder, self.server)
        self.workers.append(worker)
        self.selector.register(worker.process.events_fd, selectors.EVENT_READ, worker)
        return worker

    def pick_slots(self, free: Sequence[int], width: int) -> list[int] | None:
        """`width` free slots on devices of their own (the CPU's slots are all on one), or None."""
        if self.slots[0].device == "cpu" or width == 1:
            return list(free[:width]) if len(free) >= width else None
        by_device = {self.slots[place].device: place for place in reversed(free)}
        return sorted(by_device.values())[:width] if len(by_device) >= width else None

    def hear(self, worker: WorkerProcess, stopping: bool) -> None:
        """Take in what a worker has written, its death included."""
        events, alive = worker.read()
        for event in events:
            if event["event"] == "ended":
                worker.pack = None
                worker.retiring |= event["last"]
            elif event["event"] != "began":
                if event["event"] == "result":
                    worker.awaited.discard(event["id"])
                self.watch(event)
        if alive:
            return
        self.selector.unregister(worker.process.events_fd)
        self.workers.remove(worker)
        found = worker.reap()
        if worker.pack is None:
            return
        if not worker.began and worker.served and not stopping:  # died idle, before it had read its new order
            self.queue.appendleft((worker.number, worker.pack))
            return
        for member in worker.pack.members:
            if member in worker.awaited:
                self.watch(_ended(member, None if stopping else found))

    def end_queue(self, found: Failure | None = None) -> None:
        """Nothing waits any more. found: why no worker can be had; None: the sweep was stopped."""
        for _, pack in self.queue:
            for member in pack.members:
                self.watch(_ended(member, found))
        self.queue.clear()

    def kill_all(self) -> None:
        """Leave no process behind, whatever happened."""
        deadline = time.monotonic() + _EXIT_S
        for worker in self.workers:
            if not worker.retiring or worker.pack or not worker.wait_for_end(deadline):
                worker.process.kill()
            worker.reap()
        self.workers.clear()
        self.selector.close()


def _ended(member: str, found: Failure | None) -> Ended:
    """The `result` of a member that its worker can no longer report. found: how it failed; None: it was stopped."""
    if found is None:
        return interrupted(member)
    return {"event": "result", "id": member, **found}
