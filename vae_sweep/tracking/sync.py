"""Upload what a W&B server does not have of a sweep: runs, from wandb's files or from their own, and the answer.

Exit code: 0 all of it is on the server now, 1 some is not, 2 nothing could be tried.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vae_sweep.commands import Parser, door
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import latest_sweep, load_sweep
from vae_sweep.runs.withheld import resolved
from vae_sweep.text import inert
from vae_sweep.tracking import workspace
from vae_sweep.tracking.answering import tell_answer, untold
from vae_sweep.tracking.attempts import attempts, is_uploaded
from vae_sweep.tracking.mode import has_key, reachable, server_url
from vae_sweep.tracking.tracker import default_entity, one_line, open_tracker, wait_for

REPLAY_TIMEOUT_S = 120.0  # for those that are told at once
AT_ONCE = 8


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        return _main(parser().parse_args(arguments))


def parser() -> argparse.ArgumentParser:
    found = Parser(
        "tracking",
        "Upload to W&B the runs of a sweep that are not there yet, or not whole, and its answer.",
        "exit code: 0 all uploaded, or nothing to do; 1 some runs are not; 2 no key, connection, sweep or workspace",
    )
    found.add_argument("sweep", nargs="?", type=Path, metavar="SWEEP", help="folder of a sweep (the latest)")
    found.add_argument("--workspace", action="store_true", help="then lay the sweep out in W&B, as a saved view")
    found.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where to look for it (outputs)")
    return found


def _main(options: argparse.Namespace) -> int:
    os.environ.pop("WANDB_MODE", None)  # who calls this wants to upload
    try:
        folder = options.sweep or latest_sweep(options.output_dir)
        if options.workspace:
            workspace.packages()
        code = sync(folder)
        return code if code == 2 or not options.workspace else lay_out(folder) or code
    except (RecordError, workspace.NotInstalled) as error:
        print(f"error: {inert(error)}", file=sys.stderr)
        return 2


def sync(folder: Path) -> int:
    """Upload the runs below `folder` and the answer; print what became of them. Returns the exit code."""
    manifest = load_sweep(folder).manifest
    members = {folder / entry["folder"]: entry for entry in manifest["members"]}
    told = [run for run, entry in members.items() if _is_to_be_told(run, entry)]
    running = [run for run in told if _in_training(folder, members[run]["id"])]
    waiting = [run for run in told if run not in running and not is_uploaded(run)]
    if running:
        print(f"{folder}: {len(running)} runs are in training: sync again when they have ended")
    answer_waits = bool(told) and bool(untold(folder))
    if not waiting and not answer_waits:
        print(f"{folder}: nothing to do, {'all ended runs are uploaded' if told else 'no run is meant for W&B'}")
        return 0
    if trouble := _no_server():
        print(trouble, file=sys.stderr)
        return 2
    missing = _upload(folder, {run: members[run] for run in waiting}, manifest) if waiting else []
    if answer_waits and not missing:
        logger = _online(members[told[0]])
        if not tell_answer(folder, logger, print, REPLAY_TIMEOUT_S):
            return 1
        print(f"{folder}: the answer is uploaded")
    return 1 if missing else 0


def lay_out(folder: Path) -> int:
    """Save the sweep's view, and print its address. Returns the exit code."""
    manifest = load_sweep(folder).manifest
    if not any(_is_to_be_told(folder / entry["folder"], entry) for entry in manifest["members"]):
        return 0
    if trouble := _no_server():
        print(trouble, file=sys.stderr)
        return 2
    logger = _online(manifest["members"][0])
    try:
        address = workspace.lay_out(manifest, logger["entity"] or default_entity(), logger["project"])
    except Exception as error:  # whatever the server says
        print(f"no workspace was laid out: {one_line(error)}", file=sys.stderr)
        return 2
    print(f"{folder}: laid out at {address}")
    return 0


def _no_server() -> str:
    """Why nothing can be asked of the server; "" where it can."""
    url = server_url()
    if not has_key(url):
        return f"no API key for {url}: `wandb login` stores one, or set WANDB_API_KEY"
    return "" if reachable(url) else f"no connection to {url}"


def _upload(folder: Path, waiting: Mapping[Path, Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[Path]:
    """Upload these runs; returns those of which the server has not all."""
    # wandb's sync appends all that an attempt holds: right only if the server has nothing of the run.
    new = [run for run in waiting if attempts(run) and not any(attempt.seen_by_server for attempt in attempts(run))]
    if new:
        logs = [str(attempt.folder) for run in new for attempt in attempts(run)]
        with tempfile.TemporaryDirectory() as scratch:  # for wandb's own log, by default ./wandb
            command = [sys.executable, "-m", "wandb", "sync", *logs]
            environ = {"WANDB_ERROR_REPORTING": "false"} | os.environ | {"WANDB_DIR": scratch}
            subprocess.run(command, env=environ, check=False)
    # What the server has in part, what wandb has no file of, or only a torn one that its sync could not read.
    left = [run for run in waiting if not is_uploaded(run)]
    for first in range(0, len(left), AT_ONCE):
        some = left[first : first + AT_ONCE]
        _replay(folder, [waiting[run] for run in some], manifest)
        if not all(is_uploaded(run) for run in some):
            break
    missing = [run for run in waiting if not is_uploaded(run)]
    print(f"{folder}: {len(waiting) - len(missing)} of {len(waiting)} runs uploaded")
    for run in missing:
        print(f"not uploaded: {run.name}", file=sys.stderr)
    return missing


def _is_to_be_told(run: Path, entry: Mapping[str, Any]) -> bool:
    return entry["config"]["logger"]["wandb"] != "disabled" and (run / "metrics.jsonl").exists()


def _replay(folder: Path, entries: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> None:
    """Tell the server the runs from their folders; wandb leaves out the steps that it has."""
    trackers = [
        open_tracker(_online(entry), folder, entry, manifest, say=print, timeout_s=REPLAY_TIMEOUT_S)
        for entry in entries
    ]
    wait_for(trackers, REPLAY_TIMEOUT_S)


def _online(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The logger's settings of a member. Raises RecordError for one whose value the environment lacks."""
    return {**resolved(entry["config"], ["logger"])["logger"], "wandb": "online"}


def _in_training(folder: Path, member: str) -> bool:
    """Whether a worker holds the member's lock."""
    path = folder / ".locks" / member
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except (NotImplementedError, OSError):  # a file system without locks
        return False
