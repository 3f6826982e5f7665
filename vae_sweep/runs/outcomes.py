"""How a member ended, where training itself could not write it down: its process was killed, or never began."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.records import SCHEMA, read_json, write_json

# Killed from outside, so nothing is wrong with the member itself: the same command continues it.
_BY_SIGNAL = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
LOST_JOB = "SLURM"  # and the state in which the cluster ended a job that could not say why


def entry(folder: Path, member_id: str) -> dict[str, Any]:
    """The member's entry in the sweep's manifest."""
    return next(item for item in read_json(folder / "sweep.json")["members"] if item["id"] == member_id)


def read_result(run: Path) -> dict[str, Any]:
    """result.json, {} if the run has not begun."""
    path = run / "result.json"
    return read_json(path) if path.exists() else {}


def settle(folder: Path, event: Mapping[str, Any]) -> dict[str, Any]:
    """What result.json holds after the `result` event of a member, written here if training no longer could.

    A member that never began and was only interrupted has no file: the event itself is returned.
    """
    member = entry(folder, event["id"])
    path = folder / member["folder"] / "result.json"
    written = read_result(path.parent)
    status = written.get("status", "queued")
    if status in ("done", event["status"]):  # done: killed after its last word
        return written
    if status == "queued" and event["status"] != "failed":
        return dict(event)
    known = {"schema": SCHEMA, **member, "metrics": {}, "hostname": socket.gethostname()}
    result = {**known, **written, "status": event["status"], "error": event.get("error")}
    write_json(path, result)
    return result


def continues_by_itself(result: Mapping[str, Any]) -> bool:
    """Whether the same command takes this member up again without retry=failed."""
    status = result.get("status", "queued")
    error = str((result.get("error") or {}).get("type"))
    killed = error in _BY_SIGNAL or error.startswith(LOST_JOB)
    return status in ("queued", "running", "interrupted") or (status == "failed" and killed)
