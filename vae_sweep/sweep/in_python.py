"""What is written in Python as the words that a command line would have: names, values, paths, arrays and classes."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.checks import SettingsError
from vae_sweep.runs.nested import flatten
from vae_sweep.sweep.overrides import Conf
from vae_sweep.sweep.typed import quoted

_OURS = "vae_sweep."


def words(settings: Mapping[str, Any], known: Conf) -> dict[str, list[str]]:
    """{"kl_weight": [1, 0.1]} -> {"loss.kl_weight": ["1", "0.1"]}: the values of every key, as Hydra reads them.

    A key may be written by its last word where that is one key's alone. A list is several values, but for a key that
    holds a list (`model.hidden`), of which a list of lists is. Raises SettingsError.
    """
    found: dict[str, list[str]] = {}
    for name, value in settings.items():
        for key, part in _expanded(_full_name(name, known), value, known):
            found[key] = [shown(one) for one in _several(part, known.default_of(key))]
    return found


def combinations(values: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The overrides of every member, in the order of Hydra's own grid: the last key varies fastest."""
    return [
        [f"{key}={value}" for key, value in zip(values, chosen, strict=True)] for chosen in product(*values.values())
    ]


def shown(value: Any) -> str:
    """A value as Hydra's grammar reads it back."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{shown(part)}' for key, part in value.items())}}}"
    if isinstance(value, type) or callable(value):
        return dotted_path(value)
    return quoted(str(value))


def dotted_path(thing: Any) -> str:
    """Of a class or function that another process can import. Raises SettingsError for what it cannot."""
    name = getattr(thing, "__qualname__", None)
    if name is None:
        raise SettingsError(
            f"model: an object of {type(thing).__name__}; every member makes its own: name the class, and its"
            f" parameters as model={{'_target_': 'my.Net', 'width': 8}}"
        )
    module = thing.__module__
    if module == "__main__" or "<" in name:
        raise SettingsError(
            f"{name}: members train in processes of their own, which import it: put it into a file beside this one,"
            f" and import it from there"
        )
    return f"{module}.{name}"


def _full_name(name: str, known: Conf) -> str:
    """The dotted key that ends with this word: of those that there always are, else of the options of groups."""
    if name in known.names or "." in name:
        return name
    found = sorted(key for key in known.keys if key.rsplit(".", 1)[-1] == name)
    found = [key for key in found if key in known.defaults] or found
    if len(found) > 1:
        raise SettingsError(f"{name}: which of {', '.join(found)}? **{{'{found[0]}': ...}} says so")
    return found[0] if found else name


def _expanded(key: str, value: Any, known: Conf) -> Iterator[tuple[str, Any]]:
    """Sections by their keys; `data` and `model` by what they are made of."""
    if key == "data" and isinstance(value, Mapping) and not str(value.get("_target_", "vae_sweep.")).startswith(_OURS):
        yield from (("data", "own"), ("data.dataset._target_", value["_target_"]))
        yield from ((f"+data.dataset.{name}", part) for name, part in flatten(value).items() if name != "_target_")
    elif isinstance(value, Mapping) and key in known.sections:
        target = value.get("_target_")
        if key == "model" and target is not None:
            yield from _expanded(key, target, known)
        for name, part in flatten({k: v for k, v in value.items() if target is None or k != "_target_"}).items():
            whole = f"{key}.{name}"
            yield (f"+{whole}" if target is not None and whole not in known.groups[key].get("own", {}) else whole), part
    elif key == "model" and not isinstance(value, (list, tuple)):
        path = value if isinstance(value, str) else dotted_path(value)
        if "." in path:
            yield "model", "own"
            yield "model._target_", path
        else:
            yield "model", path
    elif key == "data":
        yield from _data(value, known)
    else:
        yield key, value


def _data(value: Any, known: Conf) -> Iterator[tuple[str, Any]]:
    """A name of ours as it is; pictures by where they lie, or themselves."""
    if isinstance(value, np.ndarray):
        yield from (("data", "arrays"), ("data.path", str(_kept(value))))
    elif hasattr(value, "__getitem__") and not isinstance(value, (str, list, tuple)):
        raise SettingsError(
            f"data: an object of {type(value).__name__}; every process makes its own: name the class, and its"
            " arguments, as data={'_target_': 'my.Set', 'root': ...}"
        )
    elif isinstance(value, os.PathLike) or (isinstance(value, str) and value not in known.groups["data"]):
        from vae_sweep.data.shards import loader_of, shards_of

        path = Path(value).expanduser()
        if not path.exists() and not shards_of(path, ()):  # nor a pattern of files
            names = ", ".join(sorted(known.groups["data"]))
            raise SettingsError(f"data={value}: no such file or folder, and no name of a data set ({names})")
        loader, setting = loader_of(path)
        yield from (("data", loader), (setting, str(path.absolute())))
    else:
        yield "data", value


def _kept(images: np.ndarray) -> Path:
    """Images as a file in the cache, where the processes that train find them. Named by their content."""
    from vae_sweep.data.cache import cached_folder, resolve_cache_dir

    if images.dtype.hasobject:
        raise SettingsError("data: an array of Python objects; images are numbers (N, H, W, C)")
    content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    key = {"kind": "array", "content": content, "shape": images.shape, "dtype": images.dtype.str}
    folder = cached_folder(
        resolve_cache_dir(None),
        json.loads(json.dumps(key)),
        "array",
        lambda folder: np.save(folder / "array.npy", images),
    )
    return folder / "array.npy"


def _several(value: Any, default: Any) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list) or (isinstance(default, list) and not any(isinstance(v, list) for v in value)):
        return [value]
    if not value:
        raise SettingsError("an empty list has no value to sweep")
    return value
