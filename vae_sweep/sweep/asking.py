"""What is to be known of the classes of other packages, before a sweep with them is planned."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.sweep.settings import SettingsError
from vae_sweep.traits import Says, foreign

Asked = tuple[Mapping[str, Any], int]  # a member's config, its training images


def ask(members: Sequence[Asked]) -> list[Says]:
    """What the classes that each member brings along say of themselves; {} for a member of ours alone.

    They are made once, in one process that ends before anything trains: a class that is not there, or does not fit,
    is a SettingsError of one line. Nothing is started where nobody brings anything.
    """
    theirs = {place: member for place, member in enumerate(members) if foreign(member[0])}
    if not theirs:
        return [{} for _ in members]
    order = [{"config": config, "images": images} for config, images in theirs.values()]
    command = [sys.executable, "-m", "vae_sweep.training.describe"]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True)
    if done.returncode:
        raise SettingsError((done.stderr.strip().splitlines() or [f"{' '.join(command)} failed"])[-1])
    said = dict(zip(theirs, json.loads(done.stdout.splitlines()[-1]), strict=True))
    return [said.get(place, {}) for place in range(len(members))]
