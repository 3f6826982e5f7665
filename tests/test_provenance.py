"""Of which checkout the package is."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vae_sweep.sweep import provenance


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_is_that_of_the_package_and_not_of_a_checkout_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    for place in ("own", ".venv"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "provenance.py").touch()
    (tmp_path / ".gitignore").write_text(".venv")
    git("add", ".")
    git("commit", "-qm", "x")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / ".venv" / "provenance.py"))
    assert provenance.git_commit() is None
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "own" / "provenance.py"))
    assert provenance.git_commit() == git("rev-parse", "HEAD")
