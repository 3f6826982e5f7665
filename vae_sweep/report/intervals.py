"""Where the weight of each purpose lies among the weights tried: one small axis per purpose, all with the same ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vae_sweep.analysis.purposes import Purpose
from vae_sweep.analysis.recommend import Recommendation


@dataclass(frozen=True)
class Interval:
    """Places in per cent of the width, the largest weight at 0, equal ratios at equal distances.

    dot: the weight named; colour: its number among `weights` where it was tried. bar: its interval, None where it
    cannot be told; opens: on which sides it goes on beyond what is drawn.
    """

    ticks: tuple[float, ...]
    dot: float
    colour: int | None
    bar: tuple[float, float] | None
    opens: str


@dataclass(frozen=True)
class Intervals:
    largest: float
    smallest: float
    by_purpose: dict[str, Interval]


def intervals(found: Recommendation, weights: Sequence[float]) -> Intervals | None:
    """weights: every weight of the page, its place is its colour's number. None without two weights to lie between."""
    tried = sorted({spot.weight for spot in (*found.curve, *found.idle) if spot.weight > 0}, reverse=True)
    named = {name: p for name, p in found.purposes.items() if p.kl_weight}
    known = [*tried, *(p.kl_weight for p in named.values() if p.kl_weight)]
    if len(tried) < 2 or not named:
        return None
    ends = max(known), min(known)
    ticks = tuple(_place(weight, ends) for weight in tried)
    return Intervals(*ends, {name: _interval(found, purpose, ends, ticks, weights) for name, purpose in named.items()})


def _interval(
    found: Recommendation,
    purpose: Purpose,
    ends: tuple[float, float],
    ticks: tuple[float, ...],
    weights: Sequence[float],
) -> Interval:
    weight = purpose.kl_weight or ends[0]
    colour = weights.index(weight) if weight in weights else None
    low, high = purpose.low or ends[1], purpose.high or ends[0]
    bar = None if found.in_doubt else (_place(high, ends), _place(low, ends))
    opens = [side for side, end in (("left", purpose.high), ("right", purpose.low)) if end is None]
    return Interval(
        ticks, _place(weight, ends), colour, bar, "" if purpose.beyond == "indifferent" else " ".join(opens)
    )


def _place(weight: float, ends: tuple[float, float]) -> float:
    share = math.log(ends[0] / weight) / math.log(ends[0] / ends[1])
    return round(100 * min(1.0, max(0.0, share)), 2)
