"""Loggers beside W&B: fed with what a run writes; read back by their own readers where they are installed."""

import csv
import importlib.util
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from pytorch_lightning.loggers import Logger
from waiting import PATIENCE_S

from vae_sweep.environment import install
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.tracking.also import open_also
from vae_sweep.tracking.content import pictures
from vae_sweep.training.train import train_pack

FEW = ["trainer.max_epochs=1", "trainer.evaluate=true", "data.max_images=60", "model.latent_grid=1"]


class Memory(Logger):
    """A Lightning logger that keeps what it is given. fails: at the first row."""

    made: list["Memory"] = []  # noqa: RUF012

    def __init__(self, fails=False):
        super().__init__()
        self.rows, self.parameters, self.images, self.status, self.fails = [], {}, {}, None, fails
        Memory.made.append(self)

    name, version, experiment = "memory", 0, None

    def log_hyperparams(self, params):
        self.parameters = params

    def log_metrics(self, metrics, step=None):
        if self.fails:
            raise ConnectionError("no\nserver")
        self.rows.append((step, metrics))

    def log_image(self, key, images, step=None):
        self.images[key] = np.asarray(images[0])

    def finalize(self, status):
        self.status = status


def test_they_get_what_the_run_writes_and_cannot_harm_it(small_sweep) -> None:
    """The rows of metrics.jsonl, the pictures of evaluation.npz; one that breaks is told once."""
    also = (
        "logger.also=[csv,{_target_: test_also.Memory},{_target_: test_also.Memory, fails: true},"
        "{_target_: no.such.Logger}]"
    )
    folder, ids = small_sweep([*FEW, also])
    notes: list[str] = []
    Memory.made.clear()
    results = train_pack(folder, ids, lambda event: notes.append(event["text"]) if event["event"] == "note" else None)
    assert [result["status"] for result in results] == ["done"]
    run = load_sweep(folder).runs[0]
    memory, broken = sorted(Memory.made, key=lambda made: made.fails)
    rows = read_rows(run.folder / "metrics.jsonl")
    assert [step for step, _ in memory.rows[:-1]] == [row["step"] for row in rows]
    assert [told["val/loss"] for _, told in memory.rows[:-1] if "val/loss" in told] == [
        row["val/loss"] for row in rows if "val/loss" in row
    ]
    assert memory.rows[-1][1]["end/val/kl"] == run.evaluation()["val"]["kl"]
    assert memory.parameters["loss.kl_weight"] == 1
    assert memory.status == "success"
    expected = pictures(run.arrays())
    assert memory.images.keys() == expected.keys()
    assert all(np.array_equal(memory.images[key], expected[key].pixels) for key in expected)
    assert broken.rows == []
    assert [note for note in notes if note.startswith("logger.also=test_also.Memory")] == [
        "logger.also=test_also.Memory: ConnectionError: no server; the run goes on without it"
    ]
    assert any(note.startswith("logger.also=no.such.Logger: ") for note in notes)
    with open(run.folder / "csv" / "metrics.csv") as file:
        table = list(csv.DictReader(file))
    losses = [float(row["val/loss"]) for row in table if row.get("val/loss")]
    assert losses == pytest.approx([row["val/loss"] for row in rows if "val/loss" in row])


class Hanging(Memory):
    """Of a server that does not answer before `answers` is set."""

    answers = threading.Event()

    def __init__(self):
        self.answers.wait(PATIENCE_S)
        super().__init__()


def test_a_run_does_not_wait_for_a_logger_that_hangs(small_sweep) -> None:
    folder, _ = small_sweep([])
    manifest = read_json(folder / "sweep.json")
    said: list[str] = []
    Memory.made.clear()
    Hanging.answers.clear()
    wanted = {"also": {"_target_": "test_also.Hanging"}}
    (tracker,) = open_also(wanted, folder, manifest["members"][0], manifest, said.append)
    tracker.row({"step": 1, "val/loss": 2.0})
    run = folder / manifest["members"][0]["folder"]
    run.mkdir()
    (run / "evaluation.json").write_text("torn")
    tracker.finish()
    tracker.wait(0.0)
    assert (said, Memory.made) == (["logger.also=test_also.Hanging: not all of it was told in time"], [])
    Hanging.answers.set()
    tracker.wait(PATIENCE_S)
    (memory,) = Memory.made
    assert memory.rows[0] == (1, {"val/loss": 2.0})
    assert memory.status == "failed"  # there is no result.json
    assert any("evaluation.json is damaged" in line for line in said)


@pytest.mark.parametrize(("also", "said"), [("logger.also=wandb", "wandb"), ("logger.also=[csv,3]", "3")])
def test_what_is_none_is_refused(also: str, said: str, compose) -> None:
    with pytest.raises(SettingsError, match=f"logger.also=.*{said}.*: expected tensorboard, csv, mlflow"):
        check_member(compose(also))


@pytest.mark.parametrize("also", ["logger.also=tensorboard", "logger.also=[csv,mlflow]"])
def test_without_the_extra_it_says_what_to_install(also: str, compose, monkeypatch) -> None:
    of_others, gone = importlib.util.find_spec, ("tensorboard", "tensorboardX", "mlflow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in gone else of_others(name))
    name = "mlflow" if "mlflow" in also else "tensorboard"
    with pytest.raises(SettingsError, match=rf"^logger.also={name}: {re.escape(install(name))}$"):
        check_member(compose(also))


def test_tensorboards_files_are_read_back(small_sweep) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, ids = small_sweep([*FEW, "logger.also=tensorboard"])
    train_pack(folder, ids)
    run = load_sweep(folder).runs[0]
    events = accumulator.EventAccumulator(str(run.folder / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    rows = [row for row in read_rows(run.folder / "metrics.jsonl") if "val/loss" in row]
    told = [(event.step, event.value) for event in events.Scalars("val/loss")]
    assert told == [(row["step"], pytest.approx(row["val/loss"])) for row in rows]
    shown = pictures(run.arrays())
    assert set(events.Tags()["images"]) == set(shown)
    image = events.Images("held_out/00")[0]
    assert (image.height, image.width) == shown["held_out/00"].pixels.shape[:2]


def test_mlflows_store_is_read_back(small_sweep, monkeypatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder, ids = small_sweep([*FEW, "logger.also=mlflow"])
    train_pack(folder, ids)
    run = load_sweep(folder).runs[0]
    client = tracking.MlflowClient(f"file:{folder.parent / 'mlruns'}")
    found = client.get_run((run.folder / "mlflow_run").read_text())
    rows = [row for row in read_rows(run.folder / "metrics.jsonl") if "val/loss" in row]
    told = [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, "val/loss")]
    assert told == [(row["step"], pytest.approx(row["val/loss"])) for row in rows]
    assert found.data.tags["sweep"] == "sweep"
    assert found.info.status == "FINISHED"
    assert "held_out" in [artifact.path for artifact in client.list_artifacts(found.info.run_id)]


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_the_documented_trainer_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs/loggers.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    known: dict = {}
    exec(example, known)
    assert known["trainer"].global_step == known["vae"].step == 18
    assert Path(known["keep"].best_model_path).exists()
    assert known["stop"].best_score.item() == pytest.approx(known["keep"].best_model_score.item())
    assert known["xhat"].shape == (4, 3, 16, 16)
    with open(next(tmp_path.glob("lightning_logs/*/metrics.csv"))) as file:
        assert {"train/loss", "val/loss", "kl_weight"} <= set(next(csv.reader(file)))
