"""The folder of a run while it is being written: status, rows, times. The only writer of result.json."""

import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from vae_sweep.runs.files import (
    RecordError,
    append_row,
    read_rows,
    remove_leftovers,
    set_aside,
    takes_no_more,
    truncate_rows,
)
from vae_sweep.runs.reading import read_result, rows_checksum
from vae_sweep.runs.records import write_record
from vae_sweep.runs.schema import SCHEMA, Cause, Error, Event, Status
from vae_sweep.runs.withheld import without_values

Report = Callable[[Event], object]


class Listener(Protocol):
    """Who is told what a run has to tell, beside its folder (W&B). Both return at once."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl, as it is written."""

    def finish(self) -> None:
        """The run has ended: its files are as they will stay."""


class RunFiles:
    """Writes one member's folder and tells `report` and the `listeners` what happens. Modules log their rows to it.

    entry: the member's in the sweep's manifest. fixed: versions, data_fingerprint, device. writes: of several processes
    that train one member, one does. The wall time adds up over all attempts at a run. A run that is done stays so
    unless it is begun before its end: whatever happens to others that train with it, and to measuring it again.
    """

    def __init__(
        self, sweep: Path, entry: Mapping[str, Any], fixed: Mapping[str, Any], report: Report, writes: bool = True
    ):
        self.folder = sweep / entry["folder"]
        self.entry = entry
        self.fixed = fixed
        self.report = report
        self.writes = writes
        self.total_steps = 0
        self.converged_at: int | None = None  # the step at which it was found to be at rest
        self.listeners: list[Listener] = []
        self._began = time.monotonic()
        self._result = before = read_result(self.folder)  # as it is on disk
        self._step_before, self._wall_before = before.get("steps"), float(before.get("wall_s") or 0.0)
        self._started = before.get("started") or _now()

    @property
    def rows(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def is_done(self) -> bool:
        return self._result.get("status") == "done"

    @property
    def wall_s(self) -> float:
        return self._wall_before + time.monotonic() - self._began

    def written(self) -> list[dict[str, Any]]:
        """The rows so far."""
        return read_rows(self.rows) if self.rows.exists() else []

    def begin(self, step: int, total_steps: int) -> None:
        """Status running, from `step` on: rows after it are dropped, since they will be written again.

        So is the time that they took. Checkpoints have no time: those of a run that is made again are the same bytes.
        """
        self.total_steps = total_steps
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)  # half-written files of a process that was killed while it wrote
        try:
            truncate_rows(self.rows, step)
        except RecordError as error:  # a folder in its place: what comes is written all the same
            set_aside(self.rows)
            self.report({"event": "note", "text": f"{error}: set aside; rows before step {step} are lost"})
        if self._step_before != step:
            self._wall_before = time_of(self.written())
        if not (self.is_done and step >= total_steps):
            self._write("running", step, {})
        self.report({"event": "running", "id": self.entry["id"], "step": step, "total_steps": total_steps})

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """A row of metrics.jsonl, told to the listeners, and an event for whoever watches."""
        if not self.writes:
            return
        row = {"step": step, "time_s": round(self.wall_s, 3), **metrics}
        append_row(self.rows, row)
        for listener in self.listeners:
            listener.row(row)
        if "train/loss" in metrics:
            self.report(
                {
                    "event": "step",
                    "id": self.entry["id"],
                    "step": step,
                    "total_steps": self.total_steps,
                    "kl_weight": metrics.get("kl_weight"),
                    "loss": metrics["train/loss"],
                    "recon": metrics.get("train/recon"),
                    "kl": metrics.get("train/kl"),
                    "psnr": metrics.get("train/psnr"),
                }
            )

    def end(
        self, status: Status, step: int, metrics: Mapping[str, Any], error: BaseException | None = None
    ) -> dict[str, Any]:
        """done, failed (with its error) or interrupted. Returns what result.json holds."""
        if not self.is_done:
            self._write(status, step, metrics, error, {"rows_crc32": rows_checksum(self.rows)})
        for listener in self.listeners if self.writes else ():
            listener.finish()
        return self._result

    def _write(
        self,
        status: Status,
        step: int,
        metrics: Mapping[str, Any],
        error: BaseException | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        known = {
            **self.fixed,
            **(more or {}),
            "metrics": dict(metrics),
            "steps": step,
            "total_steps": self.total_steps,
            "converged_at": self.converged_at,
            "wall_s": round(self.wall_s, 3),
            "started": self._started,
        }
        record = None if error is None else error_record(error)
        result = result_of(self.entry, known, status, None if error is None else cause_of(error), record)
        if self.writes:
            write_result(self.folder, result)
        self._result = result


def time_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that a run had taken at the last of its rows."""
    return max((time for row in rows if isinstance(time := row.get("time_s"), (int, float))), default=0.0)


def cause_of(error: BaseException) -> Cause:
    """Of a failure. An exception that stands for another cause says so in a class attribute `cause_of_failure`."""
    return "disk" if takes_no_more(error) else getattr(error, "cause_of_failure", "exception")


def error_record(error: BaseException) -> Error:
    """Without a traceback where the message names the file that is to blame, or the disk: no line of code is."""
    told = isinstance(error, RecordError) or takes_no_more(error)
    return {
        "type": type(error).__name__,
        "message": without_values(str(error)),
        "traceback": "" if told else without_values("".join(traceback.format_exception(error))),
    }


def result_of(
    entry: Mapping[str, Any],
    known: Mapping[str, Any],
    status: Status,
    cause: Cause | None,
    error: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Every result.json, in one shape. known: what was measured, of this attempt or as it was written before."""
    return {
        "schema": SCHEMA,
        **{key: entry[key] for key in ("id", "number", "folder", "overrides")},
        "status": status,
        "cause": cause,
        "steps": known.get("steps", 0),
        "total_steps": known.get("total_steps", 0),
        "metrics": known.get("metrics", {}),
        "error": error,
        **({} if known.get("converged_at") is None else {"converged_at": known["converged_at"]}),
        "wall_s": known.get("wall_s", 0.0),
        "started": known.get("started"),
        "ended": None if status == "running" else _now(),
        "hostname": socket.gethostname(),
        "versions": known.get("versions", {}),
        "data_fingerprint": known.get("data_fingerprint", entry.get("data_fingerprint")),
        "device": known.get("device"),
        "rows_crc32": known.get("rows_crc32"),
        "beta": entry.get("beta"),
        **({"says": entry["says"]} if entry.get("says") else {}),
        "config": entry["config"],
    }


def write_result(run: Path, result: Mapping[str, Any]) -> None:
    write_record(run / "result.json", result)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
