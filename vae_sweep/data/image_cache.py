"""Image files decoded once: a memory-mapped array that all runs and processes share.

The rows are in the order of the files' bytes (their digests), not of their names. So the same pictures give the same
array wherever they lie and whatever they are called, and its first rows are a fair sample of it.
"""

import errno
import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from vae_sweep.cores import cores
from vae_sweep.data import children
from vae_sweep.data.cache import cached_array, cached_folder
from vae_sweep.data.decoding import Decoding, worker_arguments
from vae_sweep.data.folder import ImageFile, listing_digest, reads_heic
from vae_sweep.data.image_data import DataError
from vae_sweep.data.progress import progress
from vae_sweep.data.remarks import remarks
from vae_sweep.data.split import DIGEST_BYTES
from vae_sweep.runs.files import read_json, write_json

log = logging.getLogger("vae_sweep")

_VERSION = 3  # of the decoding: raised when the same file would give other pixels
_FILES_AT_ONCE = 8  # what a worker is handed at a time
_WORTH_A_WORKER = 32  # files; it takes the time of about as many to start one
_COPY_BYTES = 16 << 20


@dataclass(frozen=True)
class DecodedFiles:
    """images: (N, H, W, C) uint8, read-only memory map. files: (N,) index into the list of files that was decoded.
    file_digests, pixel_digests: of each image. unreadable: (name, reason) of the files that are not among them.
    remarks: sentences on what decoding did to the pictures."""

    images: np.ndarray
    files: np.ndarray
    file_digests: list[bytes]
    pixel_digests: list[bytes]
    unreadable: list[tuple[str, str]]
    remarks: list[str]


def decoded(
    root: Path, files: Sequence[ImageFile], how: Decoding, cache_dir: Path, workers: int | None = None
) -> DecodedFiles:
    """The files below `root` decoded as `how`, from the cache if they are in it. Raises DataError."""
    key = {
        "kind": "files",
        "version": _VERSION,
        "root": str(root),
        "how": asdict(how),
        "files": len(files),
        "listing": listing_digest(files),
        "heic": reads_heic(),
    }
    folder = cached_folder(
        cache_dir, key, f"images of {root.name}", lambda folder: _build(folder, root, files, how, workers)
    )
    rows = cached_array(folder / "rows.npy")
    try:
        unreadable = [(name, reason) for name, reason in read_json(folder / "unreadable.json")]
        noted = read_json(folder / "remarks.json")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"data.cache_dir: {folder} is damaged ({error}): remove it") from None
    return DecodedFiles(
        images=cached_array(folder / "images.npy", "r"),
        files=rows["file"],
        file_digests=[digest.tobytes() for digest in rows["file_digest"]],
        pixel_digests=[digest.tobytes() for digest in rows["pixel_digest"]],
        unreadable=unreadable,
        remarks=noted,
    )


_ROW = np.dtype([("file", "<i8"), ("file_digest", f"V{DIGEST_BYTES}"), ("pixel_digest", f"V{DIGEST_BYTES}")])


def _build(folder: Path, root: Path, files: Sequence[ImageFile], how: Decoding, workers: int | None) -> None:
    """Decodes in the files' order, then copies the readable rows in the order of their bytes."""
    size = len(files) * int(np.prod(how.shape))
    _check_room(folder, 2 * size)
    log.info("decoding %d images of %s to %d px: %.1f MB", len(files), root, how.image_size, size / 1e6)
    unordered = folder / "unordered"
    unordered.touch()
    os.truncate(unordered, size)
    answers = _decode_all([str(root / file.name) for file in files], how, unordered, workers)

    # Equal files in different folders (labels) are told apart by their folder, so that the order is unique.
    readable = sorted(
        (answer["file"], files[row].name.split("/")[0], row) for row, answer in enumerate(answers) if "file" in answer
    )
    unreadable = [(files[row].name, answer["unreadable"]) for row, answer in enumerate(answers) if "file" not in answer]
    if not readable:
        raise DataError(unreadable_message(root, unreadable))
    order = np.array([row for _, _, row in readable])
    _copy_rows(unordered, order, len(files), how, folder / "images.npy")
    unordered.unlink()
    rows = np.empty(len(order), _ROW)
    rows["file"] = order
    for name, answer in (("file_digest", "file"), ("pixel_digest", "pixels")):
        rows[name] = [np.void(bytes.fromhex(answers[row][answer])) for row in order]
    np.save(folder / "rows.npy", rows)
    write_json(folder / "unreadable.json", unreadable)
    write_json(folder / "remarks.json", remarks([answers[row]["notes"] for row in order], how))


def unreadable_message(root: Path, unreadable: Sequence[tuple[str, str]], shown: int = 5) -> str:
    """One line that names the files that give no image."""
    named = "; ".join(f"{_printable(name)} ({reason})" for name, reason in unreadable[:shown])
    more = f"; and {len(unreadable) - shown} more" if len(unreadable) > shown else ""
    return f"{len(unreadable)} unreadable file(s) in {_printable(str(root))}: {named}{more}"


def _printable(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="replace").replace("\n", "\\n")


def _check_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, f"no room for the {size / 1e6:.0f} MB that decoding takes")


def _copy_rows(unordered: Path, order: np.ndarray, total: int, how: Decoding, target: Path) -> None:
    """unordered: `total` rows without a header; target: .npy of the rows `order`. A few MB in memory at a time."""
    source = np.memmap(unordered, np.uint8, "r", shape=(total, *how.shape))
    step = max(_COPY_BYTES // int(np.prod(how.shape)), 1)
    with open(target, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), *how.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, len(order), step):
            file.write(source[order[first : first + step]].tobytes())


# The workers ---------------------------------------------------------------------------------------------------------


def _decode_all(paths: Sequence[str], how: Decoding, rows: Path, workers: int | None) -> list[dict[str, Any]]:
    """The workers' answers, in order; see `decoding.main`. One thread feeds each worker and waits for its answers."""
    chunks = [range(first, min(first + _FILES_AT_ONCE, len(paths))) for first in range(0, len(paths), _FILES_AT_ONCE)]
    waiting = iter(chunks)
    answers: list[dict[str, Any]] = [{}] * len(paths)
    running: list[subprocess.Popen[str]] = []
    count = min(workers or min(cores(), -(-len(paths) // _WORTH_A_WORKER)), len(chunks))
    lock, stop = threading.Lock(), threading.Event()

    def next_chunk() -> range | None:
        with lock:
            return None if stop.is_set() else next(waiting, None)

    def feed() -> None:
        arguments = worker_arguments(how, rows)
        with (
            tempfile.TemporaryFile() as errors,
            children.start("vae_sweep.data.decoding", arguments, stderr=errors) as worker,
        ):
            running.append(worker)
            while (chunk := next_chunk()) is not None:
                for row, answer in zip(chunk, _ask(worker, [(row, paths[row]) for row in chunk]), strict=True):
                    if answer is None:
                        raise DataError(_why_it_ended(worker, errors, paths[row]))
                    if "failed" in answer:
                        raise OSError(*answer["failed"])
                    answers[row] = answer
                    with lock:
                        advance()

    with progress("decoding", len(paths)) as advance, ThreadPoolExecutor(count) as pool:
        feeders = [pool.submit(feed) for _ in range(count)]
        try:
            for feeder in wait(feeders, return_when=FIRST_EXCEPTION).done:
                feeder.result()
        finally:
            stop.set()
            for worker in running:
                worker.kill()
    return answers


def _ask(worker: subprocess.Popen[str], requests: Sequence[tuple[int, str]]) -> Iterator[dict[str, Any] | None]:
    """One answer per request; None when the worker is gone."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        for row, path in requests:
            worker.stdin.write(json.dumps({"row": row, "path": path}) + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass
    for _ in requests:
        line = worker.stdout.readline()
        yield json.loads(line) if line.endswith("\n") else None


def _why_it_ended(worker: subprocess.Popen[str], errors: IO[bytes], path: str) -> str:
    code = worker.wait()
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"the decoder ended with code {code} at {path}" + (f": {last[0]}" if last else "")
