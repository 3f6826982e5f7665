"""Every file of conf/ is composed, checked and built."""

from pathlib import Path

import pytest
import torch

from vae_sweep.sweep.overrides import read_conf
from vae_sweep.sweep.settings import check_member
from vae_sweep.training.build import build

CONF = Path(__file__).parents[1] / "conf"
NEEDS = {"geco": ["kl_schedule.goal=100"], "control_vae": ["kl_schedule.target=10"]}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", [name for name in options("model") if name != "own"])
def test_model_trains_a_step(compose, model: str) -> None:
    config = compose(f"model={model}", "trainer.max_steps=1")
    check_member(config)
    lit = build(config, (3, 32, 32), images=100)
    loss, terms = lit.objective(torch.rand(2, 3, 32, 32), torch.randn(2, lit.objective.vae.latent_dim), 1.0)
    loss.backward()
    assert terms["recon"].shape == terms["kl"].shape == (2,)


@pytest.mark.parametrize("schedule", options("kl_schedule"))
def test_schedule_begins(compose, schedule: str) -> None:
    config = compose(f"kl_schedule={schedule}", "model=linear", *NEEDS.get(schedule, []))
    check_member(config)
    weight = build(config, (1, 4, 4), images=1000).kl_schedule.at(0)
    assert 0 <= float(weight) <= 1


@pytest.mark.parametrize("data", options("data"))
def test_data_settings_are_in_range(compose, data: str) -> None:
    check_member(compose(f"data={data}"))


@pytest.mark.parametrize("launcher", [*options("hydra/launcher"), "basic"])
def test_launcher_composes(compose, launcher: str) -> None:
    check_member(compose(f"hydra/launcher={launcher}"))


def test_help_names_keys_that_exist(compose) -> None:
    known = read_conf(CONF)
    text = (CONF / "hydra/help/vae_sweep.yaml").read_text().split("What people sweep")[1]
    named = {word.split("=")[0] for word in text.split() if "=" in word.strip("=")}
    assert named - {"hydra/launcher", "hydra/sweeper"} <= known.keys | set(known.groups)
