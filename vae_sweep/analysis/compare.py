"""Does a larger latent help, and does the schedule? Judged at equal weight, by the objective D + beta R."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vae_sweep.analysis import chance
from vae_sweep.analysis.point import LATENT, SCHEDULE, Setting, short
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.words import figure, listed, percent

NEGLIGIBLE = 0.01  # share of the objective below which a difference, however certain, is worth nothing


@dataclass(frozen=True)
class Level:
    """One value of the compared setting at one weight. `losses`: D + beta R of each seed."""

    value: Any
    losses: tuple[float, ...]
    spot: Spot

    @property
    def loss(self) -> float:
        return float(np.mean(self.losses))

    @property
    def spread(self) -> float:
        """sd over the seeds; 0 of one."""
        return float(np.std(self.losses, ddof=1)) if len(self.losses) > 1 else 0.0


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
    return _comparison(study, LATENT, "val", _latent_words)


def schedules(study: Study) -> Comparison | None:
    """Training objective at the target weight against schedule: warm-ups of an optimum end at the same point."""
    return _comparison(study, SCHEDULE, "train", _schedule_words)


Words = Callable[[Study, list[Level], "Judge"], str]


def _comparison(study: Study, key: str, split: str, words: Words) -> Comparison | None:
    by_weight = _levels(study, key, split)
    judge = Judge(study, split, by_weight)
    rows = [Row(weight, found, words(study, found, judge)) for weight, found in by_weight.items()]
    values = sorted({level.value for row in rows for level in row.levels}, key=_sortable)
    return Comparison(key, values, rows) if rows else None


class Judge:
    """Which of all pairs of levels, at every weight, differ by more than chance (chance.py; Holm over all of them).

    The spread of the seeds is pooled over all levels of a comparison as a share of their losses. On held-out images
    that two runs share, the images' own chance is that of the paired differences, and both have to rule chance out.
    ps: of each of `pairs`, that two levels of equal truth differ as these do.
    """

    def __init__(self, study: Study, split: str, by_weight: Mapping[float, list[Level]]):
        levels = [level for found in by_weight.values() for level in found]
        self.seeds = max((len(level.losses) for level in levels), default=1)
        self._scale = {id(x): study.scale(x.spot.points[0], x.loss) or float("inf") for x in levels}
        self._images = {id(x): _images(x) if split == "val" else None for x in levels}
        self._spread = {id(x): chance.spread(self._shares(x, x)) for x in levels}
        self._of_all = sum(self._spread.values(), chance.Spread())
        self.pairs = [pair for found in by_weight.values() for pair in combinations(found, 2)]
        self.ps = [self._p(a, b) for a, b in self.pairs]
        real = chance.holm(self.ps)
        self._differ = {frozenset((id(a), id(b))) for (a, b), known in zip(self.pairs, real, strict=True) if known}

    def differ(self, a: Level, b: Level) -> bool:
        """Whether the two differ, by more than chance and by more than NEGLIGIBLE."""
        share = abs(a.loss - b.loss) / min(self._scale[id(a)], self._scale[id(b)])
        return frozenset((id(a), id(b))) in self._differ and share > NEGLIGIBLE

    def _shares(self, level: Level, of: Level) -> list[float]:
        return [loss / self._scale[id(of)] for loss in level.losses]

    def _p(self, a: Level, b: Level) -> float:
        others = self._of_all - (self._spread[id(a)] + self._spread[id(b)])
        of_seeds = chance.between(self._shares(a, a), self._shares(b, a), 1.0, others).p
        of_a, of_b = self._images[id(a)], self._images[id(b)]
        if of_a is None or of_b is None or len(of_a) != len(of_b):  # the runs share no images
            return of_seeds
        return max(of_seeds, chance.paired(of_a, of_b).p)


def _images(level: Level) -> np.ndarray | None:
    """Objective of every held-out image under the first run; None if its terms were not kept."""
    point = level.spot.points[0]
    error, kl = point.per_image("distortion"), point.per_image("kl")
    return None if error is None or kl is None else error + level.spot.price * kl


def _levels(study: Study, key: str, split: str) -> dict[float, list[Level]]:
    """Weight of the first level -> levels of one beta whose families differ in `key` alone; the first such set."""
    by_rest: dict[tuple[Setting, ...], dict[str, list[Level]]] = {}
    for family, curve in spots(study, split).items():
        rest = tuple(setting for setting in family if setting[0] != key)
        for spot in curve:
            own = spot.points[0].settings.get(key)
            if own is not None:
                price = f"{spot.price:.6g}"  # to rounding
                by_rest.setdefault(rest, {}).setdefault(price, []).append(_level(own, spot, split))
    for levels in by_rest.values():
        several = [sorted(found, key=lambda x: _sortable(x.value)) for found in levels.values() if len(found) > 1]
        if several:
            return {found[0].spot.weight: found for found in several}
    return {}


def _sortable(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, (int, float)) else (0.0, str(value))


def _level(value: Any, spot: Spot, split: str) -> Level:
    losses = [
        d + spot.price * r
        for p in spot.points
        if (d := p.distortion(split)) is not None and (r := p.rate(split)) is not None
    ]
    return Level(value, tuple(losses), spot)


def _latent_words(study: Study, levels: list[Level], judge: Judge) -> str:
    best = min(levels, key=lambda x: x.loss)
    enough = next(x for x in levels if x is best or not judge.differ(x, best))
    smallest = levels[0]
    if enough is not smallest:
        text = f"{enough.value} are worth it: {_apart(study, enough, smallest)} lower than {smallest.value}"
    elif best is smallest:
        text = f"{smallest.value} do: more do not lower it"
    else:
        chance_words = "one seed: may be chance" if judge.seeds == 1 else "within the seeds' chance"
        text = f"{smallest.value} do: {best.value} are {_apart(study, best, smallest)} lower, {chance_words}"
    units = [(x.value, a) for x in levels if (a := x.spot.mean("val", "active_units")) is not None]
    if units:
        text += f"; in use {listed([f'{a:.0f}/{d}' for d, a in units])}"
    values = study.forecast(enough.spot.points[0]).get("eigenvalues") or []
    if values and enough.spot.beta and enough.spot.likelihood.squared_error:
        payable = sum(2 * v > enough.spot.beta for v in values)
        text += f"; the linear model would use {payable if payable < len(values) else f'{payable} or more'}"
    return text + "."


def _apart(study: Study, lower: Level, higher: Level) -> str:
    """'3%' of the objective, or '12 nats' where shares mean nothing."""
    scale = study.scale(higher.spot.points[0], higher.loss)
    if scale == abs(higher.loss):
        return percent((higher.loss - lower.loss) / scale)
    return f"{figure(higher.loss - lower.loss)} nats"


def _schedule_words(study: Study, levels: list[Level], judge: Judge) -> str:
    best, last = min(levels, key=lambda x: x.loss), max(levels, key=lambda x: x.loss)
    worse = [x for x in levels if judge.differ(best, x)]
    names = [short(x.value) for x in levels]
    if not worse:
        if judge.seeds == 1:
            return f"{listed(names)} end within {_apart(study, best, last)} of one another; one seed: may be chance."
        return f"{listed(names)} end within {_apart(study, best, last)} of one another: no difference."
    behind = listed([f"{short(x.value)} {_apart(study, best, x)} higher" for x in worse])
    return (
        f"{short(best.value)} ends lowest, {behind}. An optimum does not depend on the path: "
        "those have not converged, or are stuck."
    )
