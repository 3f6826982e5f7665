"""What is to be known of the classes of other packages, before a sweep with them is planned."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.data import children
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.traits import Says, foreign

Asked = tuple[Mapping[str, Any], int]  # a member's config, its training images


def ask(members: Sequence[Asked]) -> list[Says]:
    """What the classes that each member brings along say of themselves; {} for a member of ours alone.

    They are made once, in a child process (training/describe.py), for this one does not load torch: a class that is
    not there, or does not fit, is a SettingsError of one line. Takes no time where all is ours.
    """
    theirs = {place: member for place, member in enumerate(members) if foreign(member[0])}
    if not theirs:
        return [{} for _ in members]
    order = [{"config": config, "images": images} for config, images in theirs.values()]
    with children.start("vae_sweep.training.describe", stderr=subprocess.PIPE) as child:
        told, complaint = child.communicate(json.dumps(order))
    if child.returncode:
        raise SettingsError((complaint.strip().splitlines() or ["a class of your own could not be asked"])[-1])
    said = dict(zip(theirs, json.loads(told.splitlines()[-1]), strict=True))
    return [said.get(place, {}) for place in range(len(members))]
