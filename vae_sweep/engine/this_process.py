"""The plainest place to train: this process, one pack after another. For single runs, debuggers, Hydra's launcher."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from vae_sweep.engine.place import Watch
from vae_sweep.engine.plan import Pack
from vae_sweep.engine.slots import Slot, cores
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import run_pack


class ThisProcess:
    gpu = False
    shares_cores = False
    memory: float | None = None  # unknown: packs are not grown to the memory of a device

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        return [Slot("cpu")], cores()

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        return 1

    def warming(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        from vae_sweep.training.train import train_pack

        with stop_request() as stop:
            for number, pack in enumerate(packs):
                order = {"pack": number, "members": list(pack.members), "threads": pack.threads}
                watch({"event": "started", "ids": list(pack.members), "slots": [slots[0].name]})
                run_pack(train_pack, folder, order, watch, lambda: stop.signum is not None)
        return stop
