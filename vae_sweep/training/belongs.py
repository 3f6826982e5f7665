"""What a run folder may have called when it is opened: nothing that is not, by its type, what belongs in that place.

A run folder may come from anybody, and its config names functions and classes by dotted paths. A command of one's own
is not checked so: there, whoever types the path means it.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from hydra.utils import get_object
from torch import nn
from torch.utils.data import Dataset

from vae_sweep.data.image_data import ImageData
from vae_sweep.models.divergences import Divergence
from vae_sweep.models.likelihoods import Likelihood
from vae_sweep.runs.files import RecordError
from vae_sweep.traits import DIVERGENCES, LIKELIHOODS, is_ours


def check_config(config: Mapping[str, Any]) -> None:
    """Raises RecordError for the first dotted path in a member's config that is not what belongs there."""
    loss = config["loss"]
    _check("model", config["model"], "a network (a torch module, or a function of image_shape)", _network)
    if config["objective"] != "autoencoder":
        _check("kl_schedule", config["kl_schedule"], "a schedule (a function of total_steps)", _schedule)
    _check("data", config["data"], "a data set (a function that returns ImageData)", _data_set)
    for key, names, kind in (("recon", LIKELIHOODS, Likelihood), ("divergence", DIVERGENCES, Divergence)):
        if key in loss and not is_ours(loss[key], names):
            section = {"_target_": loss[key]} if isinstance(loss[key], str) else loss[key]
            _check(f"loss.{key}", section, f"a {kind.__name__}", partial(_is_a, kind=kind))
    for path in _each(config["trainer"].get("metrics") or []):
        _check_one("trainer.metrics", path, "a metric (a function of objective, images and codes)", _metric)


def _check(key: str, section: Mapping[str, Any], what: str, belongs: Callable[[Any], bool]) -> None:
    target, *inner = _targets(section)
    part = ("a torch module or its settings", _part) if key != "data" else ("a torch Dataset or a transform", _items)
    for path, wanted, fits in ((target, what, belongs), *((path, *part) for path in inner)):
        _check_one(f"{key}._target_", path, wanted, fits)


def _check_one(key: str, path: Any, wanted: str, fits: Callable[[Any], bool]) -> None:
    try:
        found = get_object(str(path))
    except Exception:  # what cannot be imported cannot be called either
        return
    if not fits(found):
        raise RecordError(f"{key}={path}: is not {wanted}; it is not called")


def _each(paths: Any) -> list[Any]:
    return paths if isinstance(paths, list) else [paths]


def _targets(section: Mapping[str, Any]) -> Iterator[Any]:
    """The section's own, then those inside it at any depth."""
    yield section.get("_target_")
    stack: list[Any] = list(section.values())
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if "_target_" in node:
                yield node["_target_"]
            stack += node.values()
        elif isinstance(node, (list, tuple)):
            stack += node


def _network(thing: Any) -> bool:
    """A module, a class with its two methods, or a function: of image_shape, or of a file that deals in modules."""
    methods = all(callable(getattr(thing, name, None)) for name in ("encode", "decode"))
    takes = _takes(thing, "image_shape") or _takes(thing, "latent_dim")
    return _is_a(thing, nn.Module) or (_theirs(thing) and (methods or takes or _knows(thing, nn.Module)))


def _schedule(thing: Any) -> bool:
    return _is_a(thing, nn.Module) or (_theirs(thing) and _takes(thing, "total_steps"))


def _data_set(thing: Any) -> bool:
    return inspect.isfunction(thing) and _theirs(thing) and _knows(thing, ImageData)


def _part(thing: Any) -> bool:
    return _is_a(thing, nn.Module) or (_theirs(thing) and dataclasses.is_dataclass(thing))


def _items(thing: Any) -> bool:
    transform = inspect.isclass(thing) and thing.__module__.startswith("torchvision.transforms.")
    items = inspect.isclass(thing) and hasattr(thing, "__getitem__")
    return _is_a(thing, (Dataset, nn.Module)) or transform or (_theirs(thing) and (items or _knows(thing, Dataset)))


def _metric(thing: Any) -> bool:
    """A function of three things, the first by that name or in a file that deals in modules; of ours, by that name."""
    if not (inspect.isfunction(thing) and _theirs(thing)):
        return False
    try:
        named = [*inspect.signature(thing).bind(None, None, None).arguments]
    except TypeError:
        return False
    return named[0] == "objective" or (_package(thing) != _package(check_config) and _knows(thing, nn.Module))


def _theirs(thing: Any) -> bool:
    """Of this package or of somebody's own: not of Python, numpy or torch, which have much that does harm."""
    return _package(thing) not in {*sys.stdlib_module_names, "numpy", "torch", "torchvision", "scipy"}


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).split(".")[0]


def _knows(thing: Any, kind: type) -> bool:
    """Whether it says that it returns one, or the file that it is defined in has a name for the kind: another file
    could not make one."""
    said = getattr(thing, "__annotations__", {}).get("return")
    names = list(getattr(inspect.getmodule(thing), "__dict__", {}).values())
    modules = {name.__name__ for name in names if inspect.ismodule(name)} & {kind.__module__, "torch", "torch.nn"}
    return said == kind.__name__ or _is_a(said, kind) or any(_is_a(name, kind) for name in names) or bool(modules)


def _is_a(thing: Any, kind: type | tuple[type, ...]) -> bool:
    return inspect.isclass(thing) and issubclass(thing, kind)


def _takes(thing: Any, parameter: str) -> bool:
    try:
        return parameter in inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return False
