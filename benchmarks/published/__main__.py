"""Published figures beside those of a sweep: `python3 -m benchmarks.published NAME FOLDER`.

NAME: an experiment of conf/experiment/; FOLDER: the sweep that it made, ended or still under way.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Table
from benchmarks.published.curves import CURVES, Figure
from vae_sweep.runs.reading import Run, load_sweep


@dataclass(frozen=True)
class Row:
    """A published figure beside ours, None where the run has not come so far."""

    theirs: Figure
    ours: float | None

    @property
    def difference(self) -> float | None:
        """Relative to theirs, or in nats where the tolerance is."""
        if self.ours is None:
            return None
        difference = self.ours - self.theirs.value
        return difference if self.theirs.in_nats else difference / self.theirs.value

    @property
    def holds(self) -> bool | None:
        return None if self.difference is None else abs(self.difference) <= self.theirs.tolerance

    def cells(self) -> dict[str, Any]:
        shown = (lambda x: f"{x:+.2f} nats") if self.theirs.in_nats else (lambda x: f"{x:+.2%}")
        return {
            "figure": self.theirs.what,
            "theirs": f"{self.theirs.value:.2f}",
            "ours": "not there" if self.ours is None else f"{self.ours:.2f}",
            "difference": "" if self.difference is None else shown(self.difference),
            "within": {None: "", True: "yes", False: "NO"}[self.holds],
        }


def compared(figures: Iterable[Figure], runs: Sequence[Run]) -> list[Row]:
    """Each figure beside the row of metrics.jsonl at its step, of the first run at its KL weight."""
    rows = []
    for figure in figures:
        of_weight = [run for run in runs if run.config["loss"]["kl_weight"] == figure.kl_weight]
        found = [row for run in of_weight[:1] for row in run.rows() if row["step"] == figure.step and figure.key in row]
        rows.append(Row(figure, found[-1][figure.key] if found else None))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.published", description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=list(CURVES), metavar="NAME", help=f"of {', '.join(CURVES)}")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the sweep that the experiment made")
    asked = parser.parse_args(argv)
    rows = compared(CURVES[asked.name], load_sweep(asked.folder).runs)
    print(Table(asked.name, [row.cells() for row in rows]).markdown())
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
