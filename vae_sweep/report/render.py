"""The page and the Markdown summary from their templates. Autoescape is on: every string of a user is text."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from vae_sweep.analysis import compare, glossary, multi_rate, table
from vae_sweep.analysis.answer import Answer
from vae_sweep.analysis.blur import blur
from vae_sweep.analysis.confounds import confounds
from vae_sweep.analysis.point import name_of, short
from vae_sweep.analysis.purposes import reconstructing
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.rules import RULES
from vae_sweep.analysis.sampling import in_words, sampling
from vae_sweep.analysis.searched import searched
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.analysis.words import count, duration, figure
from vae_sweep.report import linear, payload
from vae_sweep.report.intervals import intervals
from vae_sweep.report.palette import colour, weight_positions
from vae_sweep.runs import alike
from vae_sweep.text import inert, lines

SCRIPTS = (
    "core.js",
    "sheets.js",
    "tip.js",
    "charts.js",
    "viewer.js",
    "hero.js",
    "place.js",
    "stops.js",
    "slider.js",
    "matrix.js",
    "plane_marks.js",
    "plane.js",
    "curves.js",
    "gradients.js",
    "progress.js",
    "latents.js",
    "gaps.js",
    "samples.js",
    "table.js",
    "folds.js",
    "main.js",
)


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("vae_sweep.report"),
        autoescape=select_autoescape(default_for_string=True, default=True, disabled_extensions=("md.j2",)),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_inert,
    )  # fmt: skip
    env.filters |= {
        "md": _md,
        "machine": _machine,
        "figure": figure,
        "duration": duration,
        "short": short,
        "name_of": name_of,
    }
    env.globals |= {"count": count}
    return env


def page(
    study: Study, verdicts: dict[str, list[Finding]], found: Recommendation, said: Answer, refresh: float | None
) -> str:
    """The whole HTML file."""
    built = payload.build(study, verdicts, survey(study), found)
    return _environment().get_template("report.html.j2").render(
        **_common(study, verdicts, found, said), refresh=refresh, data=_json(built.data),
        pictures={run: _json(sheets) for run, sheets in built.pictures.runs.items()}, detail=built.pictures.detail,
        shown=built.shown, css=_text("report.css"), palette=_palette(payload.study_weights(study)),
        script=Markup(script()),
        settings=table.settings_columns(study), results=table.result_columns(study), cell=table.value,
        intervals=intervals(found, built.data["weights"]),
        latent=compare.latent_sizes(study), schedule=compare.schedules(study), rules=_by_rule(study, verdicts),
        glossary=glossary.load(), blur=blur(study), samples=_samples(study, found),
        multi_rate=multi_rate.comparisons(study), linear=linear.anchors(study),
    )  # fmt: skip


def summary_markdown(study: Study, verdicts: dict[str, list[Finding]], found: Recommendation, said: Answer) -> str:
    """For a pull request: the answer, the confounds and the table."""
    return _environment().get_template("summary.md.j2").render(
        **_common(study, verdicts, found, said), settings=table.settings_columns(study),
        results=table.result_columns(study), cell=table.value,
    )  # fmt: skip


def _samples(study: Study, found: Recommendation) -> str:
    """What samples are worth, on the recommended curve; or on the one that has most weights."""
    curves = sorted(spots(study).values(), key=len, reverse=True)
    family = found.spot.family if found.spot else None
    curve = next((own for own in curves if own[0].family == family), curves[0] if curves else [])
    named = found.purposes.get("reconstruct")
    return in_words(sampling(curve), reconstructing(found.curve, named) if named else ())


def _common(study: Study, verdicts: dict[str, list[Finding]], found: Recommendation, said: Answer) -> dict[str, Any]:
    return {
        "study": study, "verdicts": verdicts, "found": found, "answer": said, "confounds": confounds(study, verdicts),
        "problems": [(p, problem) for p in study.points for problem in p.problems],
        "failed": alike.grouped((p, p.run.error or {}) for p in study.points if p.status == "failed"),
        "in_others": alike.in_others, "searched": searched(study.sweeps),
    }  # fmt: skip


def _machine(hardware: dict[str, Any] | None) -> str:
    """'host vm, cores 2, memory 25 GB, no gpus'"""
    words = []
    for name, value in (hardware or {}).items():
        if name == "memory" and isinstance(value, (int, float)):
            value = f"{value / 1e9:.0f} GB"
        elif isinstance(value, (dict, list, tuple)):
            name, value = (
                (name, ", ".join(map(str, value.values() if isinstance(value, dict) else value)))
                if value
                else ("no", name)
            )
        words.append(f"{name} {value}")
    return ", ".join(words) or "unknown"


def _md(value: Any) -> str:
    """A user's string as plain text inside a Markdown table."""
    text = inert(" ".join(str(value).split()))
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _by_rule(study: Study, verdicts: dict[str, list[Finding]]) -> list[dict[str, Any]]:
    """Findings grouped by rule, gravest first: [{"title", "grade", "because", "hits": [(point, finding)]}]."""
    titles = {rule.name: rule.title for rule in RULES} | {"healthy": "healthy"}
    hits: dict[str, list[Any]] = {}
    for point in study.points:
        for finding in verdicts.get(point.id, []):
            hits.setdefault(finding.rule, []).append((point, finding))
    return [
        {"title": title, "grade": hits[rule][0][1].grade, "because": hits[rule][0][1].because, "hits": hits[rule]}
        for rule, title in titles.items()
        if rule in hits
    ]


def _palette(weights: list[float]) -> dict[str, list[str]]:
    return {theme: [colour(p, theme) for p in weight_positions(weights)] for theme in ("light", "dark")}


def _json(value: Any) -> Markup:
    """JSON that cannot end its own script element, whatever a run is called."""
    text = json.dumps(_inert(value), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _inert(value: Any) -> Any:
    """Strings at any depth with what would turn or hide the text around them made visible; markup of ours as it is."""
    if isinstance(value, dict):
        return {_inert(key): _inert(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inert(inner) for inner in value]
    return lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def script() -> str:
    """Every script in the page's order; they share one scope, so `make lint` reads them in one piece."""
    return "\n".join(map(_text, SCRIPTS))


def _text(name: str) -> Markup:
    return Markup(files("vae_sweep.report").joinpath("templates", name).read_text(encoding="utf-8"))
