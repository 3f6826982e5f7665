"""What wandb has left in a run's folder: an attempt for every time that the run was begun or continued."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Attempt:
    """<run>/wandb/run-<time>-<id> or offline-run-<time>-<id>."""

    folder: Path

    @property
    def offline(self) -> bool:
        return self.folder.name.startswith("offline-")

    @property
    def uploaded_at(self) -> float | None:
        """When all of it was on the server; None: it is not. `wandb sync` leaves the same mark."""
        return max((mark.stat().st_mtime for mark in self.folder.glob("*.wandb.synced")), default=None)

    @property
    def seen_by_server(self) -> bool:
        """Whether the server may have some of it. wandb notes with `.syncstate` where an upload began."""
        return not self.offline or self.uploaded_at is not None or any(self.folder.glob("*.wandb.syncstate"))

    def mark_uploaded(self) -> None:
        for log in list(self.folder.glob("*.wandb")) or [self.folder / "run.wandb"]:
            log.with_suffix(".wandb.synced").touch()

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def attempts(run: Path) -> list[Attempt]:
    """Oldest first; empty if the run was never tracked, or if wandb failed before it wrote anything."""
    folders = [folder for folder in (run / "wandb").glob("*run-*") if folder.is_dir()]
    return [Attempt(folder) for folder in sorted(folders, key=lambda folder: folder.name.removeprefix("offline-"))]


def is_uploaded(run: Path) -> bool:
    """Whether the server has all of the run: of every attempt, and none has added rows since."""
    marks = [attempt.uploaded_at for attempt in attempts(run)]
    if not marks or None in marks:
        return False
    return max(mark for mark in marks if mark) >= (run / "metrics.jsonl").stat().st_mtime
