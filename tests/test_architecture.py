"""The rooms and their order: a file imports only from lower floors. What CONTRIBUTING says, held."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vae_sweep"
FILES = [path for path in PACKAGE.rglob("*.py") if "plugins" not in path.parts]

LEAVES = ["environment", "__init__", "text", "checks", "cores", "conf_folder", "traits", "commands"]
ROOMS = [
    "theory", "schedules", "runs", "data", "models", "metrics", "engine", "evaluation", "analysis", "report",
    "tracking", "training", "sweep",
]  # fmt: skip
DOORS = ["run", "evaluate", "settings", "forecast", "check", "weights", "__main__"]
ORDER = [*LEAVES, *ROOMS, *DOORS]  # upwards
FLOORS = 7  # of rooms that rest on one another

# What may be imported before anything is trained, or to report: all but these files.
WITH_TORCH = (
    "models", "metrics", "evaluation", "training", "data/batches.py", "data/augment.py", "schedules/controllers.py",
)  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Modules and names that a file imports, anywhere in it: `a.b`, and `a.b.c` of `from a.b import c`. Not types."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    types = [node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    for node in set(nodes) - {inner for block in types for inner in ast.walk(block)}:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(path: Path) -> set[str]:
    """Rooms that a file imports from, other than its own."""
    found = {name.split(".")[1] for name in imported(path) if name.startswith("vae_sweep.")}
    return {name if name in ORDER else "__init__" for name in found} - {room(path)}  # else: vae_sweep.__version__


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_lower_floors(path):
    assert room(path) in ORDER, "a new room, leaf or door wants a place in the order"
    assert [name for name in arrows(path) if ORDER.index(name) >= ORDER.index(room(path))] == []


def test_there_are_no_more_floors_than_a_person_can_climb():
    below = {name: set().union(*(arrows(path) for path in FILES if room(path) == name)) for name in ORDER}
    floors: dict[str, int] = {}
    for name in ORDER:
        floors[name] = 1 + max((floors[other] for other in below[name]), default=0)
    assert max(floors.values()) <= FLOORS, floors


def test_neither_the_parent_of_a_sweep_nor_the_report_loads_torch():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py" and not str(path.relative_to(PACKAGE)).startswith(WITH_TORCH)
    ]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"'torch'", "'pytorch_lightning'", "'wandb'"} & set(loaded.strip("[]\n").split(", "))


def test_one_file_imports_wandb():
    assert [path.name for path in FILES if "wandb" in set(imported(path))] == ["tracker.py"]


def test_texts_are_utf_8_in_any_locale():
    assert [path.name for path in FILES if ".read_text()" in path.read_text("utf-8")] == []


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name not in ("dev", "bench")}
    wanted = [*project["dependencies"], *(requirement for found in extras.values() for requirement in found)]
    declared = {re.split(r"[<>=!~\[ ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    names = {name.split(".")[0] for path in PACKAGE.rglob("*.py") for name in imported(path)}
    foreign = names - set(sys.stdlib_module_names) - {"vae_sweep", "hydra_plugins"}
    packages = metadata.packages_distributions()
    undeclared = {
        name
        for name in foreign
        if not {found.lower().replace("_", "-") for found in packages.get(name, [name])} & declared
    }
    assert undeclared == set()
