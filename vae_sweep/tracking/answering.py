"""The sweep's answer in W&B: a run of its own in the sweep's group, job type "report", told whenever it changes.

What was told last stands in SWEEP/wandb/answer.json.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.files import RecordError, write_json
from vae_sweep.runs.reading import load_sweep
from vae_sweep.runs.records import read_record
from vae_sweep.tracking import content
from vae_sweep.tracking.attempts import attempts
from vae_sweep.tracking.mode import choose_mode, upload_later
from vae_sweep.tracking.tracker import TIMEOUT_S, Say, begin, one_line


def untold(sweep: Path) -> dict[str, Any]:
    """The answer, if the server has another or none; {}: there is none to be had, or it has been told."""
    told = content.answer(sweep)
    try:
        before = read_record(_mark(sweep), dict[str, Any])
    except (RecordError, OSError):
        before = None
    return {} if told["kind"] in ("empty", "unfinished") or told == before else told


def tell_answer(sweep: Path, logger: Mapping[str, Any], say: Say, timeout_s: float = TIMEOUT_S) -> bool:
    """Tell the server the sweep's answer if W&B is online and has another; whether all of it is there afterwards.

    logger: wandb, project, entity. Takes no longer than choose_mode and timeout_s; `say` takes a line of trouble.
    """
    mode = choose_mode(logger["wandb"])
    if mode.name != "online":
        return False
    trouble: list[str] = []

    def work() -> None:
        try:
            if told := untold(sweep):
                _tell(sweep, told, logger, mode.base_url, timeout_s)
        except BaseException as error:
            trouble.append(one_line(error))

    thread = threading.Thread(target=work, name="wandb-answer", daemon=True)  # to be left behind if it hangs
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        trouble.append("the answer is not uploaded yet")
    if trouble:
        say(f"W&B: {trouble[0]}; {upload_later()}")
    return not trouble


def _tell(sweep: Path, told: Mapping[str, Any], logger: Mapping[str, Any], base_url: str, timeout_s: float) -> None:
    manifest = load_sweep(sweep).manifest
    run = begin(
        sweep,
        "online",
        base_url,
        timeout_s,
        project=logger["project"],
        entity=logger["entity"],
        id=content.answer_id(manifest),
        name="answer",
        group=manifest["sweep"],
        job_type="report",
        tags=["answer"],
        config={"sweep": manifest["sweep"], "swept": list(manifest.get("swept") or [])},
    )
    run.summary.update(dict(told))
    run.finish(exit_code=0)
    for attempt in attempts(sweep)[:-1]:
        attempt.delete()  # the server has it all, and the last one says it again
    write_json(_mark(sweep), told)


def _mark(sweep: Path) -> Path:
    return sweep / "wandb" / "answer.json"
