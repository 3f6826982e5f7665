"""Which packs of a sweep are to be trained now: those of members that are new to it, and old ones that are not done."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from vae_sweep.engine.pack import Pack
from vae_sweep.engine.place import Place
from vae_sweep.engine.slots import Slot, spare_slots
from vae_sweep.models.costs import Cost, cost
from vae_sweep.runs import outcomes
from vae_sweep.runs.manifest import SweepError, freeze, split_pack, take_out
from vae_sweep.runs.members import Member, total_steps
from vae_sweep.runs.schema import Entry, Manifest
from vae_sweep.sweep.lengthening import OF_ITS_END, describe, goes_on, is_too_short
from vae_sweep.sweep.plan import largest_pack, make_packs, pack_seconds, ranks


class Work(NamedTuple):
    """What is to be trained: packs, on these slots, by the plan of this manifest. Nothing, if packs is empty.

    again: id of a member that has ended and is taken up -> what goes from its folder; begun: id -> the step that a
    member of a pack stands at.
    """

    manifest: Manifest
    packs: list[Pack]
    slots: list[Slot]
    notes: tuple[str, ...] = ()  # on runs that are made longer
    again: Mapping[str, Sequence[str | Path]] = {}
    begun: Mapping[str, int] = {}


def work(
    manifest: Manifest,
    folder: Path,
    members: Sequence[Member],
    place: Place,
    launcher: Mapping[str, Any],
    retry: bool,
) -> Work:
    """What is left of `members`, all of which are in the manifest. Packs that were frozen before stay as they are.

    launcher: cfg.launcher; retry: failed members, too. Writes nothing: that is left to `make_ready`. Raises SweepError
    for more devices than there are, and what the place says.
    """
    entries = {entry["id"]: entry for entry in manifest["members"]}
    results = {member.id: outcomes.standing(folder / entries[member.id]["folder"]) for member in members}
    unfinished = {member for member, result in results.items() if outcomes.continues_by_itself(result)}
    failed = {member for member, result in results.items() if result.get("status") == "failed"} - unfinished
    failed = failed if retry else set()
    longer = {
        member: goes_on(folder / entries[member]["folder"], entries[member], result, manifest)
        for member, result in results.items()
        if is_too_short(result, entries[member], manifest)
    }
    to_continue = unfinished | failed | longer.keys()
    manifest = _apart(take_out(manifest, failed), longer.keys(), to_continue)
    packs_before = manifest["plan"]["packs"]
    old = [index for index, pack in enumerate(packs_before) if to_continue & set(pack)]
    packed = {member for pack in packs_before for member in pack}
    new = [member for member in members if member.id not in packed]
    if not old and not new:
        return Work(manifest, [], [])
    costs = _costs(manifest)
    slots, threads = place.slots(_devices(entries, [packs_before[index][0] for index in old], new))
    made = make_packs(
        new,
        lambda member: largest_pack(launcher["pack"], costs[member.id], place.memory),
        max(1, len(slots) - len(old)),
    )
    manifest = freeze(
        manifest,
        [slot.name for slot in slots],
        [*packs_before, *made],
        [*manifest["plan"]["threads"], *([threads] * len(made))],
    )
    todo = [*old, *range(len(packs_before), len(manifest["plan"]["packs"]))]
    try:
        packs = [_pack(manifest, index, entries, costs, place, slots) for index in todo]
    except ValueError as error:  # more devices than there are
        raise SweepError(str(error)) from None
    if launcher["budget"] is not None:
        told = ranks({member.id: member.config for member in members})
        packs = [replace(pack, rank=min(told.get(member, 0) for member in pack.members)) for pack in packs]
        packs.sort(key=lambda pack: pack.rank)
    if place.shares_cores and all(pack.width == 1 for pack in packs):
        slots = [*slots, *spare_slots(slots, len(packs))]
    diverged = {member for member in failed if results[member].get("cause") == "diverged"}
    again: dict[str, Sequence[str | Path]] = {**dict.fromkeys(failed, ()), **dict.fromkeys(longer, OF_ITS_END)}
    again |= dict.fromkeys(diverged, ("checkpoints",))  # which hold the numbers that had diverged
    begun = {
        member: (results.get(member) or outcomes.standing(folder / entries[member]["folder"])).get("steps", 0)
        for pack in packs
        for member in pack.members
    }
    begun |= {member: step for member, (step, _) in longer.items()} | dict.fromkeys(diverged, 0)
    return Work(manifest, packs, slots, tuple(describe(list(longer.values()))), again, begun)


def make_ready(folder: Path, todo: Work) -> None:
    """The folders of runs that are taken up: those that had ended become interrupted ones, without what is of their
    end, and a damaged result.json is set aside. To be called when the plan is written. Raises OSError."""
    entries = {entry["id"]: entry for entry in todo.manifest["members"]}
    for member in (member for pack in todo.packs for member in pack.members):
        run = folder / entries[member]["folder"]
        outcomes.repair(run)
        if member in todo.again:
            for name in todo.again[member]:
                if (run / name).is_dir():
                    shutil.rmtree(run / name, ignore_errors=True)
                else:
                    (run / name).unlink(missing_ok=True)
            outcomes.forgive(folder, entries[member])


def _apart(manifest: Manifest, longer: Collection[str], to_continue: Collection[str]) -> Manifest:
    """`manifest` in which members that are made longer have left the packs whose others stay as they are."""
    for pack in manifest["plan"]["packs"]:
        together = [member for member in pack if member in to_continue]
        if set(longer) & set(pack) and len(together) < len(pack):
            manifest = split_pack(manifest, [together])
    return manifest


def _devices(entries: Mapping[str, Entry], old: Sequence[str], new: Sequence[Member]) -> int:
    """How many devices could be used at once: by one member of every old pack, and by every new member."""
    return sum(entries[member]["config"]["trainer"]["devices"] for member in [*old, *(member.id for member in new)])


def _pack(
    manifest: Manifest,
    index: int,
    entries: Mapping[str, Entry],
    costs: Mapping[str, Cost | None],
    place: Place,
    slots: Sequence[Slot],
) -> Pack:
    """The pack of that number in the plan, as wide as the slots of this machine are narrow."""
    members, threads = manifest["plan"]["packs"][index], manifest["plan"]["threads"][index]
    entry = entries[members[0]]
    steps, devices = _steps(entry, manifest), entry["config"]["trainer"]["devices"]
    return Pack(
        tuple(members),
        devices,
        place.width(devices, threads, slots),
        threads,
        steps,
        pack_seconds(steps, costs[members[0]], len(members), threads, place.gpu),
    )


def _steps(entry: Entry, manifest: Manifest) -> int:
    return total_steps(entry["config"], manifest["datasets"][entry["data_fingerprint"]]["train"])


def _costs(manifest: Manifest) -> dict[str, Cost | None]:
    """Of every member by its id; networks that are alike are counted once."""
    found: dict[str, Cost | None] = {}
    by_network: dict[str, Cost | None] = {}
    for entry in manifest["members"]:
        config, fingerprint = entry["config"], entry["data_fingerprint"]
        settings = config["model"], config["data"]["batch_size"], bool(config["trainer"].get("ema"))
        network = repr((settings, fingerprint))
        if network not in by_network:
            channels, height, width = manifest["datasets"][fingerprint]["shape"]
            by_network[network] = cost(settings[0], (channels, height, width), *settings[1:])
        found[entry["id"]] = by_network[network]
    return found
