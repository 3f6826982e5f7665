"""Sweeps begun, continued, extended and refused; the training is a fake one that writes a run's files."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from unittest import mock

import importing
import pytest
from fake_wandb import fake_wandb
from filelock import FileLock
from sweeping import COMMAND, TARGET, attempts, config, jobs, run, statuses
from waiting import PATIENCE_S

from vae_sweep.analysis.answered import answer_of
from vae_sweep.engine.machine import Machine
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.runs.files import RecordError, read_json, read_rows, write_json
from vae_sweep.runs.manifest import SweepError, check_compatible, forecast_of, new_manifest, split_pack
from vae_sweep.runs.members import Member
from vae_sweep.runs.reading import load_sweep, read_result
from vae_sweep.runs.writing import write_result
from vae_sweep.sweep.run_sweep import Job, continue_command, run_sweep
from vae_sweep.sweep.settings import SettingsError


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))


@pytest.fixture
def sweep(tmp_path):
    """sweep([weights], kind={weight: kind}, **changed keys) -> (outcome, what was printed)"""

    def sweep(weights, kind=None, fingerprint="f", **changes):
        asked = jobs(tmp_path / "outputs", weights, kind, **changes)
        place = Machine("cpu", asked[0].config["launcher"], target=TARGET)
        return run(asked, place, fingerprint)

    return sweep


def test_a_sweep_leaves_a_manifest_and_a_folder_per_member(sweep):
    outcome, text = sweep([1, 0.5, 1])
    assert (statuses(outcome), outcome.exit_code) == (["done"] * 3, 0)
    found = load_sweep(outcome.folder)
    assert [run.folder.name for run in found.runs] == [
        f"00{n}-kl_weight={w}-{found.runs[n].id}" for n, w in ((0, 1), (1, 0.5))
    ]
    assert [run.status for run in found.runs] == ["done", "done"]
    assert found.manifest["swept"] == ["loss.kl_weight"]
    assert found.manifest["command"] == COMMAND
    assert found.manifest["data"]["images"] == 60
    assert [sorted(pack) for pack in found.manifest["plan"]["packs"]] == [[run.id] for run in found.runs]
    assert (found.runs[0].folder / ".hydra" / "overrides.yaml").read_text() == "- 1"
    forecast = forecast_of(found.manifest, "f")
    assert forecast["n"] == 3 * 8 * 8
    assert [curve["latent_dim"] for curve in forecast["linear"]] == [2]
    assert "2 members, 2 to train" in text
    assert "2 of 2 done" in text


@pytest.mark.slow
def test_an_online_sweep_tells_its_answer_when_it_ends(sweep, tmp_path, monkeypatch):
    first, _ = sweep([1, 0.5])
    for member in load_sweep(first.folder).runs:  # the fake training is not evaluated
        measured = {"kl": 2.0, "sse": 1.0, "sse_mean": 0.9, "psnr": 20.0, "psnr_mean": 20.5, "active_units": 2}
        write_json(member.folder / "evaluation.json", {"train": measured, "val": measured})
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))  # telling sets it: here, so that it is set back
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        outcome, text = sweep([1, 0.5])
        [told] = server.runs.values()
    assert (told.fields["jobType"], told.fields["groupName"]) == ("report", outcome.folder.name)
    assert told.summary["headline"] == answer_of([outcome.folder]).headline
    assert told.summary["headline"] in text


def test_a_model_for_all_weights_is_one_member_at_the_weight_it_was_asked_for_first(sweep):
    outcome, _ = sweep([1, 0.5], model__multi_rate=True, model__kl_weight_range=[0.01, 10.0])
    assert statuses(outcome) == ["done"] * 2
    runs = load_sweep(outcome.folder).runs
    assert [run.config["loss"]["kl_weight"] for run in runs] == [1]


def test_the_same_command_skips_what_is_done(sweep):
    first, _ = sweep([1, 0.5])
    before = (first.folder / "sweep.json").read_text()
    second, text = sweep([1, 0.5])
    assert statuses(second) == ["done", "done"]
    assert (first.folder / "sweep.json").read_text() == before
    assert all(attempts(run) == 1 for run in load_sweep(first.folder).runs)
    assert "0 to train" in text


def test_the_notes_of_a_member_asked_for_twice_are_those_of_the_first_job(sweep):
    outcome, _ = sweep([1, 0.5, 0.1], objective="autoencoder")
    (run,) = load_sweep(outcome.folder).runs
    assert run.config["loss"]["kl_weight"] == 1
    assert (run.folder / ".hydra" / "overrides.yaml").read_text() == "- 1"


class Refusing(ThisProcess):
    def slots(self, wanted):
        raise SettingsError("no such cluster")


def test_what_is_refused_or_broken_off_before_the_plan_is_written_leaves_all_as_it_was(tmp_path, monkeypatch):
    """A failed run's traceback, a done one's evaluation and a damaged record among it."""
    place = ThisProcess(TARGET)
    outputs = tmp_path / "outputs"
    outcome, _ = run(jobs(outputs, [1, 0.5, 0.1], {1: "raises"}), place)
    folders = [member.folder for member in load_sweep(outcome.folder).runs]
    write_result(folders[0], read_result(folders[0]) | {"cause": "diverged"})
    (folders[0] / "checkpoints").mkdir()
    (folders[0] / "checkpoints" / "last.ckpt").touch()
    (folders[1] / "evaluation.json").write_text("{}")
    (folders[2] / "result.json").write_text("torn")
    asked = jobs(outputs, [1, 0.5, 0.1], {1: "raises"}, retry="failed", trainer__max_epochs=2)
    before = contents(outcome.folder)
    with pytest.raises(SettingsError, match="no such cluster"):
        run(asked, Refusing(TARGET))
    assert contents(outcome.folder) == before
    with monkeypatch.context() as patched:
        patched.setattr("vae_sweep.sweep.run_sweep.with_forecast", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(asked, place)
    assert contents(outcome.folder) == before
    again, _ = run(asked, place)
    assert statuses(again) == ["done"] * 3
    assert not (folders[0] / "checkpoints").exists()
    assert not (folders[1] / "evaluation.json").exists()
    assert (folders[2] / "result.json.damaged").read_text() == "torn"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent.name != ".locks"}


def test_more_weights_extend_a_sweep_and_leave_the_old_plan_alone(sweep):
    first, _ = sweep([1, 0.5], launcher__pack=8, launcher__jobs=1)
    old = read_json(first.folder / "sweep.json")
    second, _ = sweep([0.5, 0.1])
    new = read_json(first.folder / "sweep.json")
    assert len(old["plan"]["packs"][0]) == 2
    assert new["plan"]["packs"][:1] == old["plan"]["packs"]
    assert [entry["folder"] for entry in new["members"][:2]] == [entry["folder"] for entry in old["members"]]
    assert [entry["number"] for entry in new["members"]] == [0, 1, 2]
    assert statuses(second) == ["done", "done"]


def test_a_failure_is_kept_until_somebody_asks_to_retry_it(sweep):
    kind = {0.5: "raises"}
    first, text = sweep([1, 0.5], kind)
    assert (statuses(first), first.exit_code) == (["done", "failed"], 1)
    assert first.results[1]["error"]["type"] == "ValueError"
    assert "no good" in text
    assert "python3 -m vae_sweep.run -m loss.kl_weight=1,0.5 sweep=s retry=failed" in text
    again, _ = sweep([1, 0.5], kind)
    assert (statuses(again), again.exit_code) == (["done", "failed"], 1)
    retried, _ = sweep([1, 0.5], kind, retry="failed")
    assert (statuses(retried), retried.exit_code) == (["done", "done"], 0)


def test_a_retried_member_leaves_its_pack(sweep):
    kind = {1: "raises", 0.5: "raises"}
    packed = {"launcher__pack": 8, "launcher__jobs": 1}
    first, _ = sweep([1, 0.5], kind, **packed)
    retried, _ = sweep([1, 0.5], kind, **packed, retry="failed")
    assert statuses(first) == ["failed", "failed"]
    assert statuses(retried)[0] == "done"
    assert sorted(map(len, read_json(first.folder / "sweep.json")["plan"]["packs"])) == [1, 1]


def test_a_killed_worker_is_told_and_the_same_command_continues_it(sweep):
    kind = {0.5: "kills"}
    first, text = sweep([1, 0.5], kind)
    assert (statuses(first), first.exit_code) == (["done", "failed"], 1)
    assert first.results[1]["error"]["type"] == "SIGKILL"
    assert "killed by SIGKILL" in text
    assert (first.results[1]["steps"], first.results[1]["total_steps"]) == (5, 10)  # as its rows tell
    rows = read_rows(load_sweep(first.folder).runs[1].folder / "metrics.jsonl")
    assert first.results[1]["wall_s"] >= rows[3]["time_s"]
    second, _ = sweep([1, 0.5], kind)
    assert statuses(second) == ["done", "done"]
    run = load_sweep(first.folder).runs[1]
    assert [row["step"] for row in read_rows(run.folder / "metrics.jsonl")] == list(range(1, 11))


def test_an_interrupted_sweep_says_how_to_go_on_and_goes_on(sweep, monkeypatch):
    from vae_sweep.engine import live

    show = live.LiveView.__call__
    begun = set()

    def show_and_stop(self, event):
        show(self, event)
        if event["event"] == "step" and len(begun) < 2:
            begun.add(event["id"])
            if len(begun) == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    kind = {1: "stops", 0.5: "stops"}
    with monkeypatch.context() as patched:
        patched.setattr(live.LiveView, "__call__", show_and_stop)
        first, text = sweep([1, 0.5, 0.1], kind)
    assert first.exit_code == 143
    assert statuses(first)[:2] == ["interrupted"] * 2
    assert "continue  python3 -m vae_sweep.run -m loss.kl_weight=1,0.5 sweep=s\n" in text
    second, _ = sweep([1, 0.5, 0.1], kind)
    assert (statuses(second), second.exit_code) == (["done"] * 3, 0)


def test_a_member_that_cannot_start_has_a_result_with_its_error(sweep, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", importing.path())
    elsewhere = [place for place in sys.path if not os.path.exists(os.path.join(place, "fake_training.py"))]
    monkeypatch.setattr(sys, "path", elsewhere)
    outcome, _ = sweep([1])
    assert outcome.results[0]["status"] == "failed"
    assert outcome.results[0]["error"]["message"] == "No module named 'fake_training'"
    assert outcome.results[0]["config"]["loss"]["kl_weight"] == 1


def test_a_full_disk_is_no_fault_of_the_member_and_the_same_command_goes_on(sweep):
    first, text = sweep([1, 0.5], {1: "fills the disk", 0.5: "fills the disk"})
    assert statuses(first) == ["failed", "failed"]
    assert {result["cause"] for result in first.results} == {"disk"}
    assert text.count("failed  OSError: [Errno 28] No space left on device") == 1
    assert "Traceback" not in text
    assert "the same in 1 other run" in text
    assert "continue  " in text
    second, _ = sweep([1, 0.5], {1: "fills the disk", 0.5: "fills the disk"})
    assert statuses(second) == ["done", "done"]


def test_a_full_disk_is_said_and_stops_nobody_else(sweep, monkeypatch):
    """The parent cannot write down either what the killed worker could not."""
    from vae_sweep.runs import outcomes

    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(outcomes, "write_result", full)
    outcome, text = sweep([1, 0.5], {1: "kills"})
    assert (statuses(outcome), outcome.exit_code) == (["running", "done"], 1)
    assert "No space left on device" in text


def test_a_pack_by_hand(sweep):
    """What a SLURM job calls: trains a pack, records how it ended, and leaves alone what is done."""
    outcome, _ = sweep([1, 0.5], {0.5: "raises"})
    done, failed = (result["id"] for result in outcome.results)

    def pack(members, target):
        worker = [sys.executable, "-m", "vae_sweep.engine.worker"]
        command = [*worker, str(outcome.folder), members, "--target", target]
        return subprocess.run(command, check=False, timeout=PATIENCE_S, stdout=subprocess.DEVNULL).returncode

    assert pack(done, "no_such_module:train") == 0
    assert pack(failed, "no_such_module:train") == 1
    assert load_sweep(outcome.folder).runs[1].status == "failed"
    assert pack(failed, TARGET) == 0
    assert [run.status for run in load_sweep(outcome.folder).runs] == ["done", "done"]


def test_two_sweeps_on_one_folder(sweep, tmp_path):
    sweep([1])
    with FileLock(tmp_path / "outputs" / "s" / ".lock"), pytest.raises(SweepError, match="run by another process"):
        sweep([1, 0.5])


def test_sweeps_without_a_name_get_folders_of_their_own(sweep, tmp_path):
    folders = {sweep([1], sweep=None)[0].folder for _ in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "outputs"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "g"}, "image_folder in a has changed since"),
        ({"fingerprint": "g", "data__root": "b"}, "compares runs on image_folder in a, not on image_folder in b"),
    ],
)
def test_other_images_are_refused(sweep, changes, reason):
    first, _ = sweep([1])
    before = (first.folder / "sweep.json").read_text()
    with pytest.raises(SweepError, match=reason):
        sweep([1, 0.5], **changes)
    assert (first.folder / "sweep.json").read_text() == before


@pytest.mark.parametrize(
    ("first", "other", "reason"),
    [
        (
            {"_target_": "vae_sweep.data.own", "dataset": {"_target_": "my.A", "key": "${oc.env:KEY}"}},
            {"_target_": "vae_sweep.data.own", "dataset": {"_target_": "my.B", "key": "${oc.env:KEY}"}},
            "on own data.dataset._target_=my.A data.dataset.key=${oc.env:KEY}, not on own data.dataset._target_=my.B",
        ),
        (
            {"_target_": "vae_sweep.data.hf", "path": "p", "split": "train"},
            {"_target_": "vae_sweep.data.hf", "path": "p", "split": "test"},
            "on hf in p data.split=train, not on hf in p data.split=test",
        ),
        (
            {"_target_": "vae_sweep.data.arrays", "path": "p", "images": None},
            {"_target_": "vae_sweep.data.arrays", "path": "p", "images": "x"},
            "on arrays in p, not on arrays in p data.images=x",
        ),
    ],
    ids=["own", "hf", "arrays"],
)
def test_another_set_of_the_same_loader_is_refused(first, other, reason):
    manifest = new_manifest("s", [], "/", dict.fromkeys(("versions", "git_commit", "hardware")))
    manifest |= {"members": [{"config": {"data": first}}], "datasets": {"f": {}}}

    def check(data, fingerprint):
        member = Member("id", {"data": data})
        check_compatible(manifest, [member], {"id": {"fingerprint": fingerprint}})

    with pytest.raises(SweepError, match=re.escape(reason)):
        check(other, "g")
    check(other, "f")  # the same pictures, wherever they come from
    check({**first, "image_size": 8}, "g")


def test_images_that_have_moved_are_found_at_their_new_place(sweep):
    first, _ = sweep([1], {1: "kills"})
    second, _ = sweep([1], {1: "kills"}, data__root="b")
    assert (statuses(first), statuses(second)) == (["failed"], ["done"])
    assert second.results[0]["config"]["data"]["root"] == "b"


def test_the_same_images_at_another_place_or_size_are_welcome(sweep):
    sweep([1])
    assert statuses(sweep([0.5], data__root="b")[0]) == ["done"]
    assert statuses(sweep([0.5], data__image_size=16, fingerprint="g")[0]) == ["done"]


def test_another_schema_is_refused(sweep):
    first, _ = sweep([1])
    manifest = read_json(first.folder / "sweep.json")
    (first.folder / "sweep.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(RecordError, match="schema 99"):
        sweep([1])


def test_a_folder_of_something_else_is_refused(sweep, tmp_path):
    (tmp_path / "outputs" / "s").mkdir(parents=True)
    (tmp_path / "outputs" / "s" / "thesis.tex").touch()
    with pytest.raises(SweepError, match="is no sweep and is not empty"):
        sweep([1])


def test_a_refused_setting_leaves_nothing_behind(sweep, tmp_path):
    with pytest.raises(SettingsError, match=r"loss\.kl_weight=-1"):
        sweep([1, -1])
    with pytest.raises(SweepError, match=r"trainer\.devices|cannot be swept"):
        run_mixed_names(tmp_path)
    assert not (tmp_path / "outputs").exists()


def run_mixed_names(tmp_path):
    asked = [Job(config() | {"sweep": name, "output_dir": str(tmp_path / "outputs")}) for name in "ab"]
    run_sweep(asked, Machine("cpu", config()["launcher"]), load=lambda section: None)


def test_a_warm_up_longer_than_the_run_is_refused_for_all(sweep, tmp_path):
    schedule = {"_target_": "vae_sweep.schedules.linear", "warmup_steps": 100}
    with pytest.raises(SettingsError, match="warmup_steps"):
        sweep([1], kl_schedule=schedule)
    assert not (tmp_path / "outputs").exists()


def test_an_output_folder_that_cannot_be_written_is_named(sweep, tmp_path):
    (tmp_path / "outputs").touch()
    with pytest.raises(SweepError, match="cannot be written"):
        sweep([1])


def test_a_split_pack_is_frozen_as_its_parts():
    manifest = {"plan": {"slots": [], "packs": [["a"], ["b", "c", "d", "e"]], "threads": [1, 2]}}
    assert split_pack(manifest, [["c"], ["d", "e"]])["plan"] == {
        "slots": [],
        "packs": [["a"], ["b"], ["c"], ["d", "e"]],
        "threads": [1, 2, 2, 2],
    }


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (COMMAND, "python3 -m vae_sweep.run -m loss.kl_weight=1,0.5 sweep=n"),
        (["/bin/vae-sweep", "a=b c", "sweep=x", "retry=failed"], "python3 -m vae_sweep.run 'a=b c' sweep=n"),
    ],
)
def test_continue_command(argv, line):
    assert continue_command(argv, "n") == line
