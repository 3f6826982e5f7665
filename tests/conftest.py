"""Shared by the tests: members composed from the real conf/, trained on a few small images.

What a test finds does not depend on where and when it runs: its random numbers begin at the same seed whatever ran
before it (as those of its fixtures do), sums are of one thread however many cores there are, and what people set in
their shell for programs like this one is not there.
"""

import os

from vae_sweep.engine.slots import thread_environment

os.environ |= thread_environment(1)  # before numpy and torch are loaded
# scikit-learn's joblib warns where there is no /dev/shm for the locks of processes, which no test starts.
os.environ["JOBLIB_MULTIPROCESSING"] = "0"

import gc
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import importing
import numpy as np
import properties  # noqa: F401 - loads the profile of the property tests
import pytest
from configs import member_config
from hypothesis import register_random

from vae_sweep import run
from vae_sweep.environment import CALLED_AS
from vae_sweep.runs.files import write_json
from vae_sweep.runs.members import member_id
from vae_sweep.theory.beta import beta, sizes_of

# Half a million objects of imported modules stay until the end: walking them all at every turn takes a twentieth of it.
gc.set_threshold(700, 10, 100)

SMALL = (
    "model.channels=8",
    "model.latent_dim=8",
    "data.batch_size=32",
    "trainer.max_epochs=1",
    "trainer.precision=32",
    "trainer.accelerator=cpu",
    "logger.wandb=disabled",
    "trainer.evaluate=false",
)


class _TorchRandom:
    """torch's generator, as Hypothesis seeds generators: so that an example can be tried again."""

    def seed(self, seed: int) -> None:
        if torch := sys.modules.get("torch"):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed also asks every kind of device: 2 ms

    def getstate(self) -> object:
        return torch.get_rng_state() if (torch := sys.modules.get("torch")) else None

    def setstate(self, state: object) -> None:
        if (torch := sys.modules.get("torch")) and state is not None:
            torch.set_rng_state(state)


_TORCH = _TorchRandom()
register_random(_TORCH)


def _begin_alike() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - it is what other people's code draws from
    _TORCH.seed(0)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    _begin_alike()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    _begin_alike()


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, logs to anybody's W&B, or sees the user's terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", importing.path())
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


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


@pytest.fixture(scope="session")
def small_sweep_at(compose: Callable[..., dict[str, Any]], images: Path) -> Callable[..., list[str]]:
    """small_sweep_at(folder, [overrides], ...) -> ids of the members of the manifest that it writes there"""

    def made(folder: Path, *members: list[str]) -> list[str]:
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
        write_json(folder / "sweep.json", {"schema": 1, "sweep": folder.name, "versions": {}, "members": entries})
        return [entry["id"] for entry in entries]

    return made


@pytest.fixture
def small_sweep(small_sweep_at: Callable[..., list[str]], tmp_path: Path) -> Callable[..., tuple[Path, list[str]]]:
    """small_sweep([overrides], ..., name=...) -> (folder with a manifest, ids of its members)."""
    return lambda *members, name="sweep": (tmp_path / name, small_sweep_at(tmp_path / name, *members))


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """typed("-m beta=1") -> (exit code, standard output, standard error), in tmp_path.

    As in a process of its own, but Hydra is imported once.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CALLED_AS, "python3")  # restored, since doors note how they were called
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(run, "_speak", lambda: None)

    def typed(words: str | list[str], program: str = "vae-sweep") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [program, *(words.split() if isinstance(words, str) else words)])
        said, code = "", 0
        try:
            run.main()
        except SystemExit as end:
            said, code = (f"{end.code}\n", 1) if isinstance(end.code, str) else ("", int(end.code or 0))
        out, err = capsys.readouterr()
        return code, out, err + said

    return typed
