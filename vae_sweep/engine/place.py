"""Where packs run."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from vae_sweep.engine.pack import Pack
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest
from vae_sweep.runs.schema import Event

Watch = Callable[[Event], object]  # its answer to a `tick` may be an Ending


class Place(Protocol):
    """This machine (machine.py), this process (this_process.py), a cluster (slurm.py, ray_cluster.py)."""

    @property
    def gpu(self) -> bool: ...

    @property
    def shares_cores(self) -> bool:
        """Whether more packs than slots may run at once where cores would be idle."""

    @property
    def memory(self) -> float | None:
        """Bytes of device memory of a slot; None if packs are not to grow to it."""

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        """(slots, threads of each) for as many jobs as are `wanted` at once."""

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        """Slots that a pack takes. Raises ValueError if there are not so many devices."""

    def preloading(self) -> AbstractContextManager[object]:
        """Begin in the background what takes a while and needs to know nothing of the sweep: to import torch."""

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        """Train the packs within `preloading`, telling `watch` what happens: one `result` for every member.

        May be called again within the same `preloading`. A `tick` that `watch` answers with an Ending is heeded.
        """
