"""The plainest place to train: this process, one pack after another. For single runs, debuggers, Hydra's launcher."""

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from vae_sweep.cores import cores
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.place import Watch
from vae_sweep.engine.slots import Slot, thread_environment
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import TARGET, interrupted, load, run_pack

_TICK_S = 0.25


class ThisProcess:
    """target: module:function that trains a pack, imported when the first one is to be trained."""

    gpu = False
    shares_cores = False
    memory: float | None = None  # unknown: packs are not grown to the memory of a device

    def __init__(self, target: str = TARGET):
        self.target = target

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        return [Slot("cpu")], cores()

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        return 1

    def preloading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        os.environ |= thread_environment(max((pack.threads for pack in packs), default=1))  # torch is yet to be loaded
        train_pack = load(self.target)
        with stop_request(here=lambda request: request.announce(watch)) as stop:
            next_tick = 0.0

            def should_stop() -> bool:
                """Asked after every step, by what trains where the ticks come from elsewhere."""
                nonlocal next_tick
                if time.monotonic() >= next_tick:
                    stop.heed(watch({"event": "tick"}))
                    next_tick = time.monotonic() + _TICK_S
                return stop.asked

            for number, pack in enumerate(packs):
                stop.heed(watch({"event": "tick"}))
                if stop.over:
                    for member in pack.members:
                        watch(interrupted(member))
                    continue
                order = {"pack": number, "members": list(pack.members), "threads": pack.threads}
                watch({"event": "started", "ids": list(pack.members), "slots": [slots[0].name]})
                run_pack(train_pack, folder, order, watch, should_stop)
        return stop
