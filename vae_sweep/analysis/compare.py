"""Does a larger latent help, and does the schedule? Judged at equal weight, by the objective D + beta R."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import LATENT, SCHEDULE, Setting, Study, short
from vae_sweep.analysis.words import listed, percent

NEGLIGIBLE = 0.01  # difference of the objective below which nothing has been gained


@dataclass(frozen=True)
class Level:
    """One value of the compared setting at one weight. `loss`: D + beta R; `spread`: its sd over the seeds."""

    value: Any
    loss: float
    spread: float
    spot: Spot


@dataclass(frozen=True)
class Row:
    """The levels at one weight, and the verdict in words."""

    weight: float
    levels: list[Level]
    words: str


@dataclass(frozen=True)
class Comparison:
    """`values`: of the compared setting, smallest first; `rows`: largest weight first."""

    key: str
    values: list[Any]
    rows: list[Row]


def latent_sizes(study: Study) -> Comparison | None:
    """Held-out objective against latent size; None if only one size finished."""
    rows = [Row(w, found, _latent_words(study, found)) for w, found in _levels(study, LATENT, "val").items()]
    return _comparison(LATENT, rows)


def schedules(study: Study) -> Comparison | None:
    """Training objective at the target weight against schedule: warm-ups of an optimum end at the same point."""
    rows = [Row(w, found, _schedule_words(found)) for w, found in _levels(study, SCHEDULE, "train").items()]
    return _comparison(SCHEDULE, rows)


def _comparison(key: str, rows: list[Row]) -> Comparison | None:
    values = sorted({level.value for row in rows for level in row.levels}, key=_sortable)
    return Comparison(key, values, rows) if rows else None


def _levels(study: Study, key: str, split: str) -> dict[float, list[Level]]:
    """Weight of the first level -> levels of one beta whose families differ in `key` alone; the first such set."""
    by_rest: dict[tuple[Setting, ...], dict[str, list[Level]]] = {}
    for family, curve in spots(study, split).items():
        rest = tuple(setting for setting in family if setting[0] != key)
        for spot in curve:
            own = spot.points[0].settings.get(key)
            if own is not None:
                price = f"{spot.weight if spot.beta is None else spot.beta:.6g}"  # to rounding
                by_rest.setdefault(rest, {}).setdefault(price, []).append(_level(own, spot, split))
    for levels in by_rest.values():
        several = [sorted(found, key=lambda x: _sortable(x.value)) for found in levels.values() if len(found) > 1]
        if several:
            return {found[0].spot.weight: found for found in several}
    return {}


def _sortable(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, (int, float)) else (0.0, str(value))


def _level(value: Any, spot: Spot, split: str) -> Level:
    beta = spot.beta if spot.beta is not None else spot.weight
    losses = [
        d + beta * r for p in spot.points if (d := p.distortion(split)) is not None and (r := p.rate(split)) is not None
    ]
    return Level(value, float(np.mean(losses)), float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0, spot)


def _noise(levels: Iterable[Level]) -> float:
    """Two standard deviations over seeds, or NEGLIGIBLE of the objective, whichever is larger."""
    levels = list(levels)
    return max(2 * max(x.spread for x in levels), NEGLIGIBLE * abs(min(x.loss for x in levels)))


def _latent_words(study: Study, levels: list[Level]) -> str:
    best = min(x.loss for x in levels)
    enough = next(x for x in levels if x.loss <= best + _noise(levels))
    smallest = levels[0]
    if enough is smallest:
        text = f"{smallest.value} do: more do not lower it"
    else:
        saved = percent(1 - enough.loss / smallest.loss)
        text = f"{enough.value} are worth it: {saved} lower than {smallest.value}"
    units = [(x.value, a) for x in levels if (a := x.spot.mean("val", "active_units")) is not None]
    if units:
        text += f"; in use {listed([f'{a:.0f}/{d}' for d, a in units])}"
    values = study.forecast(enough.spot.points[0]).get("eigenvalues") or []
    if values and enough.spot.beta and study.squared_error:
        payable = sum(2 * v > enough.spot.beta for v in values)
        text += f"; the linear model would use {payable if payable < len(values) else f'{payable} or more'}"
    return text + "."


def _schedule_words(levels: list[Level]) -> str:
    best = min(levels, key=lambda x: x.loss)
    noise = _noise(levels)
    worse = [x for x in levels if x.loss > best.loss + noise]
    names = [short(x.value) for x in levels]
    if not worse:
        spread = percent(max(x.loss for x in levels) / best.loss - 1)
        return f"{listed(names)} end within {spread} of one another: no difference."
    behind = listed([f"{short(x.value)} {percent(x.loss / best.loss - 1)} higher" for x in worse])
    return (
        f"{short(best.value)} ends lowest, {behind}. An optimum does not depend on the path: "
        "those have not converged, or are stuck."
    )
