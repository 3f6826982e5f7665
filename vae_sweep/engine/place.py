"""Where packs run."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from vae_sweep.engine.plan import Pack
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest

Watch = Callable[[dict[str, Any]], None]


class Place(Protocol):
    """This machine (machine.py), this process (this_process.py), a cluster (slurm.py)."""

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

    def warming(self) -> AbstractContextManager[object]:
        """Begin in the background what takes a while and asks for nothing but patience: to import torch."""

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        """Train the packs within `warming`, telling `watch` what happens: one `result` for every member."""
