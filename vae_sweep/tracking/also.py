"""Other loggers beside W&B (`logger.also`): TensorBoard, CSV and MLflow by name, any Lightning logger by `_target_`.

They are fed with the rows of metrics.jsonl, and at the end with what W&B is shown: the summary's numbers and the
pictures, each in a thread of its own. Files of TensorBoard and CSV lie in the run's folder, and are written anew when a
run continues; MLflow's run goes on. What a logger raises is told once, and it is left alone from then on.
"""

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.files import read_rows, write_bytes
from vae_sweep.runs.manifest import shape_of
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.reading import load_run
from vae_sweep.tracking import content
from vae_sweep.tracking.tracker import Aside, Say, Tracker, one_line

_WRITTEN_ANEW = ("tensorboard", "csv")  # when a run continues, and so told the rows of earlier attempts

_MLFLOW_RUN = "mlflow_run"  # the file with its id, in the run's folder
_starts = threading.Lock()  # members of a pack would make MLflow's experiment twice

Wanted = str | Mapping[str, Any]


def open_also(
    logger: Mapping[str, Any], sweep: Path, entry: Mapping[str, Any], manifest: Mapping[str, Any], say: Say
) -> list[Tracker]:
    """One tracker for each logger that `logger.also` names; of one that cannot be made, a line, later."""
    also = logger.get("also") or []
    each: list[Wanted] = list(also) if isinstance(also, (list, tuple)) else [also]
    return [_Fed(wanted, logger, sweep / entry["folder"], entry, manifest, say) for wanted in each]


def _made(
    wanted: Wanted,
    logger: Mapping[str, Any],
    run: Path,
    entry: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> Any:
    """A Lightning logger."""
    if wanted == "mlflow":
        return _mlflow(logger, run, entry, manifest)
    if isinstance(wanted, str):
        from pytorch_lightning import loggers

        shutil.rmtree(run / wanted, ignore_errors=True)
        kind = {"tensorboard": loggers.TensorBoardLogger, "csv": loggers.CSVLogger}[wanted]
        return kind(save_dir=run, name=wanted, version="")
    from hydra.utils import instantiate

    return instantiate(wanted, _convert_="all")


def _mlflow(logger: Mapping[str, Any], run: Path, entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> Any:
    """A run of the experiment `logger.project`, where MLFLOW_TRACKING_URI says, else in files beside the sweeps."""
    from pytorch_lightning.loggers import MLFlowLogger

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"file:{(run.parents[1] / 'mlruns').absolute()}"
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else newer ones want a database
    known = run / _MLFLOW_RUN
    made = MLFlowLogger(
        experiment_name=logger["project"],
        run_name=content.run_name(entry),
        tracking_uri=uri,
        tags={"sweep": manifest["sweep"], "member": entry["id"]},
        run_id=known.read_text("utf-8") if known.exists() else None,
    )
    write_bytes(known, str(made.run_id).encode())
    return made


class _Fed(Aside):
    """A Lightning logger that is fed."""

    def __init__(
        self,
        wanted: Wanted,
        settings: Mapping[str, Any],
        run: Path,
        entry: Mapping[str, Any],
        manifest: Mapping[str, Any],
        say: Say,
    ):
        self.name = wanted if isinstance(wanted, str) else str(wanted["_target_"])
        self.wanted, self.settings, self.folder, self.entry, self.manifest = wanted, settings, run, entry, manifest
        self.logger: Any = None
        self.say, self.broken, self.finished, self.last_step = say, False, False, 0
        super().__init__(f"{self.name}-{entry['id']}")
        self._jobs.put(self._open)
        none: list[dict[str, Any]] = []
        for row in self._read(lambda: read_rows(run / "metrics.jsonl"), none) if wanted in _WRITTEN_ANEW else none:
            self.row(row)

    def row(self, row: Mapping[str, Any]) -> None:
        self.last_step = step = row["step"]
        told = {key: value for key, value in content.finite(row).items() if key != "step"}
        self._jobs.put(lambda: self.logger.log_metrics(told, step=step))

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._jobs.put(self._finish)
            self._jobs.put(None)

    # ---- from here on in the thread

    def _open(self) -> None:
        with _starts:
            self.logger = _made(self.wanted, self.settings, self.folder, self.entry, self.manifest)
        self.logger.log_hyperparams(_plain(content.config(self.entry, self.manifest)))

    def _finish(self) -> None:
        ended = load_run(self.folder, self.entry, shape_of(self.manifest, self.entry.get("data_fingerprint")))
        told = content.summary(ended.result, self._read(ended.evaluation, {}), content.verdict(ended, self.manifest))
        numbers = {f"end/{key}": value for key, value in content.finite(told).items()}
        self.logger.log_metrics(numbers, step=self.last_step)
        for key, picture in content.pictures(self._read(ended.arrays, {})).items():
            self._show(key, picture)
        self.logger.finalize("success" if ended.status == "done" else "failed")

    def _show(self, key: str, picture: content.Picture) -> None:
        """By what the logger offers; one without pictures gets none."""
        experiment = self.logger.experiment
        if hasattr(experiment, "add_image"):  # TensorBoard's SummaryWriter
            layout = "HW" if picture.pixels.ndim == 2 else "HWC"
            experiment.add_image(key, picture.pixels, self.last_step, dataformats=layout)
        elif hasattr(experiment, "log_image") and hasattr(self.logger, "run_id"):  # MLflow's client
            experiment.log_image(self.logger.run_id, picture.image(), artifact_file=f"{key}.png")
        elif hasattr(self.logger, "log_image"):
            self.logger.log_image(key, [picture.image()], step=self.last_step)

    def _guarded(self, job: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            job()
        except BaseException as error:
            self.broken = True
            self._tell(f"{one_line(error)}; the run goes on without it")

    def _tell(self, trouble: str) -> None:
        self.say(f"logger.also={self.name}: {trouble}")

    def _late(self) -> None:
        self._tell("not all of it was told in time")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flat, of numbers and texts, as every logger takes them."""
    flat = flatten(config)
    return {key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in flat.items()}
