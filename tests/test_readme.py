"""Every command and link of the README and the docs: commands run with shrunken settings, links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    python -m (vae_sweep\.run .*)$", README, re.MULTILINE)
SMALL = (
    "trainer.max_steps=4", "trainer.evaluate=false", "model.channels=2", "data.max_images=40", "logger.wandb=disabled"
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "PICTURES"
    folder.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (20, 40, 48, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(arguments: list[str], cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_readme_shows_commands() -> None:
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_readme(command: str, tmp_path: Path, pictures: Path) -> None:
    """In an empty folder; the report of it, too."""
    run([*shlex.split(command), *SMALL, f"data.cache_dir={tmp_path / 'cache'}"], tmp_path)
    assert "index.html" in run(["vae_sweep.report"], tmp_path)


def test_schedule_preview_of_the_readme(tmp_path: Path) -> None:
    assert "`python3 -m vae_sweep.schedules cyclical`" in README
    run(["vae_sweep.schedules", "cyclical"], tmp_path)


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(), *(page.read_text() for page in ROOT.glob("docs/*.md"))]
    named = {name for page in pages for name in re.findall(r"(?:^    |`)make ([a-z-]+)", page, re.MULTILINE)}
    assert named <= targets


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} -> {link}"
