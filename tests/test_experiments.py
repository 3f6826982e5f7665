"""Every model and every experiment of conf/ becomes a network that takes a step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import CONF

from vae_sweep.sweep.overrides import check_overrides
from vae_sweep.sweep.settings import check_member
from vae_sweep.training.build import build

Compose = Callable[..., dict[str, Any]]


def takes_a_step(config: dict[str, Any], shape: tuple[int, int, int]) -> None:
    lit = build(config, shape, images=60_000)
    x = torch.rand(2, *shape)
    loss, _ = lit.objective(x, lit.noise(x), lit.weights_for(x))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("model", sorted(path.stem for path in (CONF / "model").glob("*.yaml") if path.stem != "own"))
def test_models(compose: Compose, model: str) -> None:
    takes_a_step(compose(f"model={model}", "model.latent_dim=4"), (3, 20, 20))


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments(compose: Compose, path: Path) -> None:
    config = compose(f"experiment={path.stem}")
    check_member(config)
    side = config["data"]["image_size"] if "mnist" in path.stem else 32
    takes_a_step(config, (1 if "mnist" in path.stem else 3, side, side))
    # The command is in the file, and its overrides exist.
    commands = [line.split() for line in path.read_text().splitlines() if "python3 -m vae_sweep.run" in line]
    assert commands
    for command in commands:
        check_overrides([word for word in command if "=" in word], CONF)
