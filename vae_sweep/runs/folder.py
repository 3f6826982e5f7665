"""The folder of a sweep: found or made, and held by one process at a time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vae_sweep.runs.manifest import SweepError
from vae_sweep.runs.reading import COPY, MANIFEST, is_sweep
from vae_sweep.runs.records import write_record
from vae_sweep.runs.schema import Manifest

READABLE = 200  # members; to indent a manifest of more takes longer than a person would read it


@contextmanager
def opened(output_dir: Path, name: str | None) -> Iterator[Path]:
    """The sweep's folder, locked: made if it is new, and removed again if nothing has come of it.

    Without a name, the time of day with a number that makes it new. Raises SweepError if another process has it.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        folder = output_dir / str(name) if name is not None else _new_folder(output_dir)
        new = name is None or not folder.exists()
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise SweepError(f"{folder} is being run by another process; choose another sweep=NAME, or wait") from None
    except OSError as error:
        raise SweepError(f"output_dir={output_dir}: cannot be written: {error.strerror}") from None
    try:
        for leftover in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink()
        yield folder
    except BaseException:
        if new and not is_sweep(folder):
            shutil.rmtree(folder)
        raise
    finally:
        lock.release()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """sweep.json and its copy: what cannot be had again from anywhere is there twice."""
    indent = 1 if len(manifest["members"]) <= READABLE else None
    write_record(folder / MANIFEST, manifest, indent, folder / COPY)


def _new_folder(output_dir: Path) -> Path:
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = output_dir / (now if number == 1 else f"{now}_{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise SweepError(f"{output_dir} holds a thousand sweeps of this second")
