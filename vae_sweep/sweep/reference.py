"""The settings, as docs/settings.md has them: from conf/ and its comments, the checks, and the identity of members.

A comment is one line for one key: `key: value  # [unit] what it is`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import yaml

from vae_sweep.runs.members import LENGTH, config_that_matters
from vae_sweep.runs.nested import flatten
from vae_sweep.sweep.settings import CHECKS

_ENTRY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?P<value>[^#]*)(?:# *(?P<comment>.*))?$")
_HIDDEN = ("_target_", "defaults", "hydra")
_GROUPS = {
    "data": "What the images are",
    "model": "The network",
    "kl_schedule": "The weight over the run",
    "optimizer": "How it is trained",
    "experiment": "Ready-made",
    "hydra/launcher": "Where it runs",
    "hydra/sweeper": "Which weights are visited",
}


# By the code, since Hydra has one of that name, and warns of a file.
_REGISTERED = {"hydra/launcher": "**`hydra/launcher=basic`**: One run after another in this process, for debuggers."}


@dataclass(frozen=True)
class Setting:
    """key: dotted; default: as it is typed; unit: "" where there is none; values: what is accepted, "" if unknown."""

    key: str
    default: str
    unit: str
    what: str
    values: str
    changes: str


def read_comments(path: Path) -> tuple[str, dict[str, str]]:
    """(what the head of a yaml file says, the comment of every dotted key; "" without one)."""
    head: list[str] = []
    comments: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    in_words = True
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#") and not comments:
            in_words &= not line.startswith("#  ")  # what is indented is a command; what follows it, details
            head += [line.lstrip("# ")] * in_words
        elif found := _ENTRY.match(line):
            depth = len(found["indent"])
            parents = [(at, key) for at, key in parents if at < depth] + [(depth, found["key"])]
            comments[".".join(key for _, key in parents)] = (found["comment"] or "").strip()
    return " ".join(line for line in head if not line.startswith("@")), comments


def settings_of(path: Path, prefix: str, base: Mapping[str, Any]) -> list[Setting]:
    """The settings of one yaml file. prefix: of its keys; base: the whole default config, nested."""
    _, comments = read_comments(path)
    content = yaml.safe_load(path.read_text("utf-8")) or {}
    found = []
    for key, value in flatten(content).items():
        if key.split(".")[0] in _HIDDEN or key in _HIDDEN:
            continue
        unit, what = re.match(r"(?:\[([^\]]*)\] *)?(.*)", comments.get(key, "")).groups()  # type: ignore[union-attr]
        name = prefix + key
        found.append(Setting(name, _shown(value), unit or "", what, _values(name), _changes(name, base)))
    return found


def default_config(conf: Path) -> dict[str, Any]:
    """config.yaml with its default groups, nested and unresolved."""
    config = yaml.safe_load((conf / "config.yaml").read_text("utf-8"))
    for entry in config.pop("defaults"):
        for group, option in entry.items() if isinstance(entry, dict) else ():
            if option is not None and not group.startswith("override "):
                config[group] = yaml.safe_load((conf / group / f"{option}.yaml").read_text("utf-8"))
    config.pop("hydra")
    return config


def markdown(conf: Path) -> str:
    """docs/settings.md"""
    base = default_config(conf)
    parts = [
        "# Settings",
        "",
        "Written from `conf/` by `python3 -m vae_sweep.settings`.",
        "",
        "Typed after the command as `key=value`; with `-m`, `key=value,value` sweeps it. *Changes* says whether",
        "another value makes another member of a sweep, with other numbers, or the same one in another place or way.",
        "(Images are known by their contents, so `data.root` and `data.path` may move.) `null` is no value, `???` must",
        "be given. A network of your own has its own settings besides: [your own network](own_model.md).",
        "",
        "## Everywhere",
        "",
        *_table(settings_of(conf / "config.yaml", "", base)),
    ]
    for group, title in _GROUPS.items():
        parts += ["", f"## {title}: `{group}=`", ""]
        parts += [_REGISTERED[group], ""] if group in _REGISTERED else []
        for path in sorted((conf / group).glob("*.yaml")):
            head, _ = read_comments(path)
            rows = [] if group == "experiment" else settings_of(path, _prefix(group), base | _option(group, path))
            parts += [fill(f"**`{group}={path.stem}`**: {_first_sentence(head)}", 120, break_on_hyphens=False), ""]
            parts += [*_table(rows), ""] if rows else []
        parts.pop()
    return "\n".join(parts) + "\n"


def _prefix(group: str) -> str:
    return f"{group.replace('/', '.')}."


def _option(group: str, path: Path) -> dict[str, Any]:
    return {group: yaml.safe_load(path.read_text("utf-8"))} if "/" not in group else {}


def _table(settings: list[Setting]) -> Iterator[str]:
    yield "| key | default | what | unit | values | changes |"
    yield "|---|---|---|---|---|---|"
    for s in settings:
        cells = [f"`{s.key}`", f"`{s.default}`", s.what, s.unit, s.values, s.changes]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _values(key: str) -> str:
    """What its check accepts, in words."""
    if key not in CHECKS:
        return ""
    expected = re.sub(r"^(one of|a number|a whole number(?= >)) *", "", CHECKS[key](object()) or "")
    return ", ".join(dict.fromkeys(expected.split(", ")))  # 32 and "32" are one


def _changes(key: str, base: Mapping[str, Any]) -> str:
    """Whether the setting is part of a member's identity: asked of the very function that makes it."""
    if key in {f"trainer.{name}" for name in LENGTH}:
        return "how far the member goes"
    kinds: dict[str, dict[str, Any]] = {
        "vae": {"objective": "vae"},
        "autoencoder": {"objective": "autoencoder"},
        "multi-rate": {"objective": "vae", "model": {**base["model"], "multi_rate": True}},
    }
    matters = {kind for kind, change in kinds.items() if key in flatten(config_that_matters({**base, **change}))}
    if not matters:
        return "only where it runs"
    if matters == set(kinds):
        return "the member"
    if matters == {"multi-rate"}:
        return "the member, if multi-rate"
    if "multi-rate" not in matters:
        return "the member, if a VAE of one weight"
    return "the member, if a VAE"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.?])(?<!\bal\.) (?=[A-Z])|\s{2,}", text)[0]
