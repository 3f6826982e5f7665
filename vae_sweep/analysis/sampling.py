"""At which weights do samples look like the pictures? From the prior, and from the sampler fitted afterwards.

A weight serves if its samples are not farther from held-out pictures than the upper end of the interval of the nearest
run's, by every feature set and kernel. Where the run that is nearest by one of them does not serve by all, they
disagree, and no weight is named: a compromise would be called the best. A way of looking that cannot tell the weights
apart has no vote.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Point
from vae_sweep.analysis.words import count, listed

SAMPLERS = ("prior", "fitted")
SEES = {"random_conv": "textures", "random_filters": "edges and contrast", "pooled_pixels": "layout and colour"}
BLIND = "These distances see textures, edges and layout, not what a picture shows: look at the draws."
Distances = Mapping[str, Any]  # feature set -> kernel -> pair -> value, low, high
Way = tuple[str, str]  # feature set, kernel


@dataclass(frozen=True)
class Sampling:
    """Of one sampler. nearest: way of looking -> the weight whose samples are nearest. serves: weights, largest first.

    distances: way -> weight -> (value, low, high), means over seeds.
    """

    sampler: str
    distances: dict[Way, dict[float, tuple[float, float, float]]]
    nearest: dict[Way, float]
    serves: tuple[float, ...]

    @property
    def agree(self) -> bool:
        """Whether some weight serves by every way of looking."""
        return bool(self.serves)

    def as_data(self) -> dict[str, Any]:
        """For report/answer.json."""
        nearest = {"/".join(way): weight for way, weight in self.nearest.items()}
        return {"agree": self.agree, "kl_weights": list(self.serves), "nearest": nearest}


def of_point(point: Point) -> dict[str, Any]:
    """`samples` of its evaluation.json, {} if it was not judged."""
    found = point.evaluation.get("samples")
    return found if isinstance(found, dict) and isinstance(found.get("distances"), dict) else {}


def sampling(curve: Sequence[Spot]) -> dict[str, Sampling]:
    """Sampler -> its judgement, for the weights of one curve that were judged; {} where fewer than two were."""
    judged = {spot.weight: [of_point(p)["distances"] for p in spot.points if of_point(p)] for spot in curve}
    judged = {weight: found for weight, found in judged.items() if found}
    if len(judged) < 2:
        return {}
    return {sampler: found for sampler in SAMPLERS if (found := _judgement(sampler, judged))}


def _judgement(sampler: str, judged: Mapping[float, Sequence[Distances]]) -> Sampling | None:
    distances: dict[Way, dict[float, tuple[float, float, float]]] = {}
    for way in _ways(judged.values()):
        rows = {weight: _mean(found, way, sampler) for weight, found in judged.items()}
        if all(row is not None for row in rows.values()):
            distances[way] = {weight: row for weight, row in rows.items() if row is not None}
    if not distances:
        return None
    nearest = {way: min(row, key=lambda weight: row[weight][0]) for way, row in distances.items()}
    as_good = [
        {weight for weight, (value, _, _) in row.items() if value <= row[nearest[way]][2]}
        for way, row in distances.items()
    ]
    serves = set.intersection(*as_good)
    tells = [way for way, alike in zip(distances, as_good, strict=True) if len(alike) < len(judged)]
    agreed = sorted(serves, reverse=True) if serves.issuperset(nearest[way] for way in tells) else []
    return Sampling(sampler, distances, nearest, tuple(agreed))


def _ways(judged: Iterable[Sequence[Distances]]) -> list[Way]:
    return list(
        dict.fromkeys((f, k) for found in judged for one in found for f, kernels in one.items() for k in kernels)
    )


def _mean(found: Sequence[Distances], way: Way, sampler: str) -> tuple[float, float, float] | None:
    rows = [row for one in found if (row := (one.get(way[0]) or {}).get(way[1], {}).get(sampler))]
    values = [[row.get(key) for key in ("value", "low", "high")] for row in rows]
    if not values or any(value is None for row in values for value in row):
        return None
    value, low, high = np.mean(np.array(values, float), 0)
    return float(value), float(low), float(high)


def closes(found: Mapping[str, Sampling]) -> list[float]:
    """Weights whose fitted draws are nearer than the best draws of the prior at any weight, by every way of looking."""
    if set(found) != set(SAMPLERS):
        return []
    prior, fitted = found["prior"].distances, found["fitted"].distances
    best = {way: min(value for value, _, _ in prior[way].values()) for way in fitted if way in prior}
    weights = next(iter(fitted.values()))
    return [w for w in weights if best and all(fitted[way][w][0] < least for way, least in best.items())]


def beyond_chance(found: Mapping[str, Sampling], weight: float) -> int:
    """By how many ways of looking its fitted draws are nearer than the interval of the prior's best reaches."""
    prior, fitted = found["prior"], found["fitted"].distances
    ways = [way for way in fitted if way in prior.distances]
    return sum(fitted[way][weight][0] < prior.distances[way][prior.nearest[way]][1] for way in ways)


# --- in words --------------------------------------------------------------------------------------------------------


def in_words(found: Mapping[str, Sampling], reconstructs: float | None = None) -> str:
    """Three sentences: from the prior, from the fitted sampler, what that means for a small weight; what is not seen.

    reconstructs: the largest weight that reconstructs well enough; smaller ones do too.
    """
    if not found:
        return "Samples were not judged: too few images are held out, or the runs are of before they were."
    sentences = [_of_prior(found["prior"], reconstructs)] if "prior" in found else []
    if "fitted" in found:
        sentences.append(_of_fitted(found, reconstructs))
    return " ".join([*sentences, BLIND])


def from_codes(found: Mapping[str, Sampling], reconstructs: float | None) -> str:
    """For the lead: whether the fitted sampler closes the holes where a weight reconstructs; '' where it does not."""
    if reconstructs is None or not any(weight <= reconstructs for weight in closes(found)):
        return ""
    return "New pictures drawn from its codes are nearer to yours than draws of the prior at any weight."


def _of_prior(prior: Sampling, reconstructs: float | None) -> str:
    if not prior.agree:
        return f"Draws of the prior: no weight can be named, for they are {_disagreement(prior)}."
    both = [w for w in prior.serves if reconstructs is not None and w <= reconstructs]
    at = _weights(prior.serves)
    if both:
        return f"Draws of the prior are nearest to held-out pictures at {at}; {_weights(both)} also reconstructs."
    if reconstructs is None:
        return f"Draws of the prior are nearest to held-out pictures at {at}."
    return (
        f"Draws of the prior are nearest to held-out pictures at {at}, more weight than reconstructing wants: "
        "no weight does both with the prior."
    )


def _disagreement(prior: Sampling) -> str:
    """'nearest at 1 by textures, at 0.001 by edges and contrast'"""
    by_set: dict[str, list[float]] = {}
    for (features, _), weight in prior.nearest.items():
        by_set.setdefault(features, []).append(weight)
    parts = [f"at {_weights(sorted(set(w), reverse=True), ' or ')} by {SEES.get(f, f)}" for f, w in by_set.items()]
    return f"nearest to held-out pictures {listed(parts)}"


def _of_fitted(found: Mapping[str, Sampling], reconstructs: float | None) -> str:
    fitted, ways = found["fitted"], len(found["fitted"].distances)
    nearer = closes(found)
    where = [w for w in nearer if reconstructs is None or w <= reconstructs] or nearer
    by = f"by all {count(ways, 'way')} of looking"
    if where:
        advice = "so take the weight that reconstructs, and sample from the codes"
        return (
            f"A sampler fitted to the codes afterwards closes the holes: at {_weights(where)} its draws are nearer to "
            f"held-out pictures than the best draws of the prior at any weight, {by} "
            f"({beyond_chance(found, where[0])} of them beyond chance at {where[0]:g}): {advice}."
        )
    if _needless(found, reconstructs):
        return "A sampler fitted to the codes comes no nearer: there are hardly any holes to close."
    if fitted.agree:
        return f"Draws of a sampler fitted to the codes are nearest at {_weights(fitted.serves)}, {by}."
    return "A sampler fitted to the codes does not close them by every way of looking."


def _needless(found: Mapping[str, Sampling], reconstructs: float | None) -> bool:
    """Whether draws of the prior lie within the interval of the fitted ones, by every way, wherever it matters."""
    if set(found) != set(SAMPLERS):
        return False
    prior, fitted = found["prior"].distances, found["fitted"].distances
    return all(
        prior[way][weight][0] <= row[2]
        for way in fitted if way in prior
        for weight, row in fitted[way].items() if reconstructs is None or weight <= reconstructs
    )  # fmt: skip


def _weights(weights: Sequence[float], last: str = " and ") -> str:
    words = [f"{weight:g}" for weight in weights]
    if len(words) > 3:
        return f"{words[-1]} to {words[0]}"
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
