"""The folder of a run while it is being written: status, rows, times. Read again by records.py."""

import socket
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vae_sweep.runs.records import SCHEMA, append_row, read_json, truncate_rows, write_json
from vae_sweep.tracking import Tracker

Report = Callable[[dict[str, Any]], None]


class RunFiles:
    """Writes one member's folder and tells `report` what happens. Modules log their rows to it.

    entry: the member's in the sweep's manifest (id, number, folder, overrides, config). The wall time adds up over
    all sittings of a run.
    """

    def __init__(
        self, sweep: Path, entry: Mapping[str, Any], fixed: Mapping[str, Any], report: Report, writes: bool = True
    ):
        self.folder = sweep / entry["folder"]
        self.entry = entry
        self.fixed = fixed  # versions, data_fingerprint, device
        self.report = report
        self.writes = writes  # of several processes that train one member, one does
        self.total_steps = 0
        self.tracker = Tracker()
        self._began = time.monotonic()
        before = read_json(self._result) if self._result.exists() else {}
        self._wall_before = float(before.get("wall_s") or 0.0)
        self._started = before.get("started") or _now()

    @property
    def rows(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def wall_s(self) -> float:
        return self._wall_before + time.monotonic() - self._began

    @property
    def _result(self) -> Path:
        return self.folder / "result.json"

    def begin(self, step: int, total_steps: int, wall_s: float = 0.0) -> None:
        """Status running, from `step` on: rows after it are dropped, since they will be written again."""
        self.total_steps = total_steps
        self._wall_before = wall_s
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        truncate_rows(self.rows, step)
        self._write("running", step, {}, None)
        self.report({"event": "running", "id": self.entry["id"], "step": step, "total_steps": total_steps})

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """A row of metrics.jsonl, its mirror and an event for whoever watches."""
        if not self.writes:
            return
        row = {"step": step, "time_s": round(self.wall_s, 3), **metrics}
        append_row(self.rows, row)
        self.tracker.row(row)
        if "train/loss" in metrics:
            shown = {key: metrics.get(f"train/{key}") for key in ("loss", "recon", "kl", "psnr")}
            progress = {"step": step, "total_steps": self.total_steps, "kl_weight": metrics.get("kl_weight")}
            self.report({"event": "step", "id": self.entry["id"], **progress, **shown})

    def end(
        self, status: str, step: int, metrics: Mapping[str, Any], error: BaseException | None = None
    ) -> dict[str, Any]:
        """done, failed or interrupted. Returns what result.json holds."""
        record = None
        if error is not None:
            record = {
                "type": type(error).__name__,
                "message": str(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
        return self._write(status, step, metrics, record)

    def _write(
        self, status: str, step: int, metrics: Mapping[str, Any], error: Mapping[str, str] | None
    ) -> dict[str, Any]:
        result = {
            "schema": SCHEMA,
            **{key: self.entry[key] for key in ("id", "number", "folder", "overrides")},
            **{key: self.entry[key] for key in ("beta", "says") if key in self.entry},
            "status": status,
            "steps": step,
            "total_steps": self.total_steps,
            "metrics": dict(metrics),
            "error": error,
            "wall_s": round(self.wall_s, 3),
            "started": self._started,
            "ended": None if status == "running" else _now(),
            "hostname": socket.gethostname(),
            **self.fixed,
            "config": self.entry["config"],
        }
        if self.writes:
            write_json(self._result, result)
            if status != "running":
                self.tracker.finish()
        return result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
