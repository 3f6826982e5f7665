"""The jobs of a sweep from what was typed for each: composed by Hydra once for every kind, not once for every job.

Jobs are of one kind if they choose the same options of the same groups and differ only in values that are numbers,
words or lists of those, at keys that their composed config has. Hydra composes the first of a kind; the values of the
others are put where the first has its own. Whatever is less plain than that (a dictionary, `~key`, a config with
interpolations, in which one value may be made of another) is composed by Hydra job by job.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_sweep.runs.nested import with_value
from vae_sweep.sweep.jobs import job_of
from vae_sweep.sweep.run_sweep import Job

Compose = Callable[[Sequence[str], int], DictConfig]  # (overrides, number of the job) -> its config with `hydra`

_PLAIN = re.compile(r"(?P<plus>\+{0,2})(?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=(?P<value>.*)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*([eE][+-]?\d+)?|\d+[eE][+-]?\d+)")
_TOKEN = "VALUE{}OFTHEJOB"
_NUMBER = "98765432123456789"  # stands for the job's


def composed(
    job_overrides: Sequence[Sequence[str]], first: int, compose: Compose, is_group: Callable[[str], bool]
) -> Iterator[Job]:
    """The jobs, numbered on from `first`. is_group: whether a key is that of a config group.

    Raises what Hydra raises for a job that cannot be composed, and SettingsError for a key without a value.
    """
    kinds: dict[tuple[str, ...], _Kind | None] = {}
    is_group = functools.cache(is_group)
    for number, overrides in enumerate(job_overrides, start=first):
        words = [_split(override, is_group) for override in overrides]
        name = tuple(word.name for word in words)
        if name not in kinds:
            config = compose(overrides, number)
            job = job_of(config)
            kinds[name] = _Kind.of(config, job, words)
            yield job
            continue
        kind = kinds[name]
        yield job_of(compose(overrides, number)) if kind is None else kind.job(words, overrides, number)


@dataclass(frozen=True)
class _Word:
    """An override. name: all of it, or of one that merely sets a value what stands before that; path: of its key."""

    name: str
    path: tuple[str, ...] = ()
    value: Any = None


def _split(override: str, is_group: Callable[[str], bool]) -> _Word:
    found = _PLAIN.fullmatch(override)
    if found is None or found["key"].startswith("hydra") or is_group(found["key"]):
        return _Word(override)
    value = _value(override, found["value"])
    if not _is_plain(value):
        return _Word(override)
    return _Word(f"{found['plus']}{found['key']}=", tuple(found["key"].split(".")), value)


def _value(override: str, text: str) -> Any:
    """As Hydra's grammar reads it; of numbers without asking, since that takes a millisecond."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _parsed(override)


@functools.lru_cache(maxsize=4096)
def _parsed(override: str) -> Any:
    return OverridesParser.create().parse_override(override).value()


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) and not isinstance(item, (list, tuple)) for item in value)
    if isinstance(value, str):
        return "${" not in value and value != "???"
    return value is None or isinstance(value, (bool, int, float))


@dataclass(frozen=True)
class _Kind:
    """What jobs of one kind have in common. config: of the first; texts: its files, with tokens for what differs."""

    config: dict[str, Any]
    texts: dict[str, str]
    dirname: Mapping[str, Any]  # hydra.job.config.override_dirname

    @classmethod
    def of(cls, config: DictConfig, job: Job, words: Sequence[_Word]) -> "_Kind | None":
        """None if jobs like this one are to be composed one by one."""
        paths = [word.path for word in words if word.path]
        if "${" in job.hydra_files["config.yaml"]:
            return None
        if any(not word.path and _is_intricate(word.name) for word in words):
            return None
        if not all(_is_leaf(job.config, path) for path in paths):
            return None
        marked = config.copy()
        with open_dict(marked):
            for place, path in enumerate(paths):
                OmegaConf.update(marked, ".".join(path), _TOKEN.format(place), merge=False)
            marked.hydra.job.id = marked.hydra.job.num = int(_NUMBER)
            marked.hydra.job.override_dirname = _TOKEN.format("DIRNAME")
            marked.hydra.overrides.task = [_TOKEN.format("OVERRIDES")]
        dirname = OmegaConf.to_container(config.hydra.job.config.override_dirname, resolve=True)
        return cls(job.config, dict(job_of(marked).hydra_files), dirname)  # type: ignore[arg-type]

    def job(self, words: Sequence[_Word], overrides: Sequence[str], number: int) -> Job:
        config = self.config
        for word in words:
            if word.path:
                config = with_value(config, word.path, word.value)
        return Job(config, tuple(overrides), _Files(self, words, overrides, number))


@dataclass(frozen=True)
class _Files(Mapping[str, str]):
    """The job's `.hydra/`, written when it is read."""

    kind: _Kind
    words: Sequence[_Word]
    overrides: Sequence[str]
    number: int

    def __iter__(self) -> Iterator[str]:
        return iter(self.kind.texts)

    def __len__(self) -> int:
        return len(self.kind.texts)

    def __getitem__(self, name: str) -> str:
        text = self.kind.texts[name]
        if name == "overrides.yaml":
            return "".join(f"- {_yaml(override)}\n" for override in self.overrides)
        if name == "config.yaml":
            values = [word.value for word in self.words if word.path]
            for place, value in enumerate(values):
                text = text.replace(_TOKEN.format(place), _yaml(value))
            return text
        text = text.replace(_NUMBER, str(self.number)).replace(_TOKEN.format("DIRNAME"), _yaml(self._dirname()))
        typed = re.compile(rf"^(\s*)- {_TOKEN.format('OVERRIDES')}\n", re.MULTILINE)
        return typed.sub(lambda at: "".join(f"{at[1]}- {_yaml(override)}\n" for override in self.overrides), text)

    def _dirname(self) -> str:
        """As hydra.core.override_parser's get_overrides_dirname has it."""
        said = self.kind.dirname
        kept = [o for o in self.overrides if o.partition("=")[0].lstrip("+~") not in said["exclude_keys"]]
        return re.sub("[=]", said["kv_sep"], said["item_sep"].join(sorted(kept)))


def _is_intricate(override: str) -> bool:
    """Hydra's own keys, and dictionaries: those are merged into what other overrides set, in their order."""
    return "{" in override or override.lstrip("+~").startswith("hydra")


def _is_leaf(config: Mapping[str, Any], path: Sequence[str]) -> bool:
    node: Any = config
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return not isinstance(node, Mapping)


def _yaml(value: Any) -> str:
    return _dumped(value) if isinstance(value, str) else _dump(value)


def _dump(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n...\n").removesuffix("\n")


_dumped = functools.lru_cache(maxsize=4096)(_dump)  # of words alone: 1 and 1.0 and true are one key
