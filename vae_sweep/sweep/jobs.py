"""From Hydra's composed config to a job of the sweep: where its types end and plain dictionaries begin."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException
from omegaconf.resolvers import oc

from vae_sweep.conf_folder import CONF
from vae_sweep.runs import withheld
from vae_sweep.runs.nested import at
from vae_sweep.sweep.overrides import read_conf
from vae_sweep.sweep.run_sweep import Job
from vae_sweep.sweep.settings import CHECKS, SettingsError


def job_of(config: DictConfig) -> Job:
    """A job from a config that still has its `hydra` node. Raises SettingsError for a key that has no value yet."""
    hydra = config.hydra
    task = config.copy()
    with open_dict(task):
        del task["hydra"]
    typed: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    overrides = [str(override) for override in typed]
    hydra_files = {
        "config.yaml": OmegaConf.to_yaml(task),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(config, "hydra")),
        "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(overrides)),
    }
    plain = _plain(task)
    if withheld.KEY in plain:
        raise SettingsError(f"{withheld.KEY}: no such setting")
    return Job(plain, tuple(overrides), hydra_files, _withheld(task, plain))


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        raise SettingsError(f"{error.full_key}: needs a value, none was given") from None
    except InterpolationResolutionError as error:
        raise SettingsError(f"{error.full_key}: {withheld.why(error)}") from None
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from None


def _withheld(task: DictConfig, plain: Mapping[str, Any]) -> dict[str, str]:
    """key -> interpolation, of the values that the environment is asked for and that are not to be written."""
    found = {}
    for path, text in _interpolations(OmegaConf.to_container(task, resolve=False)):
        value = at(plain, path)
        if not _is_told(path, value) and _asks_the_environment(task, path):
            key = ".".join(map(str, path))
            if len(path) == 1 and key not in CHECKS:
                raise SettingsError(f"{key}={text}: a section of settings; its keys may come from the environment")
            if any("." in str(word) for word in path):
                raise SettingsError(f"{key}={text}: a name with a point has no value of the environment")
            found[key] = text
    return found


def _interpolations(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(node, (dict, list)):
        for word, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _interpolations(inner, (*path, word))
    elif isinstance(node, str) and "${" in node:
        yield path, node


def _is_told(path: tuple[str | int, ...], value: Any) -> bool:
    """Whether a value is one of our settings' numbers or names, which readers of the sweep ask for and which are no
    secret: not a text that may be anything, nor a value of somebody else's class."""
    key = ".".join(word for word in path if isinstance(word, str))
    if key.split(".")[-1] == "_target_":
        return isinstance(value, str)
    if isinstance(value, list):
        return bool(value) and all(_is_told(path, item) for item in value)
    if isinstance(value, str):
        return key in CHECKS and CHECKS[key]("a text") is not None
    return key in read_conf(CONF).keys and not isinstance(value, dict)


def _asks_the_environment(task: DictConfig, path: tuple[str | int, ...]) -> bool:
    """By itself, or through another value that it is made of."""
    with _listening() as asked:
        node = at(task, path)
        if OmegaConf.is_config(node):
            OmegaConf.to_container(node, resolve=True)
    return bool(asked)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The names of variables that are asked for meanwhile."""
    asked: list[str] = []

    def env(key: str, *default: Any) -> str | None:
        asked.append(key)
        return oc.env(key, *default)

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    try:
        yield asked
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
