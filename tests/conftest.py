"""Shared by the tests: members composed from the real conf/, trained on a few small images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import member_config

from vae_sweep.runs.members import member_id
from vae_sweep.runs.records import write_json
from vae_sweep.theory.beta import beta, sizes_of

SMALL = (
    "model.channels=8",
    "model.latent_dim=8",
    "data.batch_size=32",
    "trainer.max_epochs=3",
    "trainer.precision=32",
    "trainer.accelerator=cpu",
    "logger.wandb=disabled",
    "trainer.evaluate=false",
)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or logs to anybody's W&B."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """compose(*overrides) -> the resolved plain config of one member."""
    return member_config


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 images, 16x16 RGB, of four coloured quarters each: an .npy file."""
    quarters = np.random.default_rng(0).integers(0, 256, (400, 2, 2, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("images") / "quarters.npy"
    np.save(path, quarters.repeat(8, axis=1).repeat(8, axis=2))
    return path


@pytest.fixture
def small_sweep(
    compose: Callable[..., dict[str, Any]], images: Path, tmp_path: Path
) -> Callable[..., tuple[Path, list[str]]]:
    """small_sweep([overrides], ..., name=...) -> (folder with a manifest, ids of its members)."""

    def made(*members: list[str], name: str = "sweep") -> tuple[Path, list[str]]:
        folder = tmp_path / name
        entries = []
        for number, overrides in enumerate(members):
            config = compose("data=arrays", f"data.path={images}", *SMALL, *overrides)
            known = member_id(config, "quarters")
            entries.append(
                {
                    "id": known,
                    "number": number,
                    "folder": f"{number:03d}-{known}",
                    "overrides": overrides,
                    "beta": beta(config, sizes_of(config, (3, 16, 16))),
                    "config": config,
                }
            )
        write_json(folder / "sweep.json", {"schema": 1, "sweep": name, "versions": {}, "members": entries})
        return folder, [entry["id"] for entry in entries]

    return made
