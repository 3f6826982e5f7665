"""Odd values at the door: each is known and told before anything starts, or trains as it stands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from odd_commands import BASE, some_lines

from vae_sweep.data.image_data import ImageData
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep import run_sweep as sweeps
from vae_sweep.sweep.on_images import check_run
from vae_sweep.sweep.settings import SettingsError, check_member
from vae_sweep.training.build import build

REFUSED = {
    "loss.kl_weight={a:1}": "loss.kl_weight={'a': 1}: expected a number",
    "sweep={a:1}": "sweep={'a': 1}: expected a name",
    "seed=[1]": "seed=[1]: expected a whole number",
    "trainer=null": "trainer=null: expected a section",
    "loss=null": "loss=null: expected a section",
    "~loss": "loss=null: expected a section",
    "~optimizer": "optimizer=null: expected a section",
    "~data.batch_size": "data.batch_size: needs a value",
    "~model.latent_dim": "model.latent_dim: needs a value",
    "~seed": "seed: needs a value",
    "~trainer.evaluate": "trainer.evaluate: needs a value",
    "~loss.recon": "loss.recon: needs a value",
    "~kl_schedule._target_": "kl_schedule._target_: needs a value",
    "+optimizer.foo=1": "optimizer.foo: no such setting",
    "+loss.foo=1": "loss.foo: no such setting",
    "data.cache_dir=5": "data.cache_dir=5: expected a name",
    "loss.scale=1e-200": "loss.scale=1e-200: expected a number >= 1e-06",
    "loss.scale=1e-20": "loss.scale=1e-20: expected a number >= 1e-06",
    "loss.kl_weight=1e300": "loss.kl_weight=1e+300: expected",
    "loss.kl_weight=1e-300": "loss.kl_weight=1e-300: a VAE whose KL weighs nothing",
    "optimizer.lr=1e300": "optimizer.lr=1e+300: expected",
    "optimizer.lr=nan": "optimizer.lr=nan: expected",
    "data.batch_size=10000000000": "data.batch_size=10000000000: expected",
    "trainer.max_steps=1e9": "trainer.max_steps=1000000000.0: expected",
    "model.latent_dim=10000000000": "model.latent_dim=10000000000: expected",
    "trainer.metrics=[no.such.thing]": "trainer.metrics=no.such.thing: no such module",
    "trainer.metrics=3": "trainer.metrics=3: expected a list",
    "loss.recon={a:1}": "loss.recon={'a': 1}: expected one of",
    "logger.project=''": "logger.project=: expected a name",
    f"sweep={'x' * 300}": "expected a name of at most 200 bytes, not 300",
    "sweep='\u202ex'": "expected a name without slashes, control characters",
    "trainer.evaluate={a:1}": "trainer.evaluate={'a': 1}: expected true or false",
    "launcher.jobs=1.5": "launcher.jobs=1.5: expected a whole number",
}
STEERED = {
    "kl_schedule=geco kl_schedule.goal=-1": "kl_schedule.goal=-1: expected a number > 0",
    "kl_schedule=control_vae kl_schedule.target=-5": "kl_schedule.target=-5: expected a number > 0",
    "kl_schedule=geco kl_schedule.goal={a:1}": "kl_schedule.goal={'a': 1}: expected a number > 0",
    "kl_schedule=geco kl_schedule.goal=1 kl_schedule.memory=1": "kl_schedule.memory=1: expected",
}


@pytest.mark.parametrize("overrides", [*REFUSED, *STEERED])
def test_an_odd_value_is_named_before_anything_starts(overrides: str, compose) -> None:
    words = overrides.split() if overrides in STEERED else [overrides]
    with pytest.raises(SettingsError) as refused:
        check_member(compose(*words))
    assert (REFUSED | STEERED)[overrides] in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.batch_size=100000"], "data.batch_size=100000: more than 16 times the 52 training images"),
        (["trainer.max_epochs=900000", "trainer.val_every_n_epochs=1e-3"], "more than 100000 validations"),
    ],
)
def test_what_makes_no_sense_on_so_few_images(overrides: list[str], message: str, compose) -> None:
    with pytest.raises(SettingsError, match=message):
        check_run(compose(*overrides), 52)
    check_run(compose("data.batch_size=64", "trainer.val_every_n_epochs=1e-9"), 52)  # after every step


def test_a_group_that_is_taken_out_is_named_by_the_command(typed) -> None:
    code, _, said = typed(["~model", "trainer.max_steps=1"])
    assert (code, "Traceback" in said) == (1, False)
    assert said.splitlines()[-1].startswith("error: model=null")


class Reached(Exception):
    """Training would begin now."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_three_hundred_odd_commands(part: int, typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in one line with exit code 1; or accepted, and then the member can be built and its loss is finite."""
    reached: list[tuple[dict[str, Any], ImageData]] = []

    def note(folder, asked, *rest):
        reached.extend((one.member.config, one.images) for one in asked)
        raise Reached

    monkeypatch.setattr(sweeps, "_train_what_is_left", note)
    wrong = []
    for line in some_lines(300)[part::10]:
        reached.clear()
        try:
            code, _, said = typed([*BASE, f"data.cache_dir={tmp_path / 'cache'}", *line])
        except Reached:
            wrong += [f"{line}: {trouble}" for config, data in reached if (trouble := _trouble(config, data))]
        except BaseException as error:
            wrong.append(f"{line}: {type(error).__name__}: {error}")
        else:
            if code != 1 or not said.strip() or "Traceback" in said or not said.splitlines()[-1].startswith("error:"):
                wrong.append(f"{line}: exit code {code}: {said[-300:]}")
    assert not wrong, "\n".join(wrong)


def _trouble(config: dict[str, Any], data: ImageData) -> str | None:
    try:
        lit = build(config, data.shape, len(data.train))
        pixels = np.asarray(data.images[data.train[:4]])
        x = lit.draw(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
        loss, _ = lit.objective(x, lit.noise(x), lit.weights_for(x), lit.weight_noise(x))
    except Exception as error:
        return f"accepted, but {type(error).__name__}: {error}"
    return None if torch.isfinite(loss) else f"accepted, but its loss is {loss}"


@pytest.mark.slow
def test_on_an_odd_machine(tmp_path: Path) -> None:
    """Without docstrings, a home, a folder for temporary files or a locale, with a backend of figures that is none."""
    odd = {"PYTHONOPTIMIZE": "2", "MPLBACKEND": "nonsense", "TMPDIR": str(tmp_path / "missing"), "LANG": "C"}
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")} | odd
    small = ["data.max_images=40", "data.image_size=32", "trainer.max_steps=2", "model.channels=2", "sweep=odd"]
    for words in (["run", "-m", "loss.kl_weight=1,0.1", *small, f"data.cache_dir={tmp_path}/cache"], ["report"]):
        command = [sys.executable, "-m", f"vae_sweep.{words[0]}", *words[1:]]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, umask=0o077, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert [run.status for run in load_sweep(tmp_path / "outputs/odd").runs] == ["done", "done"]
    assert (tmp_path / "outputs/odd/report/figures/rate_distortion.png").exists()
