"""The run table: what differs between the configurations, and what came out; a row per run, in the page and the CSV."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from vae_sweep.analysis import glossary
from vae_sweep.analysis.point import Point, name_of, short
from vae_sweep.analysis.study import SPLITS, Study
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.text import cell


@dataclass(frozen=True)
class Column:
    """`key`: a dotted setting, or "val/kl"; `numeric` tells how it sorts."""

    key: str
    title: str
    numeric: bool


def settings_columns(study: Study) -> list[Column]:
    """The swept keys, named by their last word unless two share it."""
    names = [name_of(key) for key in study.swept]
    return [
        Column(key, key if names.count(name) > 1 else name, _numeric(study, key))
        for key, name in zip(study.swept, names, strict=True)
    ]


def _numeric(study: Study, key: str) -> bool:
    values = [p.settings[key] for p in study.points if key in p.settings]
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def result_columns(study: Study) -> list[Column]:
    """The glossary's, and metrics of other packages (trainer.metrics), that at least one run has."""
    own = dict.fromkeys(f"val/{name}" for p in study.points for name in p.evaluation.get("own_metrics", []))
    return [
        Column(name, name.replace("/", " "), True)
        for name in (*glossary.columns(), *own)
        if any(value(p, name) is not None for p in study.points)
    ]


def value(point: Point, key: str) -> Any:
    """A cell's raw value: a setting, or a metric by its full name."""
    split, _, name = key.partition("/")
    return point.get(split, name) if split in SPLITS and name else point.settings.get(key)


def summary_csv(study: Study, verdicts: dict[str, list[Finding]]) -> str:
    """One row per run: identity, differing settings, status, verdict, then every final metric of both splits."""
    names = {split: sorted({name for p in study.points for name in p.metric_names(split)}) for split in SPLITS}
    metrics = [f"{split}/{name}" for split in SPLITS for name in names[split]]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["number", "id", "folder", *study.swept, "status", "verdict", "steps", "wall_s", *metrics])
    for p in sorted(study.points, key=lambda p: p.run.number):
        result, verdict = p.run.result, "; ".join(f.words for f in verdicts.get(p.id, []))
        settings = [cell(short(p.settings[key])) if key in p.settings else "" for key in study.swept]
        numbers = ["" if (v := value(p, key)) is None else repr(v) for key in metrics]
        writer.writerow([p.run.number, p.id, cell(p.run.folder.name), *settings, p.status, cell(verdict),
                         result.get("steps", ""), result.get("wall_s", ""), *numbers])  # fmt: skip
    return out.getvalue()
