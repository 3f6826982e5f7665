"""The glossary: one file, glossary.toml, read by the report and written out as docs/metrics.md.

python3 -m vae_sweep.analysis.glossary > docs/metrics.md
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from textwrap import fill


@dataclass(frozen=True)
class Entry:
    """column: full names, `val/psnr_mean`, of what the run table shows of it. chart: the title of its training curves,
    if it is logged and drawn."""

    key: str
    name: str
    formula: str
    unit: str
    source: str
    column: tuple[str, ...] = ()
    chart: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    about: str
    entries: list[Entry]


@cache
def load() -> list[Group]:
    text = files("vae_sweep.analysis").joinpath("glossary.toml").read_text(encoding="utf-8")
    return [
        Group(
            group["title"],
            group["about"],
            [Entry(**entry | {"column": tuple(entry.get("column", ()))}) for entry in group["entry"]],
        )
        for group in tomllib.loads(text)["group"]
    ]


def keys() -> set[str]:
    """Every key that is explained, combined spellings such as `sse(_mean), nll_1, nll_10` taken apart."""
    found = set()
    for group in load():
        for entry in group.entries:
            words = re.sub(r"[(),]", " ", entry.key).split()
            stems = [word for word in words if not word.startswith("_")]
            found |= set(stems) | {stem + tail for stem in stems for tail in words if tail.startswith("_")}
    return found


def columns() -> list[str]:
    """Full names of the metrics in the run table."""
    return [name for group in load() for entry in group.entries for name in entry.column]


def charts() -> dict[str, str]:
    """{key in a run's rows, without its split: title} of the training curves."""
    return {entry.key: entry.chart for group in load() for entry in group.entries if entry.chart}


def markdown() -> str:
    """docs/metrics.md"""
    lines = [
        "# Metrics",
        "",
        "Written from `vae_sweep/analysis/glossary.toml` by `python3 -m vae_sweep.analysis.glossary`.",
        "",
    ]
    for group in load():
        lines += [
            f"## {group.title}",
            "",
            fill(group.about, 120, break_on_hyphens=False),
            "",
            "| key | what | formula | unit | source |",
            "|---|---|---|---|---|",
        ]
        for e in group.entries:
            cells = [f"`{e.key}`", e.name, f"`{e.formula.replace('|', chr(92) + '|')}`", e.unit, e.source]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(), end="")
