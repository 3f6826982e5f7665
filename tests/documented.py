"""The commands that README, docs and experiments show, read from them. Not a test."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
EXPERIMENTS = sorted(ROOT.glob("conf/experiment/*.yaml"))
PYTHON = "python3"


@dataclass(frozen=True)
class Command:
    """words: after `python3 -m`, such as ("vae_sweep.run", "-m", "loss.kl_weight=1"); optional parts are left out."""

    page: str
    words: tuple[str, ...]

    @property
    def module(self) -> str:
        return self.words[0]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands() -> list[Command]:
    """In the order of the pages, each once a page."""
    found = [Command(page.name, words) for page in [*PAGES, *EXPERIMENTS] for words in _of(page.read_text())]
    return list(dict.fromkeys(found))


def _of(text: str) -> list[tuple[str, ...]]:
    text = re.sub(r"\\\n\s+", "", text)  # continued lines
    lines = re.findall(rf"(?:^ {{4,}}|^#   |`|or: ){PYTHON} -m ((?:'[^'\n]*'|[^`\n('])+)", text, re.MULTILINE)
    return [tuple(shlex.split(re.sub(r"\[[A-Z-][^\]]*\]", "", line), comments=True)) for line in lines]
