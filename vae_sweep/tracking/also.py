"""Other loggers beside W&B (`logger.also`): TensorBoard, CSV and MLflow by name, any Lightning logger by `_target_`.

They are fed with the rows of metrics.jsonl, and at the end with what W&B is shown: the summary's numbers and the
pictures. Files of TensorBoard and CSV lie in the run's folder, and are written anew when a run continues; MLflow's run
goes on. What a logger raises is told once, and it is left alone from then on.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.files import read_rows, write_bytes
from vae_sweep.runs.manifest import shape_of
from vae_sweep.runs.members import flatten
from vae_sweep.runs.reading import load_run
from vae_sweep.tracking import content
from vae_sweep.tracking.tracker import Say, Tracker, one_line

NAMES = ("tensorboard", "csv", "mlflow")

_MLFLOW_RUN = "mlflow_run"  # the file with its id, in the run's folder

Wanted = str | Mapping[str, Any]


def open_also(
    logger: Mapping[str, Any], sweep: Path, entry: Mapping[str, Any], manifest: Mapping[str, Any], say: Say
) -> list[Tracker]:
    """One tracker for each logger that `logger.also` names; of one that cannot be made, a line."""
    found: list[Tracker] = []
    also = logger.get("also") or []
    each: list[Wanted] = list(also) if isinstance(also, (list, tuple)) else [also]
    for wanted in each:
        name = wanted if isinstance(wanted, str) else str(wanted["_target_"])
        try:
            made, replays = _made(wanted, logger, sweep / entry["folder"], entry, manifest)
            found.append(_Fed(made, name, replays, sweep / entry["folder"], entry, manifest, say))
        except Exception as error:
            say(f"logger.also={name}: {one_line(error)}")
    return found


def _made(
    wanted: Wanted,
    logger: Mapping[str, Any],
    run: Path,
    entry: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> tuple[Any, bool]:
    """(a Lightning logger, whether it is to be told the rows of earlier attempts)"""
    if wanted == "mlflow":
        return _mlflow(logger, run, entry, manifest), False
    if isinstance(wanted, str):
        from pytorch_lightning import loggers

        shutil.rmtree(run / wanted, ignore_errors=True)
        kind = {"tensorboard": loggers.TensorBoardLogger, "csv": loggers.CSVLogger}[wanted]
        return kind(save_dir=run, name=wanted, version=""), True
    from hydra.utils import instantiate

    return instantiate(wanted, _convert_="all"), False


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
        run_id=known.read_text() if known.exists() else None,
    )
    write_bytes(known, str(made.run_id).encode())
    return made


class _Fed(Tracker):
    """A Lightning logger that is fed."""

    def __init__(
        self,
        logger: Any,
        name: str,
        replays: bool,
        run: Path,
        entry: Mapping[str, Any],
        manifest: Mapping[str, Any],
        say: Say,
    ):
        self.logger, self.name, self.folder, self.entry, self.manifest = logger, name, run, entry, manifest
        self.say, self.broken, self.finished, self.last_step = say, False, False, 0
        self._guarded(lambda: self.logger.log_hyperparams(_plain(content.config(entry, manifest))))
        for row in read_rows(run / "metrics.jsonl") if replays else ():
            self.row(row)

    def row(self, row: Mapping[str, Any]) -> None:
        self.last_step = row["step"]
        told = {key: value for key, value in content.finite(row).items() if key != "step"}
        self._guarded(lambda: self.logger.log_metrics(told, step=self.last_step))

    def finish(self) -> None:
        if self.finished:
            return
        self.finished = True
        ended = load_run(self.folder, self.entry, shape_of(self.manifest, self.entry.get("data_fingerprint")))
        told = content.summary(ended.result, ended.evaluation(), content.verdict(ended, self.manifest))
        numbers = {f"end/{key}": value for key, value in content.finite(told).items()}
        self._guarded(lambda: self.logger.log_metrics(numbers, step=self.last_step))
        for key, picture in content.pictures(ended.arrays()).items():
            self._guarded(lambda key=key, picture=picture: self._show(key, picture))  # type: ignore[misc]
        self._guarded(lambda: self.logger.finalize("success" if ended.status == "done" else "failed"))

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
        except Exception as error:
            self.broken = True
            self.say(f"logger.also={self.name}: {one_line(error)}; the run goes on without it")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flat, of numbers and texts, as every logger takes them."""
    flat = flatten(config)
    return {key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in flat.items()}
