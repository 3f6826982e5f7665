"""The plan of a sweep: members -> packs -> slots. Pure: what it needs to know of the machine is passed in.

A *pack* is a list of members trained together in one process, with the numbers of separate runs. Members may share one
if they differ only in keys that are a number in the arithmetic (`MAY_DIFFER`); everything else, the shapes above all,
must be equal.

`launcher.pack=auto` packs where it pays:
  CPU  a step of less than CPU_PACK_FLOP on fewer than CPU_PACK_PARAMS parameters is mostly Python and dispatch, which
       a pack pays once. Above that arithmetic or memory is the limit, and a pack gains nothing or loses (docs/engine.md
       has the measurements).
  GPU  always, up to the memory of the device.
There are never fewer packs than slots to fill, and packs of one kind are of equal size (to one member).
"""

import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vae_sweep.engine.pack import Pack
from vae_sweep.engine.slots import Slot
from vae_sweep.models.costs import Cost
from vae_sweep.runs.members import Member, config_that_matters
from vae_sweep.runs.nested import flatten
from vae_sweep.traits import Says, schedule, target_of

MAY_DIFFER = (
    "loss.kl_weight", "loss.mi_weight", "loss.tc_weight", "loss.dimension_weight", "loss.free_bits",
    "loss.weight_kl_weight", "optimizer.lr", "seed",
)  # fmt: skip

CPU_PACK_FLOP = 5e8
CPU_PACK_PARAMS = 5e5
CPU_PACK_LIMIT = 16
GPU_PACK_LIMIT = 32
MEMORY_SHARE = 0.6  # of a device, for a pack's own tensors: the rest is workspace, fragmentation and the images

# Rough rates, which order the packs; what a person is told is measured (live.py).
CPU_FLOP_PER_S = 80e9  # one thread, float32 convolutions
GPU_FLOP_PER_S = 10e12
CPU_STEP_S = 2e-3  # of a step, whatever its size
GPU_STEP_S = 4e-3


def pack_key(config: Mapping[str, Any], says: Says | None = None) -> str:
    """Members with equal keys may train together. says: what the member's own classes say of themselves (traits.py)."""
    matters = config_that_matters(config)
    kept = {key: value for key, value in flatten(matters).items() if not key.startswith("kl_schedule.")}
    kept |= {key: kept[key] is None for key in MAY_DIFFER if key in kept}  # with the term or without it
    kept["loss.free_bits"] = not matters["loss"].get("free_bits")  # 0 is without
    kl_schedule = matters.get("kl_schedule")  # an autoencoder has none
    if kl_schedule and not schedule(kl_schedule, says).packs:  # a kind for itself
        kept["kl_schedule._target_"] = target_of(kl_schedule)
    return json.dumps(kept, sort_keys=True)


def largest_pack(setting: str | int | bool, cost: Cost | None, memory: float | None) -> int:
    """Members of one kind that may train in one process.

    setting: launcher.pack (YAML reads `off` as False); cost: of one member, None if unknown; memory: bytes of the
    slot's share of a GPU, None on a CPU.
    """
    if setting in ("off", False):
        return 1
    if isinstance(setting, int):
        return setting
    if cost is None:  # somebody's own network: nobody has checked that vmap can run it
        return 1
    if memory is None:
        return CPU_PACK_LIMIT if cost.flop < CPU_PACK_FLOP and cost.params < CPU_PACK_PARAMS else 1
    return max(1, min(GPU_PACK_LIMIT, int(MEMORY_SHARE * memory / cost.bytes)))


def make_packs(members: Sequence[Member], limit: Callable[[Member], int], slots: int) -> list[tuple[str, ...]]:
    """Ids of every member, packed. limit: the largest pack a member may be in; slots: how many there are to fill."""
    kinds: dict[str, list[Member]] = {}
    for member in members:
        kinds.setdefault(pack_key(member.config, member.says), []).append(member)
    packs = []
    for kind in kinds.values():
        trainer = kind[0].config["trainer"]  # who ends by itself, and who needs several devices, trains alone
        most = limit(kind[0]) if trainer["devices"] == 1 and not trainer.get("until") else 1
        share = math.ceil(slots * len(kind) / len(members))
        n_packs = max(math.ceil(len(kind) / most), min(len(kind), share))
        packs += [tuple(member.id for member in part) for part in _equal_parts(kind, n_packs)]
    order = {member.id: place for place, member in enumerate(members)}
    return sorted(packs, key=lambda pack: order[pack[0]])


def _equal_parts(items: Sequence[Member], n: int) -> list[Sequence[Member]]:
    bounds = [len(items) * part // n for part in range(n + 1)]
    return [items[low:high] for low, high in pairwise(bounds)]


def ranks(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Ids in the order in which they tell most, of configs by id: equal ranks tell as much.

    The first seed before the second; of each, the ends of the range of weights, then its middle, then the middles of
    the halves: whenever it ends, the weights tried lie as evenly as they can. Autoencoders come with the ends.
    """
    weights = sorted({_weight(config) for config in configs.values()} - {None})  # type: ignore[type-var]
    coarse = {weights[index]: rank for rank, index in enumerate(_coarse_to_fine(len(weights)))}
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(config["seed"] for config in configs.values()))}
    return {
        member: seeds[config["seed"]] * max(1, len(weights)) + coarse.get(_weight(config), 0)
        for member, config in configs.items()
    }


def _weight(config: Mapping[str, Any]) -> float | None:
    return None if config["objective"] == "autoencoder" else float(config["loss"]["kl_weight"])


def _coarse_to_fine(n: int) -> list[int]:
    """Of 5: 0, 4, 2, 1, 3."""
    order = dict.fromkeys([0, n - 1][:n])
    gaps = deque([(0, n - 1)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            order[middle := (low + high) // 2] = None
            gaps += [(low, middle), (middle, high)]
    return list(order)


def pack_seconds(steps: int, cost: Cost | None, size: int, threads: int, gpu: bool) -> float | None:
    """Rough duration of a pack of `size` members; None if the network cannot be counted."""
    if cost is None:
        return None
    rate, per_step = (GPU_FLOP_PER_S, GPU_STEP_S) if gpu else (CPU_FLOP_PER_S * threads, CPU_STEP_S)
    return steps * (per_step + size * cost.flop / rate)


def describe(slots: Sequence[Slot], todo: Sequence[Pack]) -> list[str]:
    """The plan as a person reads it before the start. todo: the packs that are to be trained now.

    How long it takes is said when steps have been measured: it depends on the machine and on what else runs there.
    """
    if not todo:
        return []
    sizes = sorted({len(pack.members) for pack in todo})
    each = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    threads = sorted({pack.threads for pack in todo})
    regular = [slot.name for slot in slots if not slot.spare]
    lines = [
        f"slots   {len(regular)}: {', '.join(regular)}"
        f" ({'-'.join(map(str, threads))} {'thread' if threads == [1] else 'threads'} each)"
    ]
    if len(regular) < len(slots):
        lines[0] += f"; the last {len(slots)} packs share them, so that none is idle"
    if sizes != [1]:
        members = sum(len(pack.members) for pack in todo)
        lines.append(f"packs   {len(todo)} with {each} of the {members} members each, trained together in one process")
    return lines
