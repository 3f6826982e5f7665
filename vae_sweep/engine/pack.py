"""Packs: members trained together in one process, and the order in which they are handed to slots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pack:
    """Ids of the members trained together.

    devices: of each member; width: slots it takes; threads: of its process; steps: of its members.
    """

    members: tuple[str, ...]
    devices: int = 1
    width: int = 1
    threads: int = 1
    steps: int = 0
    seconds: float | None = None  # estimate, None if the network cannot be counted
    rank: int = 0  # those of a lower rank start first


def start_order(packs: Sequence[Pack]) -> list[Pack]:
    """By rank; then widest first, then longest first: what starts last should end all slots together.

    Lengths within a factor of two count as equal and keep their order: estimates are no better than that.
    """
    return sorted(packs, key=lambda pack: (pack.rank, -pack.width, -round(math.log2(max(pack.seconds or 0.0, 1e-3)))))
