"""The process that trains: `serve` takes one pack after another, and

    python -m vae_sweep.engine.worker SWEEP ID,ID,...          trains one pack of the frozen plan (SLURM, or by hand)

The protocol of `serve`, JSON lines both ways:

    in   {"pack": 3, "members": ["4f2a9c01", ...], "threads": 1}       train these
         {"exit": true}                                                come to an end
         end of file: the parent is gone; the worker dies at once
    out  {"event": "began", "pack": 3}
         {"event": "step", "id", "step", "total_steps", "recon", "kl", "kl_weight", ...}   from train_pack's report
         {"event": "result", "id", "status": "done|failed|interrupted", "metrics", "error", ...}   one per member
         {"event": "split", "pack": 3, "into": [[...], [...]]}         out of memory: halves, one after the other
         {"event": "ended", "pack": 3, "last": false}                  last: the worker ends after it

SIGTERM: train_pack's should_stop() turns true, it writes checkpoints and returns; exit code 143.
"""

import argparse
import contextlib
import faulthandler
import functools
import gc
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vae_sweep.engine.process import die, guarded, leave
from vae_sweep.engine.slots import thread_environment
from vae_sweep.runs.schema import Ended, Event
from vae_sweep.runs.writing import Report, cause_of, error_record

TARGET = "vae_sweep.training.train:train_pack"
STOPPED = 128 + signal.SIGTERM

Order = dict[str, Any]  # of the pool to a worker, as above
# (sweep folder, ids of a pack, report, should_stop) -> what their result.json hold
TrainPack = Callable[[Path, list[str], Report, Callable[[], bool]], list[dict[str, Any]]]

_STEP_EVENTS_PER_S = 5.0  # of a member: a table that a person looks at needs no more
_LOCK_TIMEOUT_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vae_sweep.engine.worker", description="Train one pack of a sweep.")
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("ids", help="of the members of a pack, with commas")
    parser.add_argument("--events-fd", type=int, default=1, help="file descriptor that events are written to")
    parser.add_argument("--target", default=TARGET, help="module:function that trains a pack")
    parser.add_argument("--life-fd", type=int, help="a pipe that its parent alone holds open, and that it dies with")
    args = parser.parse_args(argv)
    faulthandler.enable()
    os.set_inheritable(args.events_fd, args.events_fd <= 2)
    with contextlib.nullcontext() if args.life_fd is None else guarded(args.life_fd):
        return train_one(args.sweep, args.ids.split(","), args.target, Reporter(args.events_fd))


def serve(folder: Path, target: str, report: Report) -> int:
    """Train packs as they come in on stdin. Returns the exit code."""
    inbox: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    stop = threading.Event()

    def on_sigterm(*_: Any) -> None:
        stop.set()
        inbox.put(None)  # SimpleQueue may be put to from a signal handler

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_read_lines, args=(inbox,), daemon=True).start()

    train_pack = load(target)
    while True:
        order = inbox.get()
        if order is None or stop.is_set():
            return STOPPED
        if "exit" in order:
            return 0
        report({"event": "began", "pack": order["pack"]})
        intact = run_pack(train_pack, folder, order, report, stop.is_set)
        report({"event": "ended", "pack": order["pack"], "last": not intact})
        if not intact:
            return 1


def train_one(folder: Path, members: Sequence[str], target: str, report: Report) -> int:
    """Train one pack of the plan in sweep.json. Returns the exit code: 0, 1 (a member failed), 143 (stopped)."""
    from vae_sweep.runs.outcomes import finalise
    from vae_sweep.runs.reading import read_manifest, read_result

    manifest = read_manifest(folder)
    entries = {entry["id"]: entry for entry in manifest["members"]}
    results = [read_result(folder / entries[member]["folder"]) for member in members]
    if all(result.get("status") == "done" for result in results):  # a job that was requeued at its very end
        return 0

    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGUSR2):  # USR2: a cluster's warning before it preempts or times out
        signal.signal(signum, lambda *_: stop.set())
    plan = manifest["plan"]
    threads = [n for pack, n in zip(plan["packs"], plan["threads"], strict=True) if members[0] in pack]
    order = {"pack": 0, "members": list(members), "threads": threads[0] if threads else None}
    failed = []

    def note(event: Event) -> None:
        if event["event"] == "result":
            finalise(folder, entries[event["id"]], event)
            failed.extend([event["id"]] * (event["status"] == "failed"))
        report(event)

    run_pack(load(target), folder, order, note, stop.is_set)
    return STOPPED if stop.is_set() else 1 if failed else 0


def run_pack(
    train_pack: TrainPack, folder: Path, order: Mapping[str, Any], report: Report, should_stop: Callable[[], bool]
) -> bool:
    """Train a pack, reporting a result for every member. False if an exception escaped: the process may be unwell.

    Out of memory with more than one member: the halves are trained one after the other.
    """
    results = _Results(order["members"], report)
    try:
        _train_locked(train_pack, folder, order, results, should_stop)
        return True
    except BaseException as error:
        if should_stop() and isinstance(error, SystemExit | KeyboardInterrupt):
            results.complete(interrupted)
            return True
        if not (is_out_of_memory(error) and len(results.missing) > 1):
            results.complete(functools.partial(_failure, error=error))
            return False
    # Outside the except clause: the exception, and with it the frames that hold the tensors, are gone.
    _free_memory()
    rest = results.missing
    halves = [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
    report({"event": "split", "pack": order["pack"], "into": halves})
    return all([run_pack(train_pack, folder, {**order, "members": half}, report, should_stop) for half in halves])


def _train_locked(
    train_pack: TrainPack, folder: Path, order: Mapping[str, Any], results: "_Results", should_stop: Callable[[], bool]
) -> None:
    """Train while no other process does, with the pack's own number of threads, and report what has not been."""
    members = list(order["members"])
    with locked(folder, members):
        _use_threads(order.get("threads"))
        for result in train_pack(folder, members, results, should_stop):
            if result["id"] in results.missing:
                results(ended(result))
    results.complete(functools.partial(_failure, error=RuntimeError("training returned no result for this member")))


class _Results:
    """Passes on what training reports. missing: the members whose result has not come yet, in their order."""

    def __init__(self, members: Sequence[str], report: Report):
        self.missing = list(members)
        self.report = report

    def __call__(self, event: Event) -> None:
        if event["event"] == "result" and event["id"] in self.missing:
            self.missing.remove(event["id"])
        self.report(event)

    def complete(self, result: Callable[[str], Ended]) -> None:
        """A result for each of the missing."""
        for member in self.missing[:]:
            self(result(member))


@contextlib.contextmanager
def locked(folder: Path, members: Sequence[str]) -> Iterator[None]:
    """Hold the members' locks, waiting a little for a worker of a killed sweep that is not quite dead yet."""
    with contextlib.ExitStack() as stack:
        for member in sorted(members):
            path = folder / ".locks" / member
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(path, timeout=_LOCK_TIMEOUT_S))
            except Timeout:
                raise RuntimeError(f"member {member} is being trained by another process") from None
            except NotImplementedError:  # a network file system without locks
                pass
        yield


class Reporter:
    """Writes events as JSON lines to a file descriptor; of a member's steps only as many as a person can read."""

    def __init__(self, fd: int):
        self.fd = fd
        self._next_step_event: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if event["event"] == "step":
            now = time.monotonic()
            if now < self._next_step_event.get(event["id"], 0.0):
                return
            self._next_step_event[event["id"]] = now + 1 / _STEP_EVENTS_PER_S
        line = (json.dumps(event, default=float) + "\n").encode()
        try:
            while line:
                line = line[os.write(self.fd, line) :]
        except BrokenPipeError:  # The parent is gone. An exception here would look like a failure of the member.
            die()


def is_out_of_memory(error: BaseException) -> bool:
    """Of a device (CUDA, MPS) or of the machine; known by name so that torch need not be imported."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    return bool(names & {"OutOfMemoryError", "MemoryError"}) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def ended(result: Mapping[str, Any]) -> Ended:
    """The `result` event of what a member's result.json holds."""
    return {
        "event": "result",
        "id": result["id"],
        "status": result["status"],
        "cause": result.get("cause"),
        "error": result.get("error"),
        "metrics": result.get("metrics", {}),
    }


def interrupted(member: str) -> Ended:
    """The `result` of a member that was stopped, or never began."""
    return {"event": "result", "id": member, "status": "interrupted", "cause": None, "error": None}


def _failure(member: str, error: BaseException) -> Ended:
    return {
        "event": "result",
        "id": member,
        "status": "failed",
        "cause": cause_of(error),
        "error": error_record(error),
    }


def _read_lines(inbox: "queue.SimpleQueue[Order | None]") -> None:
    """Lines of stdin to the inbox. Its end means that the parent is gone.

    os.read, not sys.stdin: a thread that waits inside a buffered reader breaks the interpreter's shutdown.
    """
    buffer = b""
    while chunk := os.read(0, 65536):
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            inbox.put(json.loads(line))
    die()


def load(target: str) -> TrainPack:
    """The function `target`; if it cannot be imported, one that raises the reason, as a failure of who asks for it."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        reason = error

    def cannot_train(*_: Any) -> list[dict[str, Any]]:
        raise reason

    return cannot_train


def _use_threads(threads: int | None) -> None:
    """Thread count of a pack; it is part of the frozen plan, since it changes the order of sums."""
    if not threads:
        return
    os.environ.update(thread_environment(threads))  # for processes that training starts
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def _free_memory() -> None:
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    leave(main())
