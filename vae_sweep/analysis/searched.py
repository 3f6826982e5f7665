"""How the weights of a sweep were chosen, where `hydra/sweeper=target`, `frontier` or `optuna` chose them: in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vae_sweep.analysis.words import figure
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import Sweep


@dataclass(frozen=True)
class Searched:
    """said: what was found; visits: what was tried, in that order, each with what it gave."""

    said: str
    visits: list[str]


def searched(sweeps: Sequence[Sweep]) -> list[Searched]:
    """Of every search; none of a grid, nor of a search.json that cannot be read."""
    found = []
    for sweep in sweeps:
        try:
            kept = sweep.search()
            for search in kept.get("searches", []):
                own = " ".join(search["settings"])
                found.append(Searched(f"{own}: {search['said']}" if own else search["said"], _visits(search["visits"])))
        except (RecordError, KeyError, TypeError, AttributeError):
            continue
    return found


def _visits(visits: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{_where(visit)} ({_gave(visit)})" for visit in visits]


def _where(visit: dict[str, Any]) -> str:
    if "settings" in visit:  # of one search in several dimensions
        return " ".join(visit["settings"])
    return f"{visit['kl_weight']:g}"


def _gave(visit: dict[str, Any]) -> str:
    given = {name: value for name, value in visit.items() if name not in ("kl_weight", "settings")}
    if None in given.values():
        return "failed"
    return ", ".join(figure(value) if name == "value" else f"{name} {figure(value)}" for name, value in given.items())
