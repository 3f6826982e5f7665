"""Hydra's door, through the command line as people use it; the training is a fake one."""

import os
import signal
import subprocess
import sys

import importing
import pytest
from marks import slow
from waiting import PATIENCE_S, wait_until

from vae_sweep.runs.reading import load_sweep

FAKE = ["+hydra.launcher.target=fake_training:train_members"]


@pytest.fixture
def command(tmp_path, images):
    """command(*overrides) -> arguments of a process in tmp_path, with the fake training and small images"""

    def command(*overrides, training=FAKE):
        common = [
            *training, "data=arrays", f"data.path={images}", "trainer.accelerator=cpu", "model.latent_dim=2",
            "sweep=s", "launcher.jobs=2", "launcher.pack=off",
            "model._target_=vae_sweep.models.conv", "+model.kind=fine",
        ]  # fmt: skip
        changed = {override.split("=")[0] for override in overrides}
        kept = [override for override in common if override.split("=")[0] not in changed]
        return [sys.executable, "-m", "vae_sweep.run", "-m", *kept, *overrides]

    return command


@pytest.fixture
def launch(command, tmp_path):
    """launch(*overrides) -> the finished process"""

    def launch(*overrides, **options):
        return subprocess.run(
            command(*overrides, **options),
            cwd=tmp_path,
            env=environ(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return launch


def environ() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": importing.path(importing.HERE)}


def test_a_multirun_is_one_sweep(launch, tmp_path):
    done = launch("objective=vae,autoencoder", "loss.kl_weight=1,0.5,0.1")
    assert done.returncode == 0, done.stderr
    sweep = load_sweep(tmp_path / "outputs" / "s")
    assert [run.status for run in sweep.runs] == ["done"] * 4  # one autoencoder: it has no KL weight
    assert sweep.manifest["swept"] == ["objective", "loss.kl_weight"]
    assert {path.name for path in (sweep.runs[0].folder / ".hydra").iterdir()} == {
        "config.yaml", "hydra.yaml", "overrides.yaml"
    }  # fmt: skip
    assert "loss.kl_weight=1" in (sweep.runs[0].folder / ".hydra" / "overrides.yaml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["outputs"]


@pytest.mark.slow
def test_batches_of_a_sweeper_are_one_sweep(launch, tmp_path):
    done = launch("loss.kl_weight=3,2,1", "hydra.sweeper.max_batch_size=2", "sweep=null")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs").iterdir()
    assert [run.status for run in load_sweep(folder).runs] == ["done"] * 3


@pytest.mark.slow
def test_a_failed_member_is_an_exit_code_and_one_line(launch, tmp_path):
    done = launch("loss.kl_weight=1,0.5", "+model.kind=fine,raises")
    assert done.returncode == 1
    assert "no good" in done.stdout
    assert "retry=failed" in done.stdout
    assert done.stderr == ""
    statuses = [run.status for run in load_sweep(tmp_path / "outputs" / "s").runs]
    assert statuses == ["done", "failed", "done", "failed"]


@pytest.mark.slow
def test_in_this_process_a_failed_member_does_not_end_the_others_unless_that_is_asked(launch, tmp_path):
    basic = ["hydra/launcher=basic", "hydra.launcher.target=fake_training:train_members"]
    words = ["loss.kl_weight=1,0.5,0.1", "+model.kind=raises"]
    ended = launch(*words, "launcher.stop_after=2", training=basic)
    assert (ended.returncode, ended.stderr) == (1, "")
    runs = tmp_path / "outputs" / "s"
    assert [run.status for run in load_sweep(runs).runs] == ["failed", "failed", "queued"]
    again = launch(*words, training=basic)
    assert again.returncode == 1
    assert [run.status for run in load_sweep(runs).runs] == ["failed"] * 3


@pytest.mark.parametrize("launcher", ["local", *slow("basic", "slurm", "ray")])
def test_all_members_are_checked_before_the_first_trains(launch, tmp_path, launcher):
    done = launch(f"hydra/launcher={launcher}", "loss.kl_weight=1,-1", training=())
    assert done.returncode == 1
    assert done.stderr == "error: loss.kl_weight=-1: expected a number >= 0 and <= 1e+12 (member 2 of 2)\n"
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(command, launch, tmp_path):
    overrides = ["loss.kl_weight=1,0.5", "+model.kind=stops"]
    process = subprocess.Popen(command(*overrides), cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(list((tmp_path / "outputs" / "s").glob("*/waiting"))) == 2, "both members to begin")
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "-m vae_sweep.run -m" in text.split("continue  ")[1]
    assert [run.status for run in load_sweep(tmp_path / "outputs" / "s").runs] == ["interrupted"] * 2
    again = launch(*overrides)
    assert again.returncode == 0, again.stderr
    assert [run.status for run in load_sweep(tmp_path / "outputs" / "s").runs] == ["done"] * 2


def test_the_door_is_light(command, tmp_path):
    """The parent of a sweep imports neither torch nor what draws and logs."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "def note():\n"
        "    heavy = {'torch', 'pytorch_lightning', 'matplotlib', 'wandb'} & set(sys.modules)\n"
        "    open('heavy', 'w').write(str(sorted(heavy)))\n"
        "atexit.register(note)\n"
    )
    door = command("loss.kl_weight=1,-1")
    subprocess.run(
        door, cwd=tmp_path, env=os.environ | {"PYTHONPATH": importing.path(tmp_path)}, capture_output=True, check=False
    )
    assert (tmp_path / "heavy").read_text() == "[]"
