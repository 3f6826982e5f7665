"""Ctrl-C at any moment before a command trains: one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from marks import slow

# Raised where the module begins to be imported: before the command, in the midst of its imports, or while it composes.
MOMENTS = [
    "vae_sweep.commands",
    "hydra",
    "omegaconf.omegaconf",
    "vae_sweep.sweep.overrides",
    "vae_sweep.sweep.run_sweep",
]


@pytest.mark.parametrize("module", [MOMENTS[-1], *slow(*MOMENTS[:-1])])
def test_ctrl_c_while_a_command_is_imported_is_one_line(module: str, tmp_path: Path) -> None:
    """By a Python that sends itself the signal when it comes to a module, as a person may at any moment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class At:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r} and sys.argv[0] != '-c':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, At())\n"
    )
    environ = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"}
    command = [sys.executable, "-m", "vae_sweep.run", "-m", "data.n_images=40", f"output_dir={tmp_path / 'outputs'}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in the background of a script
    )  # fmt: skip
    assert done.stderr == "interrupted\n"
    assert done.returncode in (130, -signal.SIGINT)
    assert not (tmp_path / "outputs").exists()
