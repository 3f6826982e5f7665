"""One W&B run per member, and how any run is begun. The only importer of wandb.

All that could fail or wait happens in a thread of the run's own (`Aside`). Training hands it rows and goes on; only
`wait_for`, at the end, waits for it, and not longer than it is told.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vae_sweep.runs.files import RecordError, read_rows
from vae_sweep.runs.manifest import shape_of
from vae_sweep.runs.reading import load_run
from vae_sweep.runs.records import read_arrays
from vae_sweep.text import inert
from vae_sweep.tracking import content
from vae_sweep.tracking.attempts import attempts
from vae_sweep.tracking.mode import choose_mode, upload_later, wanted_mode

TIMEOUT_S = 20.0  # for W&B to answer at the start of a run, and to take what is left at its end

Say = Callable[[str], None]
Read = TypeVar("Read")

_log = logging.getLogger("vae_sweep")
_LATE = "not all of it is uploaded"

_wandb_starts = threading.Lock()
_said: set[str] = set()  # of one trouble, one line, however many runs have it
_server_lost = threading.Event()  # later runs of this process do not try it again


class Tracker:
    """Takes what a run has to tell, and tells nobody: what logger.wandb=disabled asks for."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl, as it is written. Returns at once."""

    def finish(self) -> None:
        """The run has ended: result.json and evaluation.* are as they will stay. Returns at once; once is enough."""

    def wait(self, timeout_s: float) -> None:
        """Wait until all is told, at most so long."""


def open_tracker(
    logger: Mapping[str, Any],
    sweep: Path,
    entry: Mapping[str, Any],
    manifest: Mapping[str, Any],
    say: Say = _log.warning,
    timeout_s: float = TIMEOUT_S,
) -> Tracker:
    """Begin or continue the W&B run of a member. To be called when metrics.jsonl holds the rows before its next step.

    logger: wandb, project, entity. entry: the member's in the manifest. say: takes one line if something goes wrong.
    """
    if wanted_mode(logger["wandb"]) == "disabled":
        return Tracker()
    try:
        return _Mirror(logger, sweep / entry["folder"], entry, manifest, say, timeout_s)
    except Exception as error:
        say(f"W&B: {one_line(error)}")
        return Tracker()


def wait_for(trackers: Iterable[Tracker], timeout_s: float = TIMEOUT_S) -> None:
    """Finish what is not yet finished, and wait until all of it is uploaded, at most so long for all together."""
    trackers = list(trackers)
    for tracker in trackers:
        tracker.finish()
    deadline = time.monotonic() + timeout_s
    for tracker in trackers:
        tracker.wait(max(0.0, deadline - time.monotonic()))


def begin(folder: Path, mode: str, base_url: str, timeout_s: float, **who: Any) -> Any:
    """A W&B run begun or continued, its files below `folder`/wandb. who: project, entity, id, name, group ...

    Raises whatever wandb does.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # telemetry, which is sent in offline mode, too
    os.environ["WANDB_DATA_DIR"] = str(place := folder / "wandb")  # tables are staged there, not at home
    place.mkdir(exist_ok=True)
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    return wandb.init(
        **who,
        resume="allow",
        dir=folder,
        mode=mode,  # type: ignore[arg-type]
        reinit="create_new",  # the members of a pack are open side by side
        settings=wandb.Settings(
            base_url=base_url,
            silent=True,
            console="off",
            init_timeout=timeout_s,
            finish_timeout=timeout_s,
            finish_timeout_raises=True,
            stop_fn=lambda: None,  # W&B's stop button would interrupt the whole pack
            disable_git=True,  # its diff may hold what nobody meant to upload
            disable_code=True,
            x_disable_meta=True,  # the command and its folder, which say where the pictures lie
            symlink=False,
            x_save_requirements=False,
            sagemaker_disable=True,
        ),
    )


class Aside(Tracker):
    """Tells in a thread of its own, one job after another. Nothing that is raised there reaches the run.

    name: of the thread. Whoever has put the last job puts None.
    """

    def __init__(self, name: str):
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._late()

    def _work(self) -> None:
        while job := self._jobs.get():
            self._guarded(job)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            self._tell(one_line(error))

    def _read(self, read: Callable[[], Read], nothing: Read) -> Read:
        """What `read` finds; `nothing`, which is told, where a file is damaged."""
        try:
            return read()
        except RecordError as error:
            self._tell(one_line(error))
            return nothing

    def _tell(self, trouble: str) -> None:
        """Of what has gone wrong, in a line."""
        raise NotImplementedError

    def _late(self) -> None:
        """Time is up, and not all is told."""
        raise NotImplementedError


class _Mirror(Aside):
    def __init__(
        self,
        logger: Mapping[str, Any],
        run: Path,
        entry: Mapping[str, Any],
        manifest: Mapping[str, Any],
        say: Say,
        timeout_s: float,
    ):
        self.logger, self.folder, self.entry, self.manifest = logger, run, entry, manifest
        self.say = say
        self.timeout_s = timeout_s
        self.id = content.run_id(entry, manifest)
        self.run: Any = None  # wandb's; None if it could not be had
        self._last_step = 0
        self._finished = False
        self._unsent: dict[str, Any] = {}
        super().__init__(f"wandb-{entry['id']}")
        self._jobs.put(self._open)
        # An attempt begins with the rows of those before it, so that it is complete by itself.
        none: list[dict[str, Any]] = []
        for row in self._read(lambda: read_rows(run / "metrics.jsonl"), none):
            self.row(row)

    def row(self, row: Mapping[str, Any]) -> None:
        # train/ and val/ of one step are sent as one: a continued run cannot add to a step that the server knows.
        if self._unsent and self._unsent["step"] != row["step"]:
            self._send()
        self._unsent |= content.finite(row)
        self._last_step = row["step"]

    def finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._send()
        self._jobs.put(self._finish)
        self._jobs.put(None)

    def _late(self) -> None:
        _server_lost.set()
        self._tell(_LATE)

    def _send(self) -> None:
        if row := self._unsent:
            self._unsent = {}
            self._jobs.put(lambda: self._log(row))

    # ---- from here on in the thread

    def _tell(self, trouble: str) -> None:
        line = f"W&B: {trouble.replace(self.id, 'a run')}; {upload_later()}"
        if line not in _said:
            _said.add(line)
            self.say(line)

    def _open(self) -> None:
        mode = choose_mode(self.logger["wandb"])
        before = attempts(self.folder)
        with _wandb_starts:
            if mode.name == "later" or (mode.name == "online" and _server_lost.is_set()):
                return
            try:
                self.run = self._init(mode.name, mode.base_url)
            except Exception:
                if mode.name == "online":
                    _server_lost.set()
                raise
        for attempt in before:
            if not attempt.seen_by_server:
                attempt.delete()  # all of it is told again

    def _init(self, mode: str, base_url: str) -> Any:
        run = begin(
            self.folder,
            mode,
            base_url,
            self.timeout_s,
            project=self.logger["project"],
            entity=self.logger["entity"],
            id=self.id,
            name=content.run_name(self.entry),
            group=self.manifest["sweep"],
            job_type="train",
            tags=content.tags(self.entry, self.manifest.get("swept") or []),
            config=content.config(self.entry, self.manifest),
        )
        run.define_metric("step", hidden=True, summary="none")
        run.define_metric("*", step_metric="step")
        return run

    def _log(self, row: Mapping[str, Any]) -> None:
        if not self.run or row["step"] < self.run.starting_step:  # the server has it, from an earlier attempt
            return
        told = dict(row)
        if any(key.startswith("val/") for key in row):  # pictures are made after validations
            told |= self._images(content.over_training(self._read(self._progress, {}), row["step"]))
        self.run.log(told, step=row["step"])

    def _progress(self) -> Mapping[str, Any]:
        path = self.folder / "progress.npz"
        return read_arrays(path) if path.exists() else {}

    @staticmethod
    def _images(pictures: Mapping[str, content.Picture]) -> dict[str, Any]:
        import wandb

        return {key: wandb.Image(picture.image(), caption=picture.caption) for key, picture in pictures.items()}

    def _finish(self) -> None:
        if self.run is None:
            return
        ended = load_run(self.folder, self.entry, shape_of(self.manifest, self.entry.get("data_fingerprint")))
        told = content.summary(ended.result, self._read(ended.evaluation, {}), content.verdict(ended, self.manifest))
        self._guarded(lambda: self._show_pictures(ended.arrays()))
        # A table asks the server something and waits for its answer, without an end: a thread to be left behind.
        table = threading.Thread(target=lambda: self._guarded(lambda: self._show_verdict(told)), daemon=True)
        table.start()
        table.join(self.timeout_s)
        self._guarded(lambda: self._summarise(told))
        try:
            self.run.finish(exit_code=content.exit_code(ended.status))
        except TimeoutError:
            _server_lost.set()
            self._tell(_LATE)
            return
        if self.run.settings.mode == "online":
            for attempt in attempts(self.folder):
                attempt.mark_uploaded()

    def _show_pictures(self, arrays: Mapping[str, Any]) -> None:
        import wandb

        shown = self._images(content.pictures(arrays))
        if "kl_per_unit" in arrays:
            shown["latents/kl_per_unit"] = wandb.Histogram(np_histogram=content.kl_histogram(arrays["kl_per_unit"]))
        self.run.log(shown | {"step": self._last_step}, commit=False)

    def _show_verdict(self, told: Mapping[str, Any]) -> None:
        import wandb

        columns, rows = content.verdict_table(self.entry, self.manifest.get("swept") or [], told)
        self.run.log({"verdicts": wandb.Table(columns=columns, data=rows), "step": self._last_step}, commit=False)

    def _summarise(self, told: Mapping[str, Any]) -> None:
        # A row that is still open would overwrite the summary when it is closed.
        self.run.log({"step": self._last_step}, commit=True)
        self.run.summary.update(told)


def default_entity() -> str:
    """The user or team that runs without an entity belong to. Raises what wandb raises without a server."""
    import wandb

    return str(wandb.Api().default_entity)


def one_line(error: BaseException) -> str:
    text = inert(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
