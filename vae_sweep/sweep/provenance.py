"""Where a sweep came from: commands, versions, commit, machine. Asked without importing what is asked about."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vae_sweep import commands
from vae_sweep.cores import cores
from vae_sweep.engine.slots import gpu_memory
from vae_sweep.runs.files import append_row
from vae_sweep.runs.reading import COMMANDS

_PACKAGES = ("vae-sweep", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "wandb")


def note_command(folder: Path, typed: Sequence[str]) -> None:
    """Add the command line (sys.argv) that began or continued the sweep to its list, with what it ran on."""
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": commands.command("run", *typed[1:]),
        "cwd": os.getcwd(),
        "git_commit": git_commit(),
        "versions": versions(),
        "host": platform.node(),
    }
    append_row(folder / COMMANDS, row)


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the checkout that this package runs from, with "-dirty" if it was changed; None if it is installed."""
    own = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(own.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", own.name)  # an environment may lie in somebody's own checkout
        return git("describe", "--always", "--abbrev=40", "--dirty") or None
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Host, processor, cores that may be used, bytes of memory, and bytes of memory of every GPU."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpu_memory(),
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()
