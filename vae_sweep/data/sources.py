"""The source that a dotted path such as `my_package.sets.MyDataset` stands for, found without running any of it."""

import hashlib
import importlib.util
from importlib.machinery import PathFinder
from pathlib import Path


def source_digest(dotted: str) -> str:
    """Hex, of the files of `sources_of`; "" if there are none. Other names and other texts give another."""
    total = hashlib.sha256()
    files = sources_of(dotted)
    for file in files:
        content = file.read_bytes()
        total.update(f"{file.name} {len(content)}\n".encode() + content)
    return total.hexdigest() if files else ""


def sources_of(dotted: str) -> list[Path]:
    """The file of the module that the path leads into; of a package, all that lie in its folder: its names may be those
    of any of them."""
    first, *others = dotted.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        spec = None
    for name in others:
        folders = spec.submodule_search_locations if spec is not None else None
        # Not importlib.util.find_spec, which imports the packages that a module lies in.
        inner = PathFinder.find_spec(name, list(folders)) if folders else None
        if inner is None:
            break
        spec = inner
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return []
    file = Path(spec.origin)
    found = sorted(file.parent.glob("*.py")) if spec.submodule_search_locations else [file]
    return [path for path in found if path.is_file()]
