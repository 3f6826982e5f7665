"""sweep.json: the members of a sweep, their folders, and the frozen plan. Pure: dictionaries in, dictionaries out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vae_sweep.runs.members import Member, slug, swept_keys
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.schema import SCHEMA, DataSet, Entry, Manifest, Plan
from vae_sweep.theory.beta import beta, sizes_of

# Where data come from; with these equal, a member that is new to a sweep is one more point of the same comparison.
_SOURCE = ("_target_", "root", "path", "dataset", "split", "images")


class SweepError(ValueError):
    """A sweep that cannot be run as asked; the message is one line and names the reason."""


def new_manifest(name: str, command: Sequence[str], cwd: str, provenance: Mapping[str, Any]) -> Manifest:
    """provenance: versions, git_commit, hardware."""
    return {
        "schema": SCHEMA,
        "sweep": name,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "command": list(command),
        "cwd": cwd,
        "versions": provenance["versions"],
        "git_commit": provenance["git_commit"],
        "hardware": provenance["hardware"],
        "data": {},
        "datasets": {},
        "members": [],
        "swept": [],
        "plan": {"slots": [], "packs": [], "threads": []},
    }


def with_members(manifest: Manifest, asked: Iterable[Member], data: Mapping[str, DataSet]) -> Manifest:
    """`manifest` with the members that are `asked` for; those that it does not hold yet are numbered on.

    data: the data set of every member, by its id. A forecast that the manifest has of it is kept.
    """
    members = {member.id: member for member in asked}
    entries: list[Entry] = [
        # Equal in what matters, but a folder of images may have moved.
        {**entry, "config": members[entry["id"]].config} if entry["id"] in members else entry
        for entry in manifest["members"]
    ]
    known = {entry["id"] for entry in entries}
    typed = [set(entry["overrides"]) for entry in entries] + [set(member.overrides) for member in members.values()]
    common = set.intersection(*typed)
    for member in members.values():
        if member.id not in known:
            number = len(entries)
            name = slug(_own(member, common), member.config)
            entry: Entry = {
                "id": member.id,
                "number": number,
                "folder": f"{number:03d}-{name}-{member.id}",
                "overrides": list(member.overrides),
                "data_fingerprint": data[member.id]["fingerprint"],
                "beta": beta(member.config, sizes_of(member.config, data[member.id]["shape"]), member.says),
                "config": member.config,
            }
            if member.says:
                entry["says"] = {what: dict(traits) for what, traits in member.says.items()}
            entries.append(entry)
    datasets = dict(manifest["datasets"])
    for found in {found["fingerprint"]: found for found in data.values()}.values():
        known_of_it = datasets.get(found["fingerprint"])
        datasets[found["fingerprint"]] = {**known_of_it, **found} if known_of_it else found
    first: Mapping[str, Any] = next(iter(datasets.values()), {})
    return {
        **manifest,
        "members": entries,
        "swept": swept_keys([entry["config"] for entry in entries]),
        "data": manifest["data"] or {key: value for key, value in first.items() if key != "forecast"},
        "datasets": datasets,
    }


def check_compatible(manifest: Manifest, members: Iterable[Member], data: Mapping[str, DataSet]) -> None:
    """Raises SweepError if `members` cannot join the sweep: another schema, changed data, or other data."""
    name = manifest["sweep"]
    if manifest.get("schema") != SCHEMA:
        raise SweepError(
            f"sweep={name} was written by another version of vae-sweep (schema {manifest.get('schema')}, here {SCHEMA})"
        )
    before = [entry["config"]["data"] for entry in manifest["members"]]
    for member in members:
        config, fingerprint = member.config["data"], data[member.id]["fingerprint"]
        if fingerprint in manifest["datasets"]:
            continue
        if before and _source(config) not in map(_source, before):
            raise SweepError(
                f"sweep={name} compares runs on {_name(before[0])}, not on {_name(config)}: choose another sweep=NAME"
            )
        if config in before:
            raise SweepError(
                f"sweep={name} was begun on other images: {_name(config)} has changed since; choose another sweep=NAME"
            )


def shape_of(manifest: Mapping[str, Any], fingerprint: str | None) -> Sequence[int] | None:
    """(C, H, W) of the images of a data set; None if the manifest does not say."""
    described = (manifest.get("datasets") or {}).get(fingerprint) or manifest.get("data") or {}
    return described.get("shape")


def forecast_of(manifest: Mapping[str, Any], fingerprint: str | None, split: str = "train") -> dict[str, Any]:
    """What the images of a data set said before any training; {} if nothing was computed."""
    described = (manifest.get("datasets") or {}).get(fingerprint) or {}
    return (described.get("forecast") or {}).get(split) or {}


def freeze(
    manifest: Manifest, slots: Sequence[str], packs: Sequence[Sequence[str]], threads: Sequence[int]
) -> Manifest:
    """`manifest` with this plan."""
    plan: Plan = {"slots": list(slots), "packs": [list(pack) for pack in packs], "threads": list(threads)}
    return {**manifest, "plan": plan}


def split_pack(manifest: Manifest, into: Sequence[Sequence[str]]) -> Manifest:
    """`manifest` whose pack of all the ids `into` is replaced by several; members that had ended stay together."""
    moved = {member for part in into for member in part}
    packs, threads = [], []
    for pack, n_threads in zip(manifest["plan"]["packs"], manifest["plan"]["threads"], strict=True):
        parts = [[member for member in pack if member not in moved], *into] if moved & set(pack) else [pack]
        packs += [part for part in parts if part]
        threads += [n_threads for part in parts if part]
    return freeze(manifest, manifest["plan"]["slots"], packs, threads)


def take_out(manifest: Manifest, alone: Collection[str]) -> Manifest:
    """`manifest` in which each of the members `alone` has a pack of its own: their packs have gone on without them."""
    packs, threads = [], []
    for pack, n_threads in zip(manifest["plan"]["packs"], manifest["plan"]["threads"], strict=True):
        rest = [member for member in pack if member not in alone]
        parts = [rest] * bool(rest) + [[member] for member in pack if member in alone]
        packs += parts
        threads += [n_threads] * len(parts)
    return freeze(manifest, manifest["plan"]["slots"], packs, threads)


def _own(member: Member, common: Collection[str]) -> list[str]:
    """What a member's folder is named after: the overrides that not all have; all of them if it is alone."""
    return [override for override in member.overrides if override not in common] or list(member.overrides)


def _source(data: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(data.get(key) for key in _SOURCE)


def _name(data: Mapping[str, Any]) -> str:
    place = data.get("root") or data.get("path")
    rest = flatten({key: data[key] for key in ("dataset", "split", "images") if data.get(key)}, "data.")
    name = str(data.get("_target_", "?")).rsplit(".", 1)[-1] + (f" in {place}" if place else "")
    return " ".join([name, *(f"{key}={value}" for key, value in rest.items())])
