"""W&B as a mirror: what reaches a server on loopback, at once and by sync.py, and what trouble may cost."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_wandb import FakeWandb, fake_wandb
from PIL import Image
from synthetic_sweep import write_sweep
from waiting import PATIENCE_S, wait_until

from vae_sweep import report
from vae_sweep.environment import install
from vae_sweep.runs.files import append_row, truncate_rows, write_arrays, write_json
from vae_sweep.tracking import Tracker, content, open_tracker, sync, tell_answer, tracker, wait_for
from vae_sweep.tracking.answering import untold
from vae_sweep.tracking.attempts import attempts, is_uploaded

LOGGER = {"wandb": "auto", "project": "vae-sweep", "entity": None}
RNG = np.random.default_rng(0)
IMAGES = {name: RNG.integers(0, 256, (2, 4, 4, 3), np.uint8) for name in ("originals", "recon_mean", "recon_sampled")}
KL = np.array([0.0, 0.01, 3.0, 20.0], np.float32)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeWandb]:
    with fake_wandb() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of nobody: no netrc, no settings; nothing of the test's surroundings that wandb would read."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))  # a tracker sets it: here, so that it is set back
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tracker, "_server_lost", threading.Event())
    monkeypatch.setattr(tracker, "_said", set())
    return tmp_path


@pytest.fixture
def online(home: Path, server: FakeWandb, monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    return server


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs" / "weights"
    members = [_member(number, weight) for number, weight in enumerate((1.0, 0.1, 0.01))]
    write_json(
        folder / "sweep.json",
        {
            "schema": 1,
            "sweep": "weights",
            "created": f"2026-01-01T00:00:00.{tmp_path.name}",  # another id on the server for every test
            "members": members,
            "swept": ["loss.kl_weight"],
            "versions": {"torch": "2"},
            "data": {"fingerprint": "f"},
            "datasets": {"f": {"forecast": {"train": {"n": 48, "collapse_threshold": 41.3, "eigenvalues": [1.0]}}}},
        },
    )
    return folder


def _member(number: int, weight: float) -> dict[str, Any]:
    config = {
        "objective": "vae",
        "data": {"_target_": "vae_sweep.data.paintings", "root": "/home/somebody/pictures"},
        "model": {"_target_": "vae_sweep.models.conv", "latent_dim": 4, "init_from": "/home/somebody/w.pt"},
        "loss": {"kl_weight": weight},
        "kl_schedule": {"_target_": "vae_sweep.schedules.linear"},
        "logger": LOGGER,
    }
    name = f"{number:03d}-kl_weight={weight:g}"
    identity = f"{number:08x}"
    return {"id": identity, "number": number, "folder": f"{name}-{identity}", "overrides": [], "config": config}


class Training:
    """A run that writes its folder as training does, and tells its tracker."""

    def __init__(self, sweep: Path, number: int = 0, timeout_s: float = PATIENCE_S, from_step: int = 0):
        manifest = json.loads((sweep / "sweep.json").read_text())
        self.entry = manifest["members"][number]
        self.folder = sweep / self.entry["folder"]
        self.folder.mkdir(exist_ok=True)
        truncate_rows(self.folder / "metrics.jsonl", from_step)
        self.said: list[str] = []
        self.timeout_s = timeout_s
        self.tracker = open_tracker(LOGGER, sweep, self.entry, manifest, self.said.append, timeout_s)
        self.wandb_id = content.run_id(self.entry, manifest)

    def steps(self, *steps: int) -> "Training":
        for step in steps:
            for split in ("train", "val"):
                row = {"step": step, "kl_weight": 0.5, f"{split}/recon": 100.0 / step, f"{split}/kl": float(step)}
                append_row(self.folder / "metrics.jsonl", row)
                self.tracker.row(row)
        return self

    def end(self, status: str = "done") -> "Training":
        error = {"type": "Diverged", "message": "loss is nan", "traceback": ""} if status == "failed" else None
        metrics = {"val/recon": 1.5, "val/kl": None}
        result = {
            "id": self.entry["id"],
            "status": status,
            "metrics": metrics,
            "steps": 40,
            "error": error,
            "config": self.entry["config"],
        }
        write_json(self.folder / "result.json", result)
        ignored = {"kl": 0.001, "sse": 3.0, "active_units": 0}
        write_json(self.folder / "evaluation.json", {"train": ignored, "val": {**ignored, "psnr": 21.0}})
        write_arrays(self.folder / "evaluation.npz", {**IMAGES, "kl_per_unit": KL})
        self.tracker.finish()
        wait_for([self.tracker], self.timeout_s)
        return self


def test_a_run_online(online: FakeWandb, sweep: Path, capfd: pytest.CaptureFixture[str]) -> None:
    training = Training(sweep).steps(10, 20, 30, 40).end()
    assert training.said == []
    assert capfd.readouterr() == ("", "")
    run = online.runs[training.wandb_id]

    assert [row["step"] for row in run.history] == [10, 20, 30, 40]
    assert [row["val/recon"] for row in run.history] == [10.0, 5.0, 100 / 30, 2.5]
    assert [row["train/kl"] for row in run.history] == [10.0, 20.0, 30.0, 40.0]
    assert run.exitcode == 0
    assert is_uploaded(training.folder)
    assert run.summary["val/recon"] == 1.5  # result.json's, not the last row's
    assert run.summary["val/psnr"] == 21.0
    assert run.summary["verdict"].startswith("collapsed: 0/4 units active")

    fields = run.fields
    assert (fields["groupName"], fields["jobType"], fields["displayName"]) == ("weights", "train", "000-kl_weight=1")
    assert fields["project"] == "vae-sweep"
    assert fields["tags"] == ["vae", "conv", "linear", "kl_weight=1.0"]
    assert run.config["loss"] == {"kl_weight": 1.0}
    assert run.config["forecast"] == {"n": 48, "collapse_threshold": 41.3}
    assert "/home/somebody" not in json.dumps(run.config)

    last = run.history[-1]
    strip = np.asarray(Image.open(BytesIO(online.uploads[f"{training.wandb_id}/{last['held_out/00']['path']}"])))
    for index, name in enumerate(IMAGES):
        np.testing.assert_array_equal(strip[:, 6 * index : 6 * index + 4], IMAGES[name][0])
    assert last["latents/kl_per_unit"]["values"][0] == 2
    assert sum(last["latents/kl_per_unit"]["values"]) == len(KL)
    assert last["verdicts"]["_type"] == "table-file"
    table = json.loads(online.uploads[f"{training.wandb_id}/{last['verdicts']['path']}"])
    assert dict(zip(table["columns"], table["data"][0], strict=True))["verdict"] == run.summary["verdict"]


def test_members_of_a_pack_have_runs_and_pictures_of_their_own(online: FakeWandb, sweep: Path) -> None:
    pack = [Training(sweep, number) for number in (0, 1)]
    for step in (10, 20):
        for member in pack:
            member.steps(step)
    pack[0].end()
    pack[1].end("failed")
    runs = [online.runs[member.wandb_id] for member in pack]
    assert [run.exitcode for run in runs] == [0, 1]
    assert [run.config["loss"]["kl_weight"] for run in runs] == [1.0, 0.1]
    assert runs[1].summary["error"] == "Diverged: loss is nan"
    keys = [{key for key in run.history[-1] if "/" in key and "media" in str(run.history[-1][key])} for run in runs]
    assert keys[0] == keys[1] == {"held_out/00", "held_out/01"}


def test_a_continued_run_neither_doubles_nor_loses_rows(online: FakeWandb, sweep: Path) -> None:
    first = Training(sweep).steps(10, 20, 30)
    first.end("interrupted")
    assert online.runs[first.wandb_id].exitcode == 143
    second = Training(sweep, from_step=20).steps(30, 40).end()
    assert second.wandb_id == first.wandb_id
    run = online.runs[first.wandb_id]
    assert [row["step"] for row in run.history if "val/recon" in row] == [10, 20, 30, 40]
    assert run.exitcode == 0


def test_without_a_key_a_run_costs_nothing_and_is_uploaded_later(
    home: Path, sweep: Path, server: FakeWandb, monkeypatch, capfd
) -> None:
    Training(sweep).steps(10, 20, 30).end("interrupted")
    training = Training(sweep, from_step=20).steps(30, 40).end()
    others = [Training(sweep, number).steps(10).end() for number in (1, 2)]
    assert training.said == []
    assert not (training.folder / "wandb").exists()
    assert sync.main([str(sweep)]) == 2
    assert "no API key" in capfd.readouterr().err

    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert sync.main([str(sweep)]) == 0
    assert "3 of 3 runs uploaded" in capfd.readouterr().out
    run = server.runs[training.wandb_id]
    assert [row["step"] for row in run.history if "val/recon" in row] == [10, 20, 30, 40]
    assert (run.exitcode, run.fields["groupName"], run.summary["val/recon"]) == (0, "weights", 1.5)
    assert all(server.runs[other.wandb_id].exitcode == 0 for other in others)
    assert sync.main([str(sweep)]) == 0
    assert "nothing to do" in capfd.readouterr().out


def _judged_sweep(folder: Path) -> Path:
    """A sweep with an answer, whose pictures lie where nobody else should know."""
    write_sweep(folder, weights=(3.0, 1.0, 0.3, 0.1), latent_dims=(64,))
    manifest = json.loads((folder / "sweep.json").read_text())
    manifest["created"] += folder.parent.name  # another id on the server for every test
    manifest["command"] += ["data=image_folder", "data.root=/home/somebody/my pictures"]
    for entry in manifest["members"]:
        entry["config"]["logger"] = LOGGER
    write_json(folder / "sweep.json", manifest)
    return folder


def test_the_group_holds_the_answer(online: FakeWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same as report/answer.json, which another piece of code writes; told again when it is another."""
    folder = _judged_sweep(tmp_path / "judged")
    said: list[str] = []
    assert tell_answer(folder, LOGGER, said.append, PATIENCE_S)
    assert said == []
    run = online.runs[content.answer_id(json.loads((folder / "sweep.json").read_text()))]
    assert (run.fields["groupName"], run.fields["jobType"], run.exitcode) == ("judged", "report", 0)

    data = json.loads((report.build([folder], figures=False).parent / "answer.json").read_text())
    assert (run.summary["headline"], run.summary["lead"]) == (data["headline"], data["lead"])
    for name, purpose in data["purposes"].items():
        assert {key: run.summary.get(f"{name}/{key}") for key in ("kl_weight", "low", "high")} == {
            key: purpose[key] for key in ("kl_weight", "low", "high")
        }
    assert data["purposes"]["reconstruct"]["kl_weight"] is not None
    assert "/home/somebody" in data["next"]["command"]
    assert run.summary["next/command"].split() == [
        word if not word.startswith("data.root") else "data.root=PICTURES"
        for word in shlex.split(data["next"]["command"])
    ]
    assert "/home/somebody" not in json.dumps([run.fields, run.lines])

    asked = len(online.requests)
    assert tell_answer(folder, LOGGER, said.append, PATIENCE_S)
    assert len(online.requests) == asked  # the server has it
    write_json(next(folder.glob("003-*/result.json")), {"status": "failed", "metrics": {}, "error": None})
    assert tell_answer(folder, LOGGER, said.append, PATIENCE_S)
    assert run.summary["headline"] == content.answer(folder)["headline"]
    assert run.summary["lead"] != data["lead"]
    assert len(attempts(folder)) == 1


@pytest.mark.slow
def test_sync_tells_the_answer_once_the_runs_are_there(
    online: FakeWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = _judged_sweep(tmp_path / "judged")
    manifest = json.loads((folder / "sweep.json").read_text())
    assert sync.main([str(folder)]) == 0
    out = capfd.readouterr().out
    assert f"{len(manifest['members'])} of {len(manifest['members'])} runs uploaded" in out
    assert "the answer is uploaded" in out
    assert online.runs[content.answer_id(manifest)].summary["headline"] == content.answer(folder)["headline"]
    assert sync.main([str(folder)]) == 0
    assert capfd.readouterr().out == f"{folder}: nothing to do, all ended runs are uploaded\n"


def test_a_deaf_server_holds_no_answer_up(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = _judged_sweep(tmp_path / "judged")
    said: list[str] = []
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with fake_wandb() as mortal:
        mortal.deaf = True
        monkeypatch.setenv("WANDB_BASE_URL", mortal.url)
        assert not tell_answer(folder, LOGGER, said.append, 2.0)
    assert len(said) == 1
    assert said[0].startswith("W&B: ")
    assert untold(folder)  # another time


@pytest.mark.slow
def test_a_run_that_went_on_after_it_was_uploaded_is_uploaded_again(
    home: Path, sweep: Path, server: FakeWandb, monkeypatch
) -> None:
    Training(sweep).steps(10, 20).end("interrupted")
    key, url = "k" * 40, server.url
    with monkeypatch.context() as logged_in:
        logged_in.setenv("WANDB_API_KEY", key)
        logged_in.setenv("WANDB_BASE_URL", url)
        assert sync.main([str(sweep)]) == 0
    training = Training(sweep, from_step=20).steps(30, 40).end()
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert sync.main([str(sweep)]) == 0
    run = server.runs[training.wandb_id]
    assert [row["step"] for row in run.history if "val/recon" in row] == [10, 20, 30, 40]
    assert run.exitcode == 0


def test_offline_runs_are_uploaded_later(home: Path, sweep: Path, server: FakeWandb, monkeypatch, capfd) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["run.py", "data.root=/home/somebody/pictures"])  # as wandb would send it
    Training(sweep).steps(10, 20, 30).end("interrupted")
    training = Training(sweep, from_step=20).steps(30, 40).end()
    assert training.said == []
    [attempt] = attempts(training.folder)  # complete, so there is but one
    assert attempt.offline
    [log] = training.folder.glob("wandb/offline-*/*.wandb")
    assert b"/home/somebody" not in log.read_bytes()

    assert sync.main([str(sweep)]) == 2
    assert "no API key" in capfd.readouterr().err

    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert sync.main([str(sweep)]) == 0
    run = server.runs[training.wandb_id]
    assert [row["step"] for row in run.history] == [10, 20, 30, 40]
    assert (run.exitcode, run.fields["groupName"], run.summary["val/recon"]) == (0, "weights", 1.5)
    assert run.fields["tags"] == ["vae", "conv", "linear", "kl_weight=1.0"]
    assert f"{training.wandb_id}/{run.history[-1]['held_out/00']['path']}" in server.uploads

    capfd.readouterr()
    assert sync.main([str(sweep)]) == 0
    assert "nothing to do" in capfd.readouterr().out
    assert not list((home / "here").iterdir())


@pytest.mark.slow
def test_a_torn_log_is_uploaded_all_the_same(home: Path, sweep: Path, server: FakeWandb, monkeypatch) -> None:
    """wandb's own sync sends what it can read of it, and would send that again."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    training = Training(sweep).steps(10, 20, 30, 40).end()
    [log] = training.folder.glob("wandb/offline-*/*.wandb")
    log.write_bytes(log.read_bytes()[:-50])
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert sync.main([str(sweep)]) == 0
    run = server.runs[training.wandb_id]
    assert [row["step"] for row in run.history if "val/recon" in row] == [10, 20, 30, 40]
    assert (run.exitcode, run.summary["val/recon"]) == (0, 1.5)


@pytest.mark.slow  # it waits for a server that does not answer
def test_a_server_that_dies_in_mid_run(home: Path, sweep: Path, server: FakeWandb, monkeypatch, capfd) -> None:
    timeout_s = 10.0
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with fake_wandb() as mortal:
        monkeypatch.setenv("WANDB_BASE_URL", mortal.url)
        training = Training(sweep, timeout_s=timeout_s).steps(10, 20)
        wait_until(lambda: "UpsertBucket" in mortal.requests, "the run to begin")
        mortal.deaf = True
        training.steps(30, 40).end()  # comes to an end
        assert len(training.said) == 1
        assert "not all of it is uploaded" in training.said[0]

        later = Training(sweep, 1).steps(10).end()  # does not try the dead server again
        assert later.said == []
        assert attempts(later.folder) == []

    # What it took before it died is on another server as well by now: nothing may be there twice.
    known = server.runs[training.wandb_id]
    known.fields |= {"config": "{}"}
    known.lines["wandb-history.jsonl"] = [json.dumps({"_step": 10, "step": 10, "val/recon": 10.0})]
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    training.tracker.wait(PATIENCE_S)
    monkeypatch.setattr(tracker, "_server_lost", threading.Event())
    assert sync.main([str(sweep)]) == 0
    assert [row["step"] for row in known.history if "val/recon" in row] == [10, 20, 30, 40]
    assert known.exitcode == 0
    assert [row["step"] for row in server.runs[later.wandb_id].history if "val/recon" in row] == [10]


def test_a_server_that_turns_us_away(online: FakeWandb, sweep: Path) -> None:
    online.turned_away.add("RunResumeStatus")
    first = Training(sweep).steps(10).end()
    online.turned_away.clear()
    assert len(first.said) == 1
    assert "403" in first.said[0]
    later = Training(sweep, 1).steps(10).end()  # one refusal is enough for a process
    assert attempts(later.folder) == []


def test_a_folder_that_wandb_cannot_write(home: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = sweep / _member(0, 1.0)["folder"] / "wandb"
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    monkeypatch.setenv("WANDB_MODE", "offline")
    training = Training(sweep).steps(10).end()
    assert len(training.said) == 1
    assert len(training.said[0].splitlines()) == 1


def test_disabled_writes_nothing_and_is_never_uploaded(
    home: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(LOGGER, "wandb", "disabled")
    manifest = json.loads((sweep / "sweep.json").read_text())
    for entry in manifest["members"]:
        entry["config"]["logger"]["wandb"] = "disabled"
    write_json(sweep / "sweep.json", manifest)
    training = Training(sweep).steps(10).end()
    assert type(training.tracker) is Tracker
    assert not (training.folder / "wandb").exists()
    assert sync.main([str(sweep)]) == 0
    assert "no run is meant for W&B" in capfd.readouterr().out


def test_a_dead_server_does_not_hold_the_process(
    home: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = """
import json, os, sys
from pathlib import Path
from vae_sweep.tracking import open_tracker, wait_for
sweep = Path(sys.argv[1])
assert not {"wandb", "torch", "PIL"} & set(sys.modules)
manifest = json.loads((sweep / "sweep.json").read_text())
(sweep / manifest["members"][0]["folder"]).mkdir()
logger = {"wandb": "auto", "project": "p", "entity": None}
tracker = open_tracker(logger, sweep, manifest["members"][0], manifest, timeout_s=3.0)
tracker.row({"step": 10, "val/recon": 1.0})
tracker.finish()
wait_for([tracker], 1.0)  # it still tries to begin when the process ends
sys.stderr.flush()
os._exit(0)  # as workers end: an interpreter that is taken apart while a thread is in wandb's C code may abort
"""
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with fake_wandb() as mortal:
        mortal.deaf = True
        monkeypatch.setenv("WANDB_BASE_URL", mortal.url)
        command = [sys.executable, "-c", script, str(sweep)]  # wandb's own patience is 90 s
        done = subprocess.run(command, timeout=80, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [line for line in done.stderr.splitlines() if line.startswith("W&B: ")]


def test_help_is_quick_and_light() -> None:
    script = "import sys; from vae_sweep.tracking.sync import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert "exit code" in done.stdout
    assert not {"wandb", "torch", "matplotlib", "hydra"} & set(done.stdout.split())


def test_no_sweep_is_an_error_in_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync.main([str(home / "nowhere")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_a_sweep_is_laid_out_in_a_view_of_its_own(
    online: FakeWandb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the server is asked for: this sweep's runs, by their weight, with panels for keys that runs have."""
    pytest.importorskip("wandb_workspaces")  # the extra `workspace`
    folder = _judged_sweep(tmp_path / "judged")
    path = folder / "sweep.json"
    manifest = json.loads(path.read_text()) | {"sweep": 'it\'s "a" = b'}
    path.write_text(json.dumps(manifest))
    for _ in range(2):
        assert sync.main([str(folder), "--workspace"]) == 0
    assert "laid out at http" in capfd.readouterr().out
    [view] = online.views.values()  # replaced, not doubled
    assert (view["entityName"], view["projectName"]) == ("somebody", LOGGER["project"])
    section = json.loads(view["spec"])["section"]
    [runs] = section["runSets"]
    [only] = runs["filters"]["filters"]
    assert (only["key"]["name"], only["op"], only["value"]) == ("group", "=", manifest["sweep"])
    assert [key["key"]["name"] for key in runs["sort"]["keys"]] == ["loss.value.kl_weight"]
    asked = re.findall(r'"(?:\w+:+)?((?:val|train|held_out|prior|latents)/\w+)"', view["spec"])
    known = {key for run in online.runs.values() if run.exitcode is not None for row in run.history for key in row}
    known |= {key for run in online.runs.values() for key in run.summary}
    assert {key for key in asked if key.startswith(("val/", "train/"))} <= known
    assert {"held_out/00", "prior/samples", "val/psnr_mean"} <= set(asked)


def test_without_the_extra_the_workspace_is_one_line_before_anything_is_uploaded(
    online: FakeWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    before = len(online.requests)
    assert sync.main([str(_judged_sweep(tmp_path / "judged")), "--workspace"]) == 2
    assert len(online.requests) == before
    assert install("workspace") in capfd.readouterr().err.splitlines()[-1]


def test_pictures_over_training_stand_at_their_steps(online: FakeWandb, sweep: Path) -> None:
    run = sweep / json.loads((sweep / "sweep.json").read_text())["members"][0]["folder"]
    training = Training(sweep)
    images = np.full((3, 8, 8, 3), 7, np.uint8)
    write_arrays(
        run / "progress.npz",
        {"steps": np.array([20, 40]), "originals": images, "recon_mean": np.stack([images, images + 1])},
    )
    training.steps(10, 20, 30, 40).end()
    seen = online.runs[training.wandb_id]
    shown = {row["step"] for row in seen.history if "training/held_out" in row}
    assert shown == {20, 40}
    assert any("training/held_out" in path for path in online.uploads)
