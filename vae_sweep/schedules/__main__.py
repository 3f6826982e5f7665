"""Preview a KL schedule:  python3 -m vae_sweep.schedules linear warmup=0.3 --steps 1000 --out schedule.svg"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from vae_sweep.commands import Parser, door
from vae_sweep.schedules.preview import CONTROLLERS, SCHEDULES, curve, parameters, svg, text
from vae_sweep.text import inert


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        return _main(parser().parse_args(arguments))


def parser() -> argparse.ArgumentParser:
    controllers = f"controllers, shown on a linear model: {', '.join(CONTROLLERS)}"
    found = Parser(
        "schedules", "Draw the KL weight of a schedule over a run.", f"schedules: {_listed()}; {controllers}"
    )
    found.add_argument("name", help="the schedule, as in kl_schedule=NAME")
    found.add_argument("settings", nargs="*", metavar="key=value", help="its settings, as in kl_schedule.key")
    found.add_argument("--steps", type=int, default=1000, help="optimiser steps of the run (1000)")
    found.add_argument("--kl-weight", type=float, default=1.0, help="loss.kl_weight (1)")
    found.add_argument("--out", type=Path, help="write the picture to this SVG file")
    return found


def _main(options: argparse.Namespace) -> int:
    try:
        if options.out and options.out.suffix != ".svg":
            raise ValueError(f"--out {options.out}: expected a name that ends in .svg")
        settings = dict(_setting(given) for given in options.settings)
        drawn = curve(options.name, options.steps, options.kl_weight, **settings)
        if options.out:
            options.out.write_text(svg(drawn), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"error: {inert(error)}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}" if options.out else text(drawn))
    return 0


def _setting(given: str) -> tuple[str, object]:
    key, equals, value = given.partition("=")
    if not equals:
        raise ValueError(f"{given}: expected key=value")
    return key.removeprefix("kl_schedule."), yaml.safe_load(value)


def _listed() -> str:
    def shown(name: str) -> str:
        settings = parameters(SCHEDULES[name])
        given = (f"{k}={v}" for k, v in settings.items() if v is not None)
        return " ".join([name, *given])

    return "; ".join(map(shown, SCHEDULES))


if __name__ == "__main__":
    sys.exit(main())
