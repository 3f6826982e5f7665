"""Which packs of a sweep are to be trained now: those of new members, and old ones that are not done."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.engine.place import Place
from vae_sweep.engine.plan import Pack, largest_pack, make_packs, pack_seconds
from vae_sweep.engine.slots import Slot, spare_slots
from vae_sweep.models.costs import Cost, cost
from vae_sweep.runs import outcomes
from vae_sweep.runs.manifest import Manifest, SweepError, freeze, take_out
from vae_sweep.runs.members import Member, total_steps
from vae_sweep.runs.records import write_json


def planned(
    manifest: Manifest, folder: Path, members: Sequence[Member], place: Place, config: Mapping[str, Any]
) -> tuple[Manifest, list[Pack], list[Slot]]:
    """(manifest with its plan, packs to train now, slots). Old packs stay as they are."""
    results = {entry["id"]: outcomes.read_result(folder / entry["folder"]) for entry in manifest["members"]}
    wanted = {member.id for member in members if outcomes.continues_by_itself(results[member.id])}
    if config["retry"] == "failed":
        failed = {member.id for member in members if results[member.id].get("status") == "failed"} - wanted
        for member in failed:
            _forget_failure(folder, manifest, member, results[member])
        manifest = take_out(manifest, failed)
        wanted |= failed
    frozen = manifest["plan"]
    old = [index for index, pack in enumerate(frozen["packs"]) if wanted & set(pack)]
    new = [member for member in members if not any(member.id in pack for pack in frozen["packs"])]
    if not old and not new:
        return manifest, [], []

    entries = {entry["id"]: entry for entry in manifest["members"]}
    asked_for = [frozen["packs"][index][0] for index in old] + [member.id for member in new]
    slots, threads = place.slots(sum(entries[member]["config"]["trainer"]["devices"] for member in asked_for))
    costs = {entry["id"]: _cost(entry, manifest) for entry in manifest["members"]}
    made = make_packs(
        new,
        lambda member: largest_pack(config["launcher"]["pack"], costs[member.id], place.memory),
        max(1, len(slots) - len(old)),
    )
    counts = [*frozen["threads"], *([threads] * len(made))]
    manifest = freeze(manifest, [slot.name for slot in slots], [*frozen["packs"], *made], counts)
    todo = [*old, *range(len(frozen["packs"]), len(manifest["plan"]["packs"]))]
    try:
        packs = [_pack(manifest, index, costs, place, slots) for index in todo]
    except ValueError as error:  # more devices than there are
        raise SweepError(str(error)) from None
    if place.shares_cores and all(pack.width == 1 for pack in packs):
        slots = [*slots, *spare_slots(slots, len(packs))]
    return manifest, packs, slots


def _pack(
    manifest: Manifest, index: int, costs: Mapping[str, Cost | None], place: Place, slots: Sequence[Slot]
) -> Pack:
    members, threads = manifest["plan"]["packs"][index], manifest["plan"]["threads"][index]
    entry = next(entry for entry in manifest["members"] if entry["id"] == members[0])
    steps, devices = _steps(entry, manifest), entry["config"]["trainer"]["devices"]
    return Pack(
        tuple(members),
        devices,
        place.width(devices, threads, slots),
        threads,
        steps,
        pack_seconds(steps, costs[members[0]], len(members), threads, place.gpu),
    )


def _steps(entry: Mapping[str, Any], manifest: Manifest) -> int:
    return total_steps(entry["config"], manifest["datasets"][entry["data_fingerprint"]]["train"])


def _cost(entry: Mapping[str, Any], manifest: Manifest) -> Cost | None:
    shape = manifest["datasets"][entry["data_fingerprint"]]["shape"]
    return cost(entry["config"]["model"], tuple(shape), entry["config"]["data"]["batch_size"])


def _forget_failure(folder: Path, manifest: Manifest, member: str, result: Mapping[str, Any]) -> None:
    """Let a failed member be tried again: from its checkpoint, or from the start if its numbers had diverged."""
    run = folder / next(entry["folder"] for entry in manifest["members"] if entry["id"] == member)
    if (result.get("error") or {}).get("type") == "Diverged":
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
    write_json(run / "result.json", {**result, "status": "interrupted", "error": None})
