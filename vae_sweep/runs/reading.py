"""A sweep and its runs, read from their folders: with tolerance, never with torch.

outputs/<sweep>/sweep.json                      the manifest: members, plan, data sets with their forecasts, provenance
outputs/<sweep>/search.json                     what hydra/sweeper=target, frontier or optuna tried, in order, and found
outputs/<sweep>/.sweep.copy.json                the same once more, for when that one is damaged
outputs/<sweep>/commands.jsonl                  every command that began or continued it, as typed
outputs/<sweep>/<number>-<slug>-<id>/           a run: everything about one member
    metrics.jsonl  result.json  evaluation.json  evaluation.npz  curve.json  curve.npz  progress.npz
    checkpoints/  images/  .hydra/
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from vae_sweep.commands import command
from vae_sweep.runs import older
from vae_sweep.runs.files import RecordError, read_rows
from vae_sweep.runs.records import Damaged, log, read_arrays, read_record
from vae_sweep.runs.schema import Cause, Curve, Evaluation, Manifest, Result, Status

MANIFEST, COPY = "sweep.json", ".sweep.copy.json"
COMMANDS = "commands.jsonl"
SEARCH = "search.json"


@dataclass(frozen=True)
class Run:
    """One member's folder.

    result: result.json, or the manifest's entry if the run has not begun; shape: of its images (C, H, W), if known.
    """

    folder: Path
    result: dict[str, Any]
    shape: Sequence[int] | None = None

    @property
    def id(self) -> str:
        return self.result.get("id", "")

    @property
    def number(self) -> int:
        return self.result.get("number", -1)

    @property
    def status(self) -> Status:
        return self.result.get("status", "queued")

    @property
    def cause(self) -> Cause | None:
        return self.result.get("cause")

    @property
    def config(self) -> dict[str, Any]:
        return self.result.get("config", {})

    @property
    def overrides(self) -> list[str]:
        return self.result.get("overrides", [])

    @property
    def metrics(self) -> dict[str, Any]:
        return self.result.get("metrics", {})

    @property
    def lost(self) -> bool:
        """Whether its result.json is missing or cannot be read, as `error` says."""
        return (self.error or {}).get("type") == RecordError.__name__

    @property
    def error(self) -> dict[str, str] | None:
        return self.result.get("error")

    # Each raises RecordError, which names the file, for one that is damaged.

    def rows(self) -> list[dict[str, Any]]:
        """metrics.jsonl, as far as it has come."""
        path = self.folder / "metrics.jsonl"
        rows = read_rows(path)
        if (kept := self.result.get("rows_crc32")) is not None and kept != rows_checksum(path):
            raise Damaged(f"{path} is damaged: it is not what it was when the run ended")
        return rows

    def evaluation(self) -> dict[str, Any]:
        """evaluation.json, or {} if the run was not evaluated."""
        path = self.folder / "evaluation.json"
        if not os.path.lexists(path):
            return {}
        return older.evaluation_with_beta(read_record(path, Evaluation, ("val",)), self.config, self.shape)

    def curve(self) -> dict[str, Any]:
        """curve.json of a multi-rate run, or {}."""
        path = self.folder / "curve.json"
        return read_record(path, Curve, ("val",)) if os.path.lexists(path) else {}

    def arrays(self, name: str = "evaluation.npz", prefix: str = "") -> dict[str, np.ndarray]:
        """evaluation.npz, or another file of the run; {} if it has not written it. prefix: of the names wanted."""
        path = self.folder / name
        return read_arrays(path, prefix) if os.path.lexists(path) else {}


@dataclass(frozen=True)
class Sweep:
    """A folder of runs with its manifest, runs in the order of their numbers."""

    folder: Path
    manifest: Mapping[str, Any]
    runs: list[Run]

    @property
    def name(self) -> str:
        return str(self.manifest.get("sweep") or self.folder.name)

    def commands(self) -> list[str]:
        """Every command line that began or continued it, as typed; of a sweep without that list, the first."""
        try:
            rows = read_rows(self.folder / COMMANDS, "command", str)
        except RecordError:  # a list of words that nothing rests on
            rows = []
        return [row["command"] for row in rows] or [" ".join(self.manifest.get("command") or [])]

    def search(self) -> dict[str, Any]:
        """search.json: how the weights were chosen, {} for a grid. Raises RecordError if it is not JSON."""
        path = self.folder / SEARCH
        return read_record(path, dict[str, Any]) if path.exists() else {}

    def seconds(self) -> dict[str, float]:
        """Wall time of every run by its id. That of a pack, in which all its members trained, is shared out."""
        walls = {run.id: run.result.get("wall_s") or 0.0 for run in self.runs}
        packs = [
            [member for member in pack if member in walls] for pack in self.manifest.get("plan", {}).get("packs", [])
        ]
        shares = {member: max(map(walls.get, pack)) / len(pack) for pack in packs for member in pack}  # type: ignore
        return walls | shares


def load_run(folder: Path, member: Mapping[str, Any] | None = None, shape: Sequence[int] | None = None) -> Run:
    """A run from its folder; a member that has not begun is known from the manifest's entry alone.

    shape: of its images (C, H, W), which beta may depend on.
    An unreadable result.json makes it a failed run that says so: it must not hide the others of its sweep.
    """
    result = dict(member or {})
    try:
        found = read_result(Path(folder))
        if not found and (Path(folder) / "checkpoints").exists():
            raise Damaged(f"{Path(folder) / 'result.json'} is missing, although the run has trained")
        result = found or result
    except RecordError as error:
        way_out = "; the sweep's command, given again, makes it anew" if isinstance(error, Damaged) else ""
        record = {"type": RecordError.__name__, "message": f"{error}{way_out}", "traceback": ""}
        result |= {"status": "failed", "cause": "exception", "error": record}
    return Run(Path(folder), older.with_cause(older.with_beta(result, shape)), shape)


def read_result(run: Path) -> dict[str, Any]:
    """result.json, {} if the run has not begun. Raises RecordError if it cannot be read."""
    path = run / "result.json"
    return older.with_cause(read_record(path, Result, ("id", "status"))) if os.path.lexists(path) else {}


def rows_checksum(path: Path) -> str:
    """Of a metrics.jsonl, as result.json keeps it; of one that is missing, that of an empty one."""
    return f"{zlib.crc32(path.read_bytes() if path.exists() else b''):08x}"


def is_sweep(folder: Path) -> bool:
    return os.path.lexists(folder / MANIFEST) or (folder / COPY).exists()


def read_manifest(sweep: Path) -> Manifest:
    """A sweep's manifest; its copy where it is damaged, which is said. Raises RecordError if neither can be read."""
    try:
        return _manifest(sweep / MANIFEST)
    except RecordError as error:
        lost = isinstance(error, Damaged) or not os.path.lexists(sweep / MANIFEST)
        if not (lost and (sweep / COPY).exists()):
            raise
        reason = error
    try:
        manifest = _manifest(sweep / COPY)
    except RecordError:
        raise reason from None
    log.warning("%s; read from its copy, %s", reason, COPY)
    return manifest


def _manifest(path: Path) -> Manifest:
    manifest = older.up_to_date(read_record(path, Manifest, ("members",)))
    for entry in manifest["members"]:
        if missing := [key for key in ("id", "number", "folder") if key not in entry]:
            raise Damaged(f"{path} is damaged: a member has no {missing[0]!r}")
    return cast(Manifest, manifest)


_known: tuple[tuple[str, int, int, int], Manifest] | None = None  # the manifest that was read last, and which it was


def known_manifest(sweep: Path) -> Manifest:
    """`read_manifest`, of a process that asks for each pack of many: parsed again only if the file is another one.

    All who ask share it: it is not to be changed.
    """
    global _known
    stat = (path := sweep / MANIFEST).stat()
    stamp = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if _known is None or _known[0] != stamp:
        _known = (stamp, read_manifest(sweep))
    return _known[1]


def load_sweep(folder: Path) -> Sweep:
    """Raises RecordError if `folder` holds no sweep.json that can be read."""
    folder = Path(folder)
    if not is_sweep(folder):
        raise RecordError(f"{folder} is not a sweep: it has no sweep.json")
    manifest = read_manifest(folder)
    members = sorted(manifest["members"], key=lambda member: member["number"])
    runs = [
        load_run(folder / member["folder"], member, older.shape_of(manifest, member.get("data_fingerprint")))
        for member in members
    ]
    return Sweep(folder, manifest, runs)


def latest_sweep(output_dir: Path) -> Path:
    """The sweep created last below `output_dir`. Raises RecordError if there is none."""
    folders = [folder for folder in Path(output_dir).glob("*") if is_sweep(folder)]
    if not folders:
        begin = command("run", "-m", "loss.kl_weight=1,0.5,0.1")
        raise RecordError(f"no sweep below {output_dir}: run `{begin}`")
    return max(folders, key=lambda folder: (_created(folder), folder.stat().st_mtime))


def _created(folder: Path) -> str:
    """Nothing for one that cannot be read: it must not hide the others."""
    for name in (MANIFEST, COPY):
        try:
            return str(read_record(folder / name, Manifest).get("created", ""))
        except RecordError:
            continue
    return ""
