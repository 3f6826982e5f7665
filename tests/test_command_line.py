"""The commands as they are typed: what there is, and what is answered to what is wrong."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vae_sweep
from vae_sweep.commands import DOORS, command, door, script
from vae_sweep.environment import CALLED_AS

ROOT = Path(__file__).parents[1]
# What is typed after `vae-sweep`, and what the one line that answers must hold.
WRONG = {
    # a value for a section, which is no group
    "loss=mse": "'loss.recon=sse'",
    "loss=bce": "'loss.recon=bernoulli'",
    "optimizer=adams": "optimizer=adams: no such optimizer; did you mean",
    "optimizer=sgd optimizer.centered=true": "optimizer=sgd has no 'centered'",
    "optimizer=sgd optimizer.nesterov=true optimizer.momentum=0": "optimizer.nesterov=true: needs optimizer.momentum",
    "optimizer._target_=nowhere.Lion": "optimizer._target_=nowhere.Lion: no such module",
    "trainer=gpu": "'trainer.accelerator=cuda'",
    "logger=wandb": "logger.wandb",
    "launcher=slurm": "launcher.jobs",
    # the trade's other words
    "beta=0.1": "'loss.kl_weight'",
    "-m beta=1,0.1": "'loss.kl_weight'",
    "kld_weight=1": "'loss.kl_weight'",
    "epochs=3": "'trainer.max_epochs'",
    "z_dim=8": "'model.latent_dim'",
    "latent=8": "'model.latent_dim'",
    "model.z_dim=8": "'model.latent_dim'",
    "batch_size=8": "'data.batch_size'",
    "lr=0.1": "'optimizer.lr'",
    "learning_rate=0.1": "'optimizer.lr'",
    "trainer.gpus=2": "'trainer.devices'",
    "gpus=2": "'trainer.devices'",
    "steps=100": "'trainer.max_steps'",
    "dataset=mnist": "'data'",
    "img_size=64": "'data.image_size'",
    "data.dir=pictures": "'data.root'",
    "num_workers=4": "'data.workers'",
    "name=mine": "'sweep'",
    "random_seed=1": "'seed'",
    "loss.recon=mse": "'sse'",
    "trainer.accelerator=gpu": "'cuda'",
    "objective=ae": "'autoencoder'",
    # misspelt
    "loss.kl_wieght=1": "'loss.kl_weight'",
    "trainer.max_epoch=1": "'trainer.max_epochs'",
    "model.latentdim=8": "'model.latent_dim'",
    "model=cnov": "'conv'",
    "+model.foo=1": "unknown key 'model.foo'",
    "model=linear +model.hidden=[3]": "model=linear has no 'hidden'",
    "experiment=null": "experiment=null: no such experiment",
    "data=mnits": "'mnist'",
    "kl_schedule=linaer": "'linear'",
    "experiment=artwork": "'artworks'",
    "hydra/launcher=slrum": "slrum",
    # not together
    "-m kl_schedule=linear,logistic kl_schedule.warmup=0.9": "kl_schedule=logistic has no 'warmup'",
    "kl_schedule.cycles=3": "kl_schedule=constant has no 'cycles'",
    "-m model=conv,mlp model.channels=8": "model=mlp has no 'channels'",
    "experiment=linear_truth model.channels=8": "model=linear has no 'channels'",
    "data.root=pictures": "data=paintings has no 'root'",
    "loss.kl_weight=1,0.1": "-m",
    "-m --cfg job": "-m and --cfg",
    "--resolve": "--resolve",
    "loss.kl_weight=0": "objective=autoencoder",
    "loss.scale=0.1": "loss.recon=sse has no scale",
    # no key=value, or none that can be read
    "beta": "expected key=value",
    "loss.kl_weight 0.1": "expected key=value",
    "loss.kl_weight=[1": "loss.kl_weight=[1",
    "data=no/such/folder": "data.root=no/such/folder",
    "--epochs 3": "--epochs",
    "--cfg": "--cfg",
    "--cfg everything": "everything",
    "--config-name mine": "mine",
    "-sc install=tcsh": "tcsh",
    "-sc": "install=bash",
    # out of range, in any member
    "-m loss.kl_weight=1,-1": "member 2 of 2",
    "model.latent_dim=none": "model.latent_dim=none",
    "trainer.max_epochs=0": "trainer.max_epochs=0",
    "model._target_=no.such.Thing": "no.such.Thing",
    "model._target_=my.Net model.width=3": "+model.width",
    "+loss.kl_weight=1": "loss.kl_weight",
    "~loss.nothing": "loss.nothing",
    "kl_schedule=geco": "kl_schedule.goal",
    "-m sweep=a,b": "sweep",
}


@pytest.fixture(autouse=True)
def _called_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restored after each test, since doors note how they were called."""
    monkeypatch.setenv(CALLED_AS, "python3")
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_answered_in_one_line(words: str, typed, tmp_path: Path) -> None:
    code, out, err = typed(words)
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1, err
    assert WRONG[words] in err
    assert not list(tmp_path.glob("*/*")), "something was written"


def test_there_are_forty_of_them() -> None:
    assert len(WRONG) >= 40


@pytest.mark.parametrize(
    "words",
    [
        "report --frob", "report nowhere", "report a --out", "evaluate", "evaluate nowhere", "evaluate x --k none",
        "schedules lineer", "schedules linear warmup=2", "schedules linear warmup", "tracking nowhere",
        "settings no-such-word", "settings a b",
    ],
)  # fmt: skip
def test_the_other_doors_answer_in_one_line(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *rest = words.split()
    home = f"vae_sweep.{name}.__main__" if (ROOT / "vae_sweep" / name).is_dir() else f"vae_sweep.{name}"
    try:
        code = importlib.import_module(home).main(rest)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    if isinstance(code, str):  # Python prints it at its end
        err += f"{code}\n"
    assert code
    assert (out, err.count("\n"), err.partition(" ")[0]) == ("", 1, "error:"), err


def test_version_is_ours(typed) -> None:
    assert typed("--version") == (0, f"vae-sweep {vae_sweep.__version__}\n", "")


def test_help_names_the_program_as_it_was_called_and_lists_groups(typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CALLED_AS)
    code, out, _ = typed("--help", program=".venv/bin/vae-sweep")
    assert code == 0
    assert ".venv/bin/vae-sweep -m loss.kl_weight" in out
    assert ".venv/bin/vae-sweep-report" in out
    for group in ("data", "experiment"):
        assert all(option.stem in out.split(f"{group}=")[-1] for option in (ROOT / "conf" / group).glob("*.yaml"))
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("python3", "python3 -m vae_sweep.report a"),
        (".venv/bin/python", ".venv/bin/python -m vae_sweep.report a"),
        (".venv/bin/vae-sweep", ".venv/bin/vae-sweep-report a"),
        ("/far/away/bin/vae-sweep-evaluate", "/far/away/bin/vae-sweep-report a"),
        ("HERE/env/bin/vae-sweep", "env/bin/vae-sweep-report a"),
        ("HERE/env/bin/python", "env/bin/python -m vae_sweep.report a"),
    ],
)
def test_commands_are_printed_as_they_were_called(
    called: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CALLED_AS, called.replace("HERE", str(tmp_path)))
    assert command("report", "a") == expected


def test_a_script_that_the_shell_finds_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vae-sweep", "vae-sweep-report"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv(CALLED_AS, str(tmp_path / "vae-sweep"))
    assert command("report") == "vae-sweep-report"


def test_every_door_is_listed_and_has_a_console_script() -> None:
    import tomllib

    package = ROOT / "vae_sweep"
    modules = {path.stem for path in package.glob("*.py") if "if __name__ ==" in path.read_text()} - {"__main__"}
    packages = {path.parent.name for path in package.glob("*/__main__.py")}
    assert modules | packages == set(DOORS)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == set(map(script, DOORS))


def test_a_reader_that_has_gone_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", broken)
        with pytest.raises(SystemExit) as end, door():
            print("to nobody")
    assert end.value.code == 141
    assert capfd.readouterr().err == ""


def test_the_working_folder_is_where_your_own_modules_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with door():
        assert sys.path[0] == str(tmp_path)


def shell(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "vae_sweep/plugins")])
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "PYTHON": sys.executable} | environ,
    )  # fmt: skip


def test_help_into_head_is_silent() -> None:
    done = shell('"$PYTHON" -m vae_sweep.run --help | head -1; echo "${PIPESTATUS[1]}"; "$PYTHON" -m vae_sweep')
    assert done.stderr == ""
    assert done.stdout.startswith("vae-sweep: which KL weight")
    assert f"vae-sweep {vae_sweep.__version__}" in done.stdout


@pytest.mark.slow
def test_tab_completes_the_console_script_in_bash(tmp_path: Path) -> None:
    """What bash does at Tab, without a terminal: the function that is registered, with the line so far."""
    program = tmp_path / "vae-sweep"
    program.write_text(f"#!{sys.executable}\nfrom vae_sweep.run import main\nmain()\n")
    program.chmod(0o755)
    line = """
        eval "$(vae-sweep -sc install=bash)" || exit 1
        complete -p vae-sweep >&2 || exit 1
        for COMP_LINE in "vae-sweep kl_schedule=cy" "vae-sweep -m loss.kl_w" "vae-sweep data=image"; do
            COMP_POINT=${#COMP_LINE}; words=($COMP_LINE); COMP_CWORD=$(( ${#words[@]} - 1 ))
            hydra_bash_completion
            echo "${COMPREPLY[@]}"
        done
    """
    done = shell(line, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.stdout.split() == ["kl_schedule=cyclical", "loss.kl_weight=", "data=image_folder"], done.stderr


def test_a_python_without_the_libraries_hands_over_to_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the package beside a .venv, run by a Python that finds no library (-S, -E): as in a fresh clone."""
    monkeypatch.delenv(CALLED_AS)
    package, python = tmp_path / "vae_sweep", tmp_path / ".venv/bin/python"
    package.mkdir()
    python.parent.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "commands.py", "environment.py"):
        shutil.copy(ROOT / "vae_sweep" / name, package / name)

    def bare() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-S", "-E", "-m", "vae_sweep"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    def refused(done: subprocess.CompletedProcess[str]) -> bool:
        return done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "torch" in done.stderr

    assert refused(bare())
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # which lacks them, too: it is not tried forever
    python.chmod(0o755)
    assert refused(bare())
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} "$@"\n')  # without -S -E
    done = bare()
    assert done.returncode == 0, done.stderr
    assert "-m vae_sweep.report" in done.stdout
