"""A run folder of somebody else's: what its config may have called, and what a full disk says."""

import copy
import re
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vae_sweep import evaluate, load_model
from vae_sweep.runs.files import RecordError
from vae_sweep.training.belongs import check_config
from vae_sweep.training.checkpoints import LAST, load_checkpoint, save_checkpoints
from vae_sweep.training.train import train_pack

HOSTILE = [
    "torch.load", "shutil.copy", "shutil.rmtree", "logging.FileHandler", "os.system", "builtins.exec", "builtins.str",
    "subprocess.Popen", "numpy.load", "pathlib.Path", "vae_sweep.runs.files.remove_leftovers", "torch.hub.load",
]  # fmt: skip


def changed(config: dict, key: str, value) -> dict:
    made = copy.deepcopy(config)
    *sections, last = key.split(".")
    node = made
    for section in sections:
        node = node[section]
    node[last] = value
    return made


@pytest.mark.parametrize("target", HOSTILE)
def test_what_does_not_belong_there_is_not_called(target: str, compose) -> None:
    config = compose()
    for key in ("model._target_", "kl_schedule._target_", "data._target_", "loss.recon", "loss.divergence"):
        with pytest.raises(RecordError, match=r"it is not called") as refused:
            check_config(changed(config, key, target))
        assert target in str(refused.value)
    with pytest.raises(RecordError, match="is not a torch module or its settings"):
        check_config(changed(config, "model.inner", [{"_target_": target}]))
    for metrics in ([target], ["outside.sharpness", target], target):
        with pytest.raises(RecordError, match=rf"^trainer.metrics={target}: is not a metric .*; it is not called$"):
            check_config(changed(config, "trainer.metrics", metrics))


@pytest.mark.parametrize("model", ["conv", "resnet", "mlp", "linear"])
def test_all_of_ours_belong(model: str, compose) -> None:
    check_config(compose(f"model={model}"))


@pytest.mark.parametrize("data", ["mnist", "cifar10", "celeba", "arrays", "image_folder", "fashion_mnist"])
def test_all_data_of_ours_belong(data: str, compose) -> None:
    check_config(compose(f"data={data}"))


@pytest.mark.parametrize("schedule", ["linear", "cyclical", "capacity", "geco", "control_vae", "logistic", "cosine"])
def test_all_schedules_of_ours_belong(schedule: str, compose) -> None:
    goal = {"geco": ["kl_schedule.goal=1"], "control_vae": ["kl_schedule.target=1"]}.get(schedule, [])
    check_config(compose(f"kl_schedule={schedule}", *goal))


def test_what_other_packages_bring_belongs(compose) -> None:
    config = compose()
    for key, value in {
        "loss.recon": "outside.StudentT", "loss.divergence": "outside.FourthMoment",
        "kl_schedule._target_": "outside.staircase", "model._target_": "torch.nn.Linear",
        "trainer.metrics": ["outside.sharpness", "outside.half_of_it"],
    }.items():  # fmt: skip
        check_config(changed(config, key, value))


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    """By a limit on the size of files, which a write meets as it meets a full disk."""
    content = {"schema": 1, "step": 1, "state_dict": {"w": torch.zeros(400_000)}, "hyper_parameters": {}}
    save_checkpoints([(tmp_path, content)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        with pytest.raises(OSError, match="File too large"):
            save_checkpoints([(tmp_path, {**content, "step": 2})])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert load_checkpoint(tmp_path / LAST)["step"] == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_run_with_a_hostile_metric_is_refused_in_one_line(
    small_sweep: Callable[..., tuple[Path, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, [member] = small_sweep(["data.max_images=40", "trainer.max_steps=1"])
    train_pack(folder, [member])
    run = folder / f"000-{member}"
    checkpoint = load_checkpoint(run / LAST)
    checkpoint["hyper_parameters"]["config"]["trainer"]["metrics"] = ["shutil.rmtree"]
    save_checkpoints([(run, checkpoint)])
    fake = lambda *_: pytest.fail("it was called")  # noqa: E731
    fake.__module__ = "shutil"
    monkeypatch.setattr(shutil, "rmtree", fake)
    said = (
        "trainer.metrics=shutil.rmtree: is not a metric (a function of objective, images and codes); it is not called"
    )
    with pytest.raises(RecordError) as refused:
        load_model(run)
    assert str(refused.value) == said
    with pytest.raises(SystemExit, match=f"^error: {re.escape(said)}$"):
        evaluate.main([str(run)])
