"""How a member ended, where training itself could not write it down: its process was killed, or never began."""

import socket
from pathlib import Path
from typing import Any

from vae_sweep.records import SCHEMA, read_json, write_json

# Killed from outside, so nothing is wrong with the member itself: the same command continues it.
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


def entry(folder: Path, member_id: str) -> dict[str, Any]:
    """The member's entry in the sweep's manifest."""
    return next(item for item in read_json(folder / "sweep.json")["members"] if item["id"] == member_id)


def read_result(run: Path) -> dict[str, Any]:
    """result.json, {} if the run has not begun."""
    path = run / "result.json"
    return read_json(path) if path.exists() else {}


def record_failure(folder: Path, member_id: str, error: dict[str, Any]) -> dict[str, Any]:
    """Mark a member failed in its result.json, keeping what training wrote. Returns the result."""
    return _record(folder, member_id, "failed", error)


def record_interruption(folder: Path, member_id: str) -> dict[str, Any]:
    """Mark a member as stopped before its end; its checkpoint continues it."""
    return _record(folder, member_id, "interrupted", None)


def continues_by_itself(result: dict[str, Any]) -> bool:
    """Whether the same command takes this member up again without retry=failed."""
    status = result.get("status", "queued")
    killed = (result.get("error") or {}).get("type") in _FROM_OUTSIDE
    return status in ("queued", "running", "interrupted") or (status == "failed" and killed)


def _record(folder: Path, member_id: str, status: str, error: dict[str, Any] | None) -> dict[str, Any]:
    member = entry(folder, member_id)
    run = folder / member["folder"]
    begun = read_result(run)
    if begun.get("status") == "done":  # killed after its last word
        return begun
    known = {"schema": SCHEMA, **member, "metrics": {}, "hostname": socket.gethostname()}
    result = {**known, **begun, "status": status, "error": error}
    write_json(run / "result.json", result)
    return result
