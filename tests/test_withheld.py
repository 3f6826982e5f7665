"""Values of the environment: not written anywhere, part of what a member is, there where it trains."""

import json

import importing
import pytest
import torch
from configs import CONF, member_config
from hydra import compose, initialize_config_dir
from sweeping import TARGET, jobs, run, statuses

from vae_sweep.engine.machine import Machine
from vae_sweep.runs import withheld
from vae_sweep.runs.files import RecordError, write_json
from vae_sweep.runs.members import config_that_matters, kin, member_id, written
from vae_sweep.runs.reading import load_sweep, read_manifest
from vae_sweep.runs.withheld import KEY, resolved
from vae_sweep.runs.writing import error_record
from vae_sweep.sweep.jobs import job_of
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.tracking import content
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.loading import load_model
from vae_sweep.training.train import train_pack

SECRET = "sesame-31415926"
ASKS = {  # what is typed -> the key that is withheld
    "+model.token=${oc.env:SECRET}": "model.token",
    "+model.pin='${oc.decode:${oc.env:NUMBER}}'": "model.pin",
    "+model.login={key: '${oc.env:SECRET}'}": "model.login.key",
    "logger.entity=${oc.env:SECRET}": "logger.entity",
    "logger.also=[csv,{_target_: a.B, uri: '${oc.env:SECRET}'}]": "logger.also.1.uri",
    "data.cache_dir=${oc.env:SECRET}/there": "data.cache_dir",
    "data.cache_dir='${oc.env:NOT_SET,${oc.env:SECRET}}'": "data.cache_dir",
    "loss.recon={_target_: a.B, key: '${oc.env:SECRET}'}": "loss.recon.key",
    "+kl_schedule={token: '${logger.project}'}": None,  # of the configuration itself
    "+model.same=${model._target_}": None,
    "loss.kl_weight='${oc.decode:${oc.env:NUMBER}}'": None,  # our settings' numbers and names are what was trained
    "model.posterior=${oc.env:NAME}": None,
    "trainer.metrics=['${oc.env:METRIC}']": None,
    "model._target_=${oc.env:METRIC}": None,
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in {"SECRET": SECRET, "NUMBER": "0.25", "NAME": "full", "METRIC": "outside.sharpness"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOT_SET", raising=False)


def job(*overrides):
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return job_of(compose("config", list(overrides), return_hydra_config=True))


def made(*overrides):
    asked = job(*overrides)
    return written(asked.config, asked.withheld)


@pytest.mark.parametrize("typed", ASKS)
def test_the_interpolation_stays_where_anything_may_stand(typed):
    asked = job(typed)
    key = ASKS[typed]
    assert list(asked.withheld) == ([key] if key else [])
    config = written(asked.config, asked.withheld)
    assert SECRET not in json.dumps([config, *asked.hydra_files.values()])
    assert resolved(config) == asked.config
    assert (KEY in config) == (key is not None)


def test_what_is_made_of_a_withheld_value_is_withheld():
    config = made("+model.token=${oc.env:SECRET}", "+model.url=https://${model.token}@host", "+model.all=${.url}")
    assert SECRET not in json.dumps(config)
    assert resolved(config)["model"]["all"] == f"https://{SECRET}@host"


def test_another_value_is_another_member(monkeypatch):
    first = made("+model.token=${oc.env:SECRET}")
    monkeypatch.setenv("OTHER_NAME", SECRET)
    same = made("+model.token=${oc.env:OTHER_NAME}")
    assert member_id(first, "f") == member_id(same, "f")
    longer = {**same, "trainer": {**same["trainer"], "max_epochs": 99}}
    assert kin(first, "f") == kin(longer, "f")
    monkeypatch.setenv("SECRET", "another")
    assert member_id(made("+model.token=${oc.env:SECRET}"), "f") != member_id(first, "f")


def test_a_place_or_a_password_of_data_may_change(monkeypatch):
    """As anywhere: images are known by their content."""
    typed = ["data=image_folder", "data.root=${oc.env:SECRET}", "logger.entity=${oc.env:SECRET}"]
    first = made(*typed)
    monkeypatch.setenv("SECRET", "moved")
    assert member_id(made(*typed), "f") == member_id(first, "f") == member_id(made(typed[0], "data.root=x"), "f")
    assert resolved(first, ["data"])["data"]["root"] == "moved"
    with pytest.raises(RecordError, match=r"^logger.entity=\$\{oc.env:SECRET\}: has another value in this environment"):
        resolved(first)
    assert KEY not in config_that_matters(first)


def test_a_missing_variable_is_named(monkeypatch):
    config = made("+model.token=${oc.env:SECRET}")
    monkeypatch.delenv("SECRET")
    with pytest.raises(RecordError, match=r"^model.token=\$\{oc.env:SECRET\}: Environment variable 'SECRET' not found"):
        resolved(config)
    with pytest.raises(SettingsError, match=r"^model.token: Environment variable 'SECRET' not found"):
        made("+model.token=${oc.env:SECRET}")
    assert resolved(config, ["loss"])["loss"] == config["loss"]


@pytest.mark.parametrize("typed", ["+withheld={a: 1}", "+model={a.b: '${oc.env:SECRET}'}"])
def test_what_cannot_be_withheld_is_refused(typed):
    with pytest.raises(SettingsError):
        made(typed)


@pytest.mark.parametrize(
    "text", ["${now:%Y}", "${a.b:1}", "${${loss.recon}:1}", "${oc.${loss.recon}:1}", "\\\\${now:%Y}"]
)
def test_a_run_folder_asks_the_environment_and_nothing_else(text):
    config = member_config() | {KEY: {"model.token": None}}
    config["model"] = config["model"] | {"token": "${loss.note}"}
    config["loss"] = config["loss"] | {"note": text}
    with pytest.raises(RecordError, match=r"asked$"):
        resolved(config)


def test_a_run_folder_learns_no_value_that_it_does_not_know():
    config = member_config() | {KEY: {"model.token": "00000000"}}
    config["model"] = config["model"] | {"token": "${oc.env:SECRET}"}
    with pytest.raises(RecordError, match="another value") as refused:
        resolved(config)
    assert SECRET not in str(refused.value)


def test_messages_have_the_interpolation_too(monkeypatch):
    monkeypatch.setattr(withheld, "_seen", {})  # of other tests
    resolved(made("+model.token=${oc.env:SECRET}"))
    try:
        raise OSError(f"https://{SECRET}@host does not answer")
    except OSError as error:
        record = error_record(error)
    assert record["message"] == "https://${oc.env:SECRET}@host does not answer"
    assert SECRET not in json.dumps(record)


def test_no_file_of_a_sweep_has_the_value_and_its_workers_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))
    asked = [*jobs(tmp_path / "outputs", [1, 0.5], {1: SECRET, 0.5: SECRET})]
    held = {"model.kind": "${oc.env:SECRET}", "logger.entity": "${oc.env:SECRET}"}
    asked = [type(one)(one.config | {"logger": {**one.config["logger"], "entity": SECRET}}, one.overrides, {}, held)
             for one in asked]  # fmt: skip
    outcome, said = run(asked, Machine("cpu", asked[0].config["launcher"], target=TARGET))
    assert statuses(outcome) == ["done", "done"]
    files = [path for path in outcome.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"sweep.json", ".sweep.copy.json", "result.json"}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in said
    manifest = read_manifest(outcome.folder)
    assert manifest["members"][0]["config"]["model"]["kind"] == "${oc.env:SECRET}"
    assert json.dumps(content.config(manifest["members"][0], manifest)).count("${oc.env:SECRET}") == 1
    assert KEY not in content.config(manifest["members"][0], manifest)
    again, _ = run(asked, Machine("cpu", asked[0].config["launcher"], target=TARGET))
    assert [found.id for found in load_sweep(again.folder).runs] == [
        found.id for found in load_sweep(outcome.folder).runs
    ]


def test_training_has_the_value_and_its_checkpoint_has_not(small_sweep, monkeypatch):
    """The number of stairs, of a schedule of somebody else's."""
    monkeypatch.setenv("STAIRS", "5")
    folder, [member] = small_sweep(
        ["kl_schedule._target_=outside.staircase", "+kl_schedule.stairs=5",
         "trainer.max_epochs=null", "trainer.max_steps=10", "trainer.log_every_n_steps=1", "data.max_images=40"]
    )  # fmt: skip
    manifest = read_manifest(folder)
    [entry] = manifest["members"]
    entry["config"] = written(entry["config"], {"kl_schedule.stairs": "${oc.decode:${oc.env:STAIRS}}"})
    write_json(folder / "sweep.json", manifest)
    [result] = train_pack(folder, [member])
    assert result["status"] == "done"
    weights = [row["kl_weight"] for row in load_sweep(folder).runs[0].rows() if "train/kl" in row]
    assert len(set(weights)) == 5
    path = folder / entry["folder"]
    kept = load_checkpoint(path / LAST)["hyper_parameters"]["config"]
    assert kept["kl_schedule"]["stairs"] == result["config"]["kl_schedule"]["stairs"] == "${oc.decode:${oc.env:STAIRS}}"
    assert load_model(path).sample(1).shape == torch.Size([1, 3, 16, 16])
    monkeypatch.delenv("STAIRS")
    with pytest.raises(RecordError, match="'STAIRS' not found"):
        load_model(path)
