"""Every command and link of the README, the docs and the experiments.

Here each command is read by the program that it names, up to the point where it would train; `make test-all` runs them
all, page by page, with shrunken settings.
"""

import importlib
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documented import PAGES, PYTHON, ROOT, Command, commands
from marks import slow
from PIL import Image

from vae_sweep import run
from vae_sweep.commands import DOORS
from vae_sweep.environment import CALLED_AS
from vae_sweep.sweep.settings import check_members

COMMANDS = commands()
OPTUNA = "hydra/sweeper=optuna"
RUNS = [command for command in COMMANDS if command.module == "vae_sweep.run"]
OTHERS = [command for command in COMMANDS if command.module != "vae_sweep.run"]
SMALL = (
    "trainer.max_steps=4", "trainer.evaluate=false", "model.latent_dim=2", "data.max_images=40", "logger.wandb=disabled"
)  # fmt: skip


class Checked(BaseException):
    """All members of a command have passed every check there is before images are loaded."""


def test_pages_show_commands() -> None:
    assert len([command for command in RUNS if command.page == "README.md"]) >= 3
    assert {command.page for command in COMMANDS} >= {"README.md", "engine.md", "question.md", "report.md", "wandb.md"}


def test_one_form_everywhere() -> None:
    for page in [*PAGES, *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("benchmarks/*.py")]:
        wrong = re.findall(r"(?<![\w/.-])python -m (?:vae_sweep|benchmarks)[^\n]*", page.read_text())
        assert not wrong, f"{page}: {wrong[0]!r} (`{PYTHON} -m` works where no `python` is)"


def own_network(folder: Path) -> None:
    """The file that docs/own_model.md shows."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/own_model.md").read_text(), re.DOTALL)
    (folder / "my_vae.py").write_text(example[1])


@pytest.mark.parametrize(
    "command", [command if command.page.endswith(".md") else slow(command)[0] for command in RUNS], ids=str
)
def test_run_reads_it(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def checked(jobs, *_, **__):
        check_members([job.config for job in jobs])
        raise Checked

    for word, package in ((OPTUNA, "optuna"), ("logger.also=tensorboard", "tensorboard")):
        if word in command.words:
            pytest.importorskip(package)
    own_network(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(CALLED_AS, PYTHON)
    monkeypatch.setattr(run, "_speak", lambda: None)
    monkeypatch.setattr("vae_sweep.sweep.run_sweep.run_sweep", checked)
    monkeypatch.setattr(sys, "argv", ["run.py", *command.words[1:]])
    with pytest.raises(SystemExit if "--help" in command.words else Checked) as end:
        run.main()
    assert not getattr(end.value, "code", 0)


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_its_program_reads_it(command: Command) -> None:
    name = command.module.removeprefix("vae_sweep.")
    if name in DOORS:
        home = f"{command.module}.__main__" if (ROOT / "vae_sweep" / name).is_dir() else command.module
        importlib.import_module(home).parser().parse_args(command.words[1:])
    else:
        assert importlib.util.find_spec(command.module) is not None


@pytest.mark.parametrize("target", ["report", "sync"])
def test_what_make_starts_prints_commands_as_the_readme_has_them(target: str, tmp_path: Path) -> None:
    """One word: a comment behind a value in a Makefile is part of it, with the blanks before it."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nprintf "[%s]" "${CALLED_AS}"\n')
    python.chmod(0o755)
    words = ["make", "--silent", f"BIN={tmp_path}", f"READY={python}", target]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"[{PYTHON}]"


# All of it, run ------------------------------------------------------------------------------------------------------


def in_folder(words: list[str], cwd: Path) -> None:
    """With the caches of the folder, and no server."""
    own = {"XDG_CACHE_HOME": str(cwd / "cache"), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "vae_sweep/plugins")])
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, check=False,
        env=os.environ | own | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"


def furnish(folder: Path) -> None:
    """Pictures, MNIST of 40 digits and a network: what the pages take for granted."""
    own_network(folder)
    rng = np.random.default_rng(0)
    (folder / "PICTURES").mkdir()
    for number, pixels in enumerate(rng.integers(0, 256, (20, 40, 48, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / "PICTURES" / f"{number}.png")
    raw = folder / "DIR" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 30), ("t10k", 10)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            array = rng.integers(0, 10, shape, np.uint8)
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())


def filled(command: Command, folder: Path) -> list[str]:
    """The words with what stands for a name replaced, and budgets shrunk."""
    words = list(command.words)
    if command.module == "vae_sweep.run":
        words += [word for word in SMALL if f"{word.split('=')[0]}=" not in " ".join(words)]
        words = [word for word in words if not word.startswith(("trainer.max_epochs", "hydra"))]
        words += ["kl_schedule.warmup_steps=2"] if "experiment=mnist_burgess" in words else []
    if command.module == "vae_sweep.evaluate":
        numbers = {"--k": "2", "--bound-images": "2", "--images": "4", "--aggregate-samples": "2"}
        words = [numbers.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    words = [word for word in words if word not in ("--watch", "--open")]
    sweeps = sorted(folder.glob("outputs/*/sweep.json"), key=lambda path: path.stat().st_mtime)
    runs = sorted(folder.glob("outputs/*/*multi_rate=[Tt]rue*")) or sorted(folder.glob("outputs/*/000-*"))
    stand_ins = {"outputs/NAME": sweeps[-1].parent if sweeps else None, "DIR/": None}
    stand_ins |= {"RUN": runs[-1], "outputs/both/RUN": runs[-1]} if runs else {}
    words = [str(stand_ins.get(word) or word) for word in words]
    if command.page == "artworks.yaml":  # DIR is a folder of pictures there, MNIST's elsewhere
        words = [word.replace("=DIR", "=PICTURES") for word in words]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({command.page for command in COMMANDS}))
def test_every_command_of_a_page_runs(page: str, tmp_path: Path) -> None:
    furnish(tmp_path)
    if page in ("report.md", "reliability.md"):  # they speak of a sweep that there is
        in_folder(["vae_sweep.run", "-m", "loss.kl_weight=1,0.1", "sweep=a", *SMALL], tmp_path)
        shutil.copytree(tmp_path / "outputs/a", tmp_path / "outputs/b")
    if page == "wandb.md":
        in_folder(["vae_sweep.run", "loss.kl_weight=1", *SMALL], tmp_path)
    for command in COMMANDS:
        if command.page == page and OPTUNA not in command.words:  # it needs an evaluation, and has tests of its own
            words = filled(command, tmp_path)
            # Benchmarks take hours; they have tests of their own, and read what is typed.
            in_folder([command.module, "--help"] if command.module.startswith("benchmarks") else words, tmp_path)


# Links and targets ---------------------------------------------------------------------------------------------------


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} -> {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_a_page_name_a_heading_of_it(page: Path) -> None:
    """By the names that GitHub gives headings."""
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.+)$", (page.parent / link if link else page).read_text(), re.MULTILINE)
        names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in names, f"{page.name} -> {link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_fit_a_screen(page: Path) -> None:
    """Up to 120 characters, but for tables, code, and what benchmarks write."""
    text = re.sub(r"<!-- bench:.*?<!-- /bench -->|^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    long = [line for line in text.splitlines() if len(line) > 120 and not line.startswith(("|", "    "))]
    assert not long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:vae_sweep|tests|benchmarks)/[\w/]+\.\w+)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name}: {name}"
