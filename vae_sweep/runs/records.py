"""A run's files: the only truth about it. Written atomically, read with tolerance, never with torch.

outputs/<sweep>/sweep.json                      the manifest: members, plan, pre-flight, provenance
outputs/<sweep>/commands.jsonl                  every command that began or continued it, as typed
outputs/<sweep>/<number>-<slug>-<id>/           a run: everything about one member
    metrics.jsonl  result.json  evaluation.json  evaluation.npz  curve.json  curve.npz  progress.npz
    checkpoints/  images/  .hydra/
"""

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vae_sweep.commands import command
from vae_sweep.runs import older

SCHEMA = 1
COMMANDS = "commands.jsonl"


class RecordError(ValueError):
    """A folder that is not what it should be; the message names it."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under `path` whole or not at all: temporary neighbour, fsync, rename.

    Raises OSError as the file system does; nothing is left behind then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON; numbers that are not finite become null."""
    write_bytes(path, (json.dumps(_plain(value), indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Raises RecordError if the file is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise RecordError(f"no such file: {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is not valid JSON: {error}") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one line to a run's metrics.jsonl in a single write, so that a crash tears at most the last line."""
    line = json.dumps(_plain(row), allow_nan=False) + "\n"
    with open(path, "ab") as file:
        file.write(line.encode())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; none if it is missing. A torn line (the last one, after a crash) is left out."""
    if not Path(path).exists():
        return []
    rows = []
    for line in Path(path).read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def truncate_rows(path: Path, last_step: int) -> None:
    """Drop rows after `last_step`: a resumed run writes them again, identically."""
    if Path(path).exists():
        kept = [row for row in read_rows(path) if row["step"] <= last_step]
        write_bytes(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in kept).encode())


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
    def status(self) -> str:
        """queued, running, done, failed or interrupted."""
        return self.result.get("status", "queued")

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
    manifest: dict[str, Any]
    runs: list[Run]

    def commands(self) -> list[str]:
        """Every command line that began or continued it, as typed; of a sweep without that list, the first."""
        rows = read_rows(self.folder / COMMANDS)
        return [row["command"] for row in rows] or [" ".join(self.manifest.get("command") or [])]

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
            result |= {"status": "failed", "error": record}
    return Run(Path(folder), older.with_beta(result, shape), shape)


def load_sweep(folder: Path) -> Sweep:
    """Raises RecordError if `folder` holds no sweep.json."""
    folder = Path(folder)
    if not (folder / "sweep.json").exists():
        raise RecordError(f"{folder} is not a sweep: it has no sweep.json")
    manifest = older.up_to_date(read_json(folder / "sweep.json"))
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _plain(value: Any) -> Any:
    """JSON's types only: numpy scalars and arrays unwrapped, paths as text, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
