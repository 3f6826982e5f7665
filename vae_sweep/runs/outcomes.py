"""How a member ended, where training itself could not write it down: its process was killed, or never began."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.files import RecordError, read_rows, set_aside
from vae_sweep.runs.reading import read_result
from vae_sweep.runs.records import Damaged, log
from vae_sweep.runs.writing import result_of, time_of, write_result


def finalise(sweep: Path, entry: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """What result.json holds after the `result` event of the member `entry`, written here if training no longer could.

    A member that never began and was only interrupted has no file: the event itself is returned.
    """
    run = sweep / entry["folder"]
    written = read_result(run)
    status = written.get("status", "queued")
    if status in ("done", event["status"]):  # done: killed after its last word
        return written
    if status == "queued" and event["status"] != "failed":
        return dict(event)
    known = {**written, **reached(run, written)}
    result = result_of(entry, known, event["status"], event.get("cause"), event.get("error"))
    write_result(run, result)
    return result


def reached(run: Path, written: Mapping[str, Any]) -> dict[str, Any]:
    """steps and wall_s of a run that could not write them down: those of its last row, if that is later."""
    try:
        rows = read_rows(run / "metrics.jsonl")
    except RecordError:
        return {}
    step = max((row["step"] for row in rows), default=0)
    return {"steps": step, "wall_s": time_of(rows)} if step > written.get("steps", 0) else {}


def forgive(sweep: Path, entry: Mapping[str, Any]) -> None:
    """Make a failed member one that was interrupted: to be tried again."""
    run = sweep / entry["folder"]
    write_result(run, result_of(entry, read_result(run), "interrupted", None, None))


def standing(run: Path) -> dict[str, Any]:
    """result.json; {} for one that is damaged, whose run is to be taken up where it stands."""
    try:
        return read_result(run)
    except Damaged:
        return {}


def repair(run: Path) -> None:
    """Set a damaged result.json aside, and say so."""
    try:
        read_result(run)
    except Damaged as error:
        if (aside := set_aside(run / "result.json")) is not None:
            log.warning("%s; set aside as %s, the run is taken up from its checkpoint", error, aside.name)


def continues_by_itself(result: Mapping[str, Any]) -> bool:
    """Whether the same command takes this member up again without retry=failed: nothing is wrong with it."""
    status = result.get("status", "queued")
    from_outside = result.get("cause") in ("killed", "lost", "disk")
    return status in ("queued", "running", "interrupted") or (status == "failed" and from_outside)
