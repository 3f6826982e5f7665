"""Figures of a benchmark: rows of a table, printed for a person, written as JSON for `benchmarks.run`."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """rows: one dictionary per line, all with the same columns. notes: what one must know to read it."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        columns = list(self.rows[0])
        lines = [columns, ["---"] * len(columns), *([_shown(row[column]) for column in columns] for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"**{self.title}**", table, *self.notes])


def parser(description: str) -> argparse.ArgumentParser:
    """What all benchmarks understand."""
    first, _, rest = description.partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def publish(tables: Sequence[Table], json_file: Path | None) -> None:
    """Print the tables, and write them as JSON where that is wanted."""
    for table in tables:
        print(table.markdown(), end="\n\n", flush=True)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(table) for table in tables], indent=1) + "\n")


def _shown(cell: Any) -> str:
    """Three digits that count."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
