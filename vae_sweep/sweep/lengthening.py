"""Members that are asked for at another length: `trainer.max_epochs` raised on the same sweep=NAME.

A member's length is no part of what it is. Where a sweep has one run of a configuration and is asked for it at one
greater length, that run goes on from where its learning rate, or its KL weight, begin to hang on the length. Several
lengths asked for at once are several members, to be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.manifest import SweepError
from vae_sweep.runs.members import Member, kin, total_steps
from vae_sweep.runs.schema import BEST, LEVEL, Config, Entry, Manifest
from vae_sweep.schedules import same_weight
from vae_sweep.schedules.learning_rate import same_until
from vae_sweep.traits import target_of

OF_ITS_END = ("evaluation.json", "evaluation.npz", "curve.json", "curve.npz", "sampler.npz", BEST)  # files of a run
Length = tuple[int, Any]  # steps at most, trainer.until


def known_as(
    manifest: Manifest | None, members: Sequence[Member], data_of: Mapping[str, ImageData]
) -> dict[str, Member]:
    """Member id -> the member as the sweep knows it: under the id of the run that is to go on, or has gone further.

    Of members with one id it is the first.

    Raises SweepError for one of several lengths whose run has gone on to another.
    """
    firsts: dict[str, Member] = {}
    for member in members:
        firsts.setdefault(member.id, member)
    if manifest is None:
        return firsts
    entries: dict[str, list[Entry]] = {}
    for entry in manifest["members"]:
        entries.setdefault(kin(entry["config"], entry["data_fingerprint"]), []).append(entry)
    relations = {member.id: kin(member.config, data_of[member.id].fingerprint) for member in firsts.values()}
    asked: dict[str, set[Length]] = {}
    for member in firsts.values():
        asked.setdefault(relations[member.id], set()).add(_length(member.config, data_of[member.id]))
    taken = {entry["id"] for entry in manifest["members"]}
    found = {}
    for member in firsts.values():
        data, relation = data_of[member.id], relations[member.id]
        length, relatives = _length(member.config, data), entries.get(relation, [])
        exact = [entry["id"] for entry in relatives if _length(entry["config"], data) == length]
        known = member
        if exact:
            known = replace(member, id=exact[0])
        elif len(relatives) == 1 and len(asked[relation]) == 1:
            [only] = relatives
            went_further = length[0] < total_steps(only["config"], len(data.train))
            known = replace(member, id=only["id"], config=only["config"] if went_further else member.config)
        elif member.id in taken:
            raise SweepError(
                f"sweep={manifest['sweep']}: the run of {length[0]:,} steps has gone on to another length; to compare"
                " lengths choose another sweep=NAME"
            )
        found[member.id] = known
    return found


def is_too_short(result: Mapping[str, Any], entry: Entry, manifest: Manifest) -> bool:
    """Whether a run that is done is asked for at a greater length than it has."""
    config = entry["config"]
    if result.get("status") != "done" or (result.get("converged_at") and config["trainer"].get("until")):
        return False
    wanted = total_steps(config, manifest["datasets"][entry["data_fingerprint"]]["train"])
    return wanted > result.get("total_steps", wanted)


def goes_on(run: Path, entry: Entry, result: Mapping[str, Any], manifest: Manifest) -> tuple[int, str]:
    """(step that a run, in its folder, goes on from, why it begins again or "")."""
    config, before = entry["config"], result["total_steps"]
    wanted = total_steps(config, manifest["datasets"][entry["data_fingerprint"]]["train"])
    shared = same_until(config["optimizer"]["lr_schedule"], before, wanted)
    if not shared:
        return 0, f"optimizer.lr_schedule={config['optimizer']['lr_schedule']} hangs on the length from the start"
    shared = min(shared, before)
    if config["objective"] == "vae" and not same_weight(config["kl_schedule"], before, wanted, shared):
        return 0, f"kl_schedule={_short(config)} hangs on the length"
    if (run / LEVEL).exists():
        return min(shared, before - 1), ""
    if shared == before:
        return before, ""
    return 0, "no checkpoint was kept of the step at which its learning rate began to fall"


def describe(longer: Sequence[tuple[int, str]]) -> list[str]:
    """Lines for a person: how many runs go on, from where, and which begin again and why."""
    lines = []
    for start, why in dict.fromkeys(longer):
        many = longer.count((start, why))
        who = "1 run" if many == 1 else f"{many} runs"
        goes, begins = ("goes", "begins") if many == 1 else ("go", "begin")
        lines.append(f"longer  {who} {f'{begins} again: {why}' if why else f'{goes} on from step {start:,}'}")
    return lines


def _length(config: Config, data: ImageData) -> Length:
    return total_steps(config, len(data.train)), config["trainer"].get("until")


def _short(config: Config) -> str:
    return target_of(config["kl_schedule"]).rsplit(".", 1)[-1]
