"""Before a sweep with parts of somebody's own is planned: each kind of member is built once, on one batch.

In a child process (training/trial.py), for this one does not load torch. It also tells what likelihoods, divergences
and schedules that are not ours say of themselves (traits.py), by which they are planned, announced and judged.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.data import children
from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.members import Member
from vae_sweep.runs.nested import at
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.traits import Says, foreign, target_of

_OURS = "vae_sweep."
_KEYS = {
    "likelihood": "loss.recon",
    "divergence": "loss.divergence",
    "schedule": "kl_schedule",
    "metrics": "trainer.metrics",
}  # by the words of `foreign`


def try_out(members: Sequence[Member], data_of: Mapping[str, ImageData]) -> list[Member]:
    """The members, with what the parts that they bring along say of themselves.

    data_of: by member id. Takes no time where all is ours; else that of importing torch. Raises SettingsError, one
    line, for the first member with a part that is not ours and that cannot train.
    """
    kinds: dict[str, dict[str, Member]] = {}  # of each data set, one member of every kind
    for member in members:
        if _brought(member.config):
            kinds.setdefault(data_of[member.id].fingerprint, {}).setdefault(_kind(member), member)
    says: dict[tuple[str, str], Says] = {}
    for fingerprint, alike in kinds.items():
        told = _told(list(alike.values()), data_of[next(iter(alike.values())).id])
        says |= {(fingerprint, kind): said for kind, said in zip(alike, told, strict=True)}
    return [replace(member, says=says.get((data_of[member.id].fingerprint, _kind(member)), {})) if says else member
            for member in members]  # fmt: skip


def _kind(member: Member) -> str:
    """Members that differ in a seed or a weight are of one kind."""
    loss = {key: value for key, value in member.config["loss"].items() if not isinstance(value, float)}
    return json.dumps([member.config["objective"], member.config["model"], member.config["kl_schedule"], loss])


def _told(members: Sequence[Member], data: ImageData) -> list[Says]:
    """What each member's parts say of themselves."""
    size = members[0].config["data"]["batch_size"]
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        path = Path(scratch) / "batch.npy"
        np.save(path, np.asarray(data.images[data.train[:size]]))
        asked = {
            "batch": str(path),
            "images": len(data.train),
            "members": [{"config": member.config, "overrides": member.overrides} for member in members],
        }
        with children.start("vae_sweep.training.trial", stderr=subprocess.PIPE) as child:
            out, err = child.communicate(json.dumps(asked))
    try:
        told = json.loads(out.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):  # it died: not by an exception of a part, which it would have told
        last = (err.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        parts = dict.fromkeys(part for member in members for part in _brought(member.config))
        raise SettingsError(f"{', '.join(parts)}: could not be tried: {last}") from None
    if told["refused"]:
        raise SettingsError(told["refused"])
    return told["says"]


def _brought(config: Mapping[str, Any]) -> list[str]:
    """What is not ours: the keys that name it, with what they name."""
    found = [f"model._target_={target}" for target in _targets(config["model"]) if not target.startswith(_OURS)]
    for part in foreign(config):
        key = _KEYS[part]
        named = at(config, key.split("."))
        found.append(f"{key}={named if isinstance(named, list) else target_of(named)}")
    return found


def _targets(section: Mapping[str, Any]) -> Iterator[str]:
    """Every `_target_` at any depth."""
    stack: list[Any] = [section]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if "_target_" in node:
                yield str(node["_target_"])
            stack += node.values()
        elif isinstance(node, (list, tuple)):
            stack += node
