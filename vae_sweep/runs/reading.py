"""A sweep and its runs, read from their folders: with tolerance, never with torch.

outputs/<sweep>/sweep.json                      the manifest: members, plan, data sets with their forecasts, provenance
outputs/<sweep>/search.json                     what hydra/sweeper=target or frontier tried, in order, and found
outputs/<sweep>/commands.jsonl                  every command that began or continued it, as typed
outputs/<sweep>/<number>-<slug>-<id>/           a run: everything about one member
    metrics.jsonl  result.json  evaluation.json  evaluation.npz  curve.json  curve.npz  progress.npz
    checkpoints/  images/  .hydra/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from vae_sweep.commands import command
from vae_sweep.runs import older
from vae_sweep.runs.files import RecordError, read_json, read_rows
from vae_sweep.runs.schema import Cause, Manifest, Status

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
    def error(self) -> dict[str, str] | None:
        return self.result.get("error")

    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.folder / "metrics.jsonl")

    def evaluation(self) -> dict[str, Any]:
        """evaluation.json, or {} if the run was not evaluated."""
        path = self.folder / "evaluation.json"
        return older.evaluation_with_beta(read_json(path), self.config, self.shape) if path.exists() else {}

    def curve(self) -> dict[str, Any]:
        """curve.json of a multi-rate run, or {}."""
        path = self.folder / "curve.json"
        return read_json(path) if path.exists() else {}

    def arrays(self, name: str = "evaluation.npz") -> dict[str, np.ndarray]:
        """evaluation.npz, or curve.npz of a multi-rate run; {} if the run has not written it."""
        path = self.folder / name
        if not path.exists():
            return {}
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


@dataclass(frozen=True)
class Sweep:
    """A folder of runs with its manifest, runs in the order of their numbers."""

    folder: Path
    manifest: Mapping[str, Any]
    runs: list[Run]

    def commands(self) -> list[str]:
        """Every command line that began or continued it, as typed; of a sweep without that list, the first."""
        rows = read_rows(self.folder / COMMANDS)
        return [row["command"] for row in rows] or [" ".join(self.manifest.get("command") or [])]

    def search(self) -> dict[str, Any]:
        """search.json: how the weights were chosen, {} for a grid. Raises RecordError if it is not JSON."""
        path = self.folder / SEARCH
        return read_json(path) if path.exists() else {}

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
    path, result = Path(folder) / "result.json", dict(member or {})
    if path.exists():
        try:
            result = read_json(path)
        except RecordError as error:
            record = {"type": "RecordError", "message": str(error), "traceback": ""}
            result |= {"status": "failed", "cause": "exception", "error": record}
    return Run(Path(folder), older.with_cause(older.with_beta(result, shape)), shape)


def read_result(run: Path) -> dict[str, Any]:
    """result.json, {} if the run has not begun. Raises RecordError if it is not JSON."""
    path = run / "result.json"
    return older.with_cause(read_json(path)) if path.exists() else {}


def read_manifest(sweep: Path) -> Manifest:
    """A sweep's manifest. Raises RecordError if `sweep` holds none that can be read."""
    return cast(Manifest, older.up_to_date(read_json(sweep / "sweep.json")))


_known: tuple[tuple[str, int, int, int], Manifest] | None = None  # the manifest that was read last, and which it was


def known_manifest(sweep: Path) -> Manifest:
    """`read_manifest`, of a process that asks for each pack of many: parsed again only if the file is another one.

    All who ask share it: it is not to be changed.
    """
    global _known
    stat = (path := sweep / "sweep.json").stat()
    stamp = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if _known is None or _known[0] != stamp:
        _known = (stamp, read_manifest(sweep))
    return _known[1]


def load_sweep(folder: Path) -> Sweep:
    """Raises RecordError if `folder` holds no sweep.json."""
    folder = Path(folder)
    if not (folder / "sweep.json").exists():
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
    manifests = list(Path(output_dir).glob("*/sweep.json"))
    if not manifests:
        begin = command("run", "-m", "loss.kl_weight=1,0.5,0.1")
        raise RecordError(f"no sweep below {output_dir}: run `{begin}`")
    return max(manifests, key=lambda path: (str(read_json(path).get("created", "")), path.stat().st_mtime)).parent
