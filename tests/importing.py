"""The import path of processes that tests start: this working tree and what else they need. Not a test."""

import os
from pathlib import Path

HERE = Path(__file__).parent
_OURS = [str(HERE.parent), str(HERE.parent / "vae_sweep" / "plugins")]


def path(*folders: Path | str) -> str:
    """A PYTHONPATH: `folders`, then the working tree, whichever copy of the package is installed."""
    return os.pathsep.join([*map(str, folders), *_OURS])
