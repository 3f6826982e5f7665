"""A SLURM cluster as a place where a sweep runs: one job per pack, through submitit.

A job runs `python -m vae_sweep.engine.worker SWEEP IDS` in a process of its own. Results and progress come back
through the sweep's folder, which the nodes must share; nothing depends on submitit's pickles, so one lost job loses no
other's results. What happens to a job:

    preempted, out of time   SLURM's warning (USR2, TERM) makes the worker write its checkpoint; the job is requeued and
                             continues from it, as often as it takes
    its worker dies          the job itself marks the members failed, with the signal and the worker's last words
    the whole job dies       (scancel, node failure) this process sees it in squeue and marks them; sacct is not needed
    this process dies        the jobs go on; the same command finds them again
    Ctrl-C                   all jobs are cancelled, after their checkpoints
"""

import contextlib
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from vae_sweep.checks import SettingsError
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.pack_process import EventReader, PackProcess, entries_of, last_word, logs
from vae_sweep.engine.place import Watch
from vae_sweep.engine.process import tail
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import STOPPED, TARGET
from vae_sweep.environment import import_path, install
from vae_sweep.runs.records import read_record, write_record
from vae_sweep.runs.schema import Error

JOBS = "slurm.json"  # job ids by the members of their packs
_ALIVE = (
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_FED", "RESIZING", "STAGE_OUT",
    "SIGNALING", "STOPPED",
)  # fmt: skip
# A warning that comes before Python can hear it would kill the job, and a job that has ended is not requeued.
_DEAF_AT_FIRST = """/bin/sh -c 'trap "" USR2 TERM; exec "$0" "$@"'"""
_MAX_TIMEOUTS = 1000  # every one leaves a checkpoint: a long run takes as many jobs as it needs


class Cluster:
    """Parameters as in conf/hydra/launcher/slurm.yaml; launcher: cfg.launcher, `jobs` at once at most."""

    def __init__(
        self,
        launcher: Mapping[str, Any],
        gpus_per_node: int = 1,
        gpu_memory_gb: float = 16,
        cpus_per_task: int = 4,
        timeout_min: int = 240,
        grace_s: int = 90,
        poll_s: float = 5,
        target: str = TARGET,
        additional_parameters: Mapping[str, Any] | None = None,
        **submission: Any,
    ):
        self.jobs: int | None = launcher["jobs"]
        self.gpu = gpus_per_node > 0
        self.shares_cores = False
        self.memory = gpu_memory_gb * 1e9 if self.gpu else None
        self.cpus_per_task = cpus_per_task
        self.timeout_min = timeout_min
        self.grace_s = grace_s
        self.poll_s = poll_s
        self.target = target
        self.additional = {"requeue": True, **(additional_parameters or {})}
        self.submission = {key: value for key, value in submission.items() if value is not None}

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        if importlib.util.find_spec("submitit") is None:  # said before anything is written
            raise SettingsError(f"hydra/launcher=slurm needs submitit: {install('slurm')}")
        return [Slot("slurm", share) for share in range(max(1, min(wanted, self.jobs or wanted)))], self.cpus_per_task

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        return devices

    def preloading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        """Submit what is not in the queue yet, and watch until all have ended."""
        with stop_request() as stop:
            jobs = self._submitted(packs, folder.resolve())
            for job in jobs:
                watch({"event": "started", "ids": list(job.pack.members), "slots": [f"job {job.number}"]})
            cancelled, polled = False, 0.0
            while jobs and stop.count < 2:
                if stop.asked and not cancelled:
                    cancelled = True
                    stop.announce(watch, self.grace_s)
                    _slurm("scancel", *(job.number for job in jobs))  # TERM now, KILL after the cluster's KillWait
                for job in jobs:
                    job.listen(watch)
                if time.monotonic() > polled + self.poll_s:
                    jobs = self._alive(jobs, watch, cancelled or stop.ending is not None)
                    polled = time.monotonic()
                if stop.heed(watch({"event": "tick"})):  # what has not begun leaves the queue
                    _slurm("scancel", "--state=PENDING", *(job.number for job in jobs))
                time.sleep(min(1.0, self.poll_s))
        return stop

    def _submitted(self, packs: Sequence[Pack], folder: Path) -> list["_Job"]:
        """The packs' jobs: those that an earlier command left in the queue, and new ones."""
        path = folder / JOBS
        known: dict[str, str] = read_record(path, dict[str, str]) if path.exists() else {}
        states = _queue() or {}
        jobs, waiting = [], []
        for pack in packs:
            number = known.get(",".join(pack.members))
            if number is not None and states.get(number) in _ALIVE:
                jobs.append(_Job(number, pack, folder))
            else:
                waiting.append(pack)
        for width in sorted({pack.width for pack in waiting}):
            alike = [pack for pack in waiting if pack.width == width]
            numbers = self._submit(alike, width, folder)
            jobs += [_Job(number, pack, folder) for number, pack in zip(numbers, alike, strict=True)]
        write_record(path, known | {",".join(job.pack.members): job.number for job in jobs})
        return jobs

    def _submit(self, packs: Sequence[Pack], width: int, folder: Path) -> list[str]:
        """Job numbers of new jobs for packs of one width (devices)."""
        import submitit

        python = f"{_DEAF_AT_FIRST} {shlex.quote(sys.executable)}"
        executor = submitit.SlurmExecutor(folder / "logs" / "slurm", max_num_timeout=_MAX_TIMEOUTS, python=python)
        resources: dict[str, Any] = {"gpus_per_node": width} if self.gpu else {}
        executor.update_parameters(
            **{
                "job_name": folder.name,
                "time": self.timeout_min,
                "cpus_per_task": self.cpus_per_task * width,
                "signal_delay_s": self.grace_s,
                "array_parallelism": self.jobs or len(packs),
                "additional_parameters": self.additional,
                **resources,
                **self.submission,
            }
        )
        works = [PackJob(str(folder), pack.members, pack.threads, self.target) for pack in packs]
        return [job.job_id for job in executor.map_array(PackJob.__call__, works)]

    def _alive(self, jobs: Sequence["_Job"], watch: Watch, stopping: bool) -> list["_Job"]:
        """The jobs that have not ended; of those that have, members without a result are reported."""
        states = _queue()
        if states is None:  # the controller does not answer: ask again later
            return list(jobs)
        alive = []
        for job in jobs:
            if job.still_there(states.get(job.number)):
                alive.append(job)
            else:
                job.listen(watch)
                job.report_lost(watch, states.get(job.number) or "GONE", stopping)
        return alive


class PackJob:
    """What a job calls: the worker, in a process group of its own, and its checkpoint when submitit asks for it."""

    def __init__(self, folder: str, members: Sequence[str], threads: int, target: str):
        self.folder = folder
        self.members = list(members)
        self.threads = threads
        self.target = target
        self.import_path = import_path()  # of the process that makes it
        self.worker: PackProcess | None = None

    def __call__(self) -> int:
        environ = os.environ | {"PYTHONPATH": self.import_path}
        self.worker = PackProcess(Path(self.folder), self.members, self.threads, self.target, environ)
        code = self.worker.process.wait()
        if code in (STOPPED, -signal.SIGTERM, -signal.SIGUSR2):  # negative: before the worker could hear
            self._await_verdict()
        elif code not in (0, 1):
            self.worker.write_failure(code)
        return code

    def checkpoint(self) -> Any:
        """Called by submitit from its signal handler, before it requeues the job."""
        from submitit.helpers import DelayedSubmission

        if self.worker is not None:
            self.worker.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.worker.process.wait(timeout=60)
        again = PackJob(self.folder, self.members, self.threads, self.target)
        again.import_path = self.import_path
        return DelayedSubmission(again)

    def _await_verdict(self, timeout_s: float = 600.0) -> None:
        """The worker was told to stop, and has. Whoever told it decides what becomes of the job: SLURM kills and
        requeues it, submitit's handler requeues it, scancel kills it. A job that ended here would count as completed.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            time.sleep(0.2)


class _Job:
    """A job in the queue, as seen from the outside."""

    def __init__(self, number: str, pack: Pack, folder: Path):
        self.number = number
        self.pack = pack
        self.folder = folder
        self.ended: set[str] = set()  # members whose result has been passed on
        self._missing = 0  # how often squeue did not know it
        self._log, events = logs(folder, pack.members)
        self._events = EventReader(events)

    def listen(self, watch: Watch) -> None:
        """Pass on what the worker has written since the last time."""
        for event in self._events.read():
            if event["event"] == "result":
                if event["status"] == "interrupted" or event["id"] in self.ended:
                    continue  # interrupted: the queue decides whether it goes on
                self.ended.add(event["id"])
            watch(event)

    def still_there(self, state: str | None) -> bool:
        """state: squeue's, None if it does not know the job (or not yet, just after the submission)."""
        self._missing = 0 if state else self._missing + 1
        return state in _ALIVE or (state is None and self._missing < 3)

    def report_lost(self, watch: Watch, state: str, stopping: bool) -> None:
        """Report the members that the job has not: it was killed as a whole, or its node was."""
        entries = entries_of(self.folder)
        words = tail(self._log) if self._log.exists() else ""
        message = f"SLURM ended job {self.number}: {state}"
        lost: Error = {"type": f"SLURM {state}", "message": message, "traceback": words}
        for member in self.pack.members:
            if member not in self.ended:
                watch(last_word(self.folder / entries[member]["folder"], member, stopping, lost))


def _queue() -> dict[str, str] | None:
    """States of the user's jobs, ended ones included as long as SLURM remembers them; None if it does not answer."""
    listing = _slurm("squeue", "--noheader", "--array", "--me", "--states=all", "--format=%i %T")
    if listing is None:
        return None
    return {number: state for number, state in (line.split() for line in listing.splitlines() if line.count(" ") == 1)}


def _slurm(*command: str) -> str | None:
    """Output of a SLURM command, None if it failed."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout
