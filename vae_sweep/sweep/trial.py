"""Before a sweep with a network of somebody's own is begun: each kind of member is built once, on one batch.

In a child process (training/trial.py), for this one does not load torch.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.data import children
from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.members import Member
from vae_sweep.sweep.settings import SettingsError

_OURS = "vae_sweep."


def try_out(members: Sequence[Member], data_of: Mapping[str, ImageData]) -> None:
    """Raises SettingsError, one line, for the first member with a part that is not ours and that cannot train.

    data_of: by member id. Takes no time where all is ours; else that of importing torch.
    """
    kinds: dict[str, list[Member]] = {}
    for member in members:
        if any(not target.startswith(_OURS) for target in _targets(member.config)):
            kinds.setdefault(data_of[member.id].fingerprint, []).append(member)
    for alike in kinds.values():
        if said := _refused(_distinct(alike), data_of[alike[0].id]):
            raise SettingsError(said)


def _distinct(members: Sequence[Member]) -> list[Member]:
    """One member of each kind of parts: not another for another seed or weight."""

    def kind(member: Member) -> str:
        loss = {key: value for key, value in member.config["loss"].items() if not isinstance(value, float)}
        return json.dumps([member.config["objective"], member.config["model"], member.config["kl_schedule"], loss])

    return list({kind(member): member for member in members}.values())


def _refused(members: Sequence[Member], data: ImageData) -> str | None:
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
        return json.loads(out.splitlines()[-1])["refused"]
    except (IndexError, json.JSONDecodeError):  # it died: not by an exception of the network, which it would have told
        last = (err.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return f"model._target_={members[0].config['model']['_target_']}: could not be tried: {last}"


def _targets(config: Mapping[str, Any]) -> Iterator[str]:
    """The dotted path of every part: a `_target_` at any depth, or a path in place of a name."""
    stack: list[Any] = [config["model"], config["kl_schedule"]]
    for part in (config["loss"][name] for name in ("recon", "divergence")):
        stack.append(part if isinstance(part, Mapping) else {"_target_": part} if "." in str(part) else {})
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if "_target_" in node:
                yield str(node["_target_"])
            stack += node.values()
        elif isinstance(node, (list, tuple)):
            stack += node
