"""This machine as a place where a sweep runs: its slots, their memory, and the workers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vae_sweep.cores import cores
from vae_sweep.engine import pool
from vae_sweep.engine.fork_server import ForkServer
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.place import Watch
from vae_sweep.engine.slots import Slot, find_devices, gpu_memory, lay_out
from vae_sweep.engine.stop import StopRequest
from vae_sweep.engine.worker import TARGET


class Machine:
    """accelerator: trainer.accelerator; launcher: cfg.launcher. Raises ValueError for a device that is not there."""

    def __init__(self, accelerator: str, launcher: Mapping[str, Any], target: str = TARGET):
        self.devices = find_devices(accelerator)
        self.jobs: int | None = launcher["jobs"]
        self.jobs_per_gpu: int = launcher["jobs_per_gpu"]
        self.target = target

    @property
    def gpu(self) -> bool:
        return bool(self.devices)

    @property
    def shares_cores(self) -> bool:
        return not self.devices and self.jobs is None

    @property
    def memory(self) -> float | None:
        """Bytes of device memory of a slot; None on a CPU."""
        if not self.devices:
            return None
        known = gpu_memory()
        return min(known.get(device, 8 * 2**30) for device in self.devices) / self.jobs_per_gpu

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        """(slots, threads of each) for as many jobs as are `wanted` at once."""
        return lay_out(self.devices, wanted, cores(), self.jobs, self.jobs_per_gpu)

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        """Slots that a pack takes. On a CPU one that was planned for fewer slots, with more threads, takes several."""
        if self.devices:
            if devices > len({slot.device for slot in slots}):
                raise ValueError(
                    f"trainer.devices={devices}: there are {len({slot.device for slot in slots})} to use here"
                )
            return devices
        own = max(1, cores() // len(slots))
        return min(len(slots), max(devices, math.ceil(threads / own)))

    @contextmanager
    def preloading(self) -> Iterator[None]:
        with ForkServer(self.target) as self.server:
            yield

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        return pool.run(packs, slots, folder, self.server, watch)
