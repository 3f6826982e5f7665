"""All benchmarks, one after another: `make bench`.

python3 -m benchmarks.run [--images FOLDER] [--only NAME ...] [--quick]

Writes benchmarks/results/<machine>.json, which keeps the figures of benchmarks that were not run this time, and puts
the tables of that file between the markers in docs/speed.md; the table of the sweep goes into the README, too.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = (
    "sweep",
    "arriving",
    "precision",
    "multi_rate",
    "overhead",
    "profile",
    "startup",
    "growth",
    "memory",
    "threads",
    "gpu",
)
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "pythae", "numpy", "pillow")
PAGES = {ROOT / "docs" / "speed.md": NAMES, ROOT / "README.md": ("sweep",)}


def machine() -> str:
    """What it is, not which: "2-core-x86_64-avx512bf16"."""
    from vae_sweep.cores import cores

    instructions = "-amx" if torch.cpu._is_amx_tile_supported() else ""
    instructions = instructions or ("-avx512bf16" if torch.cpu._is_avx512_bf16_supported() else "")
    gpu = f"-{torch.cuda.get_device_name()}".replace(" ", "_") if torch.cuda.is_available() else ""
    return f"{cores()}-core-{os.uname().machine}{instructions}{gpu}".lower()


def run(name: str, options: Sequence[str]) -> dict[str, Any]:
    """Figures of one benchmark, with its command and the load of the machine before and after. Raises SystemExit."""
    shown = ["python3", "-m", f"benchmarks.{name}", *("FOLDER" if os.sep in option else option for option in options)]
    print(f"\n--- {' '.join(shown)}", flush=True)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        figures = Path(scratch) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--json", str(figures)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise SystemExit(f"benchmarks.{name} failed")
        tables = json.loads(figures.read_text())
    load = [round(value, 2) for value in (before, os.getloadavg()[0])]
    return {"command": " ".join(shown), "load": load, "tables": tables}


def markdown(figures: dict[str, Any]) -> str:
    tables = "\n\n".join(Table(**table).markdown() for table in figures["tables"])
    before, after = figures["load"]
    return f"    {figures['command']}\n\n{tables}\n\nLoad of the machine before and after: {before}, {after}."


def put(text: str, name: str, content: str) -> str:
    """`text` with `content` between the markers of that name; as it is where there are none."""
    between = re.compile(rf"(<!-- bench:{name} -->).*?(<!-- /bench -->)", re.DOTALL)
    return between.sub(lambda found: f"{found[1]}\n\n{content}\n\n{found[2]}", text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=Path, help="folder of large files for the sweep; none: some are made")
    parser.add_argument("--rounds", type=int, default=3, help="of the sweep (default 3)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="does it run at all? Nothing is written")
    asked = parser.parse_args(argv)
    wanted = asked.only or [name for name in NAMES if name != "gpu" or torch.cuda.is_available()]
    path = RESULTS / f"{machine()}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"schema": 1, "machine": machine()}
    for name in wanted:
        options = ["--quick"] * asked.quick
        options += ["--images", str(asked.images.resolve())] if name in ("sweep", "arriving") and asked.images else []
        options += ["--rounds", str(asked.rounds)] if name == "sweep" else []
        options += ["--device", "cpu"] if name == "gpu" and not torch.cuda.is_available() else []
        figures = run(name, options) | {"versions": {package: version(package) for package in PACKAGES}}
        found.setdefault("benchmarks", {})[name] = figures
        if not asked.quick:
            RESULTS.mkdir(exist_ok=True)
            path.write_text(json.dumps(found, indent=1) + "\n")
            for page, names in PAGES.items():
                if name in names:
                    page.write_text(put(page.read_text(), name, markdown(figures)))


if __name__ == "__main__":
    main()
