"""At which weights do samples look like the pictures? From the prior, and from the sampler fitted afterwards.

Less weight trades blur for holes. Where holes outweigh blur (draws differ from what the decoder makes of real codes by
more than that differs from the pictures, beyond chance, by a way of looking that sees both), samples are torn: the
weight does not serve, however near its draws come by the ways that see no holes.

Of the other weights one serves if its samples are not farther from held-out pictures than the upper end of the interval
of the nearest run's, by every feature set and kernel. Where the run that is nearest by one of them does not serve by
all, they disagree, and no weight is named: a compromise would be called the best. A way of looking that cannot tell the
weights apart has no vote.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.words import count, listed

SAMPLERS = ("prior", "fitted")
HOLES = {"prior": "holes", "fitted": "fitted_holes"}  # draws against what the decoder makes of real codes
SEES = {"random_conv": "textures", "random_filters": "edges and contrast", "pooled_pixels": "layout and colour"}
BLIND = "These distances see textures, edges and layout, not what a picture shows: look at the draws."
LAYOUT = "pooled_pixels"  # in which blur hardly shows, so that any holes outweigh it
Distances = Mapping[str, Any]  # feature set -> kernel -> pair -> value, low, high
Way = tuple[str, str]  # feature set, kernel


@dataclass(frozen=True)
class Sampling:
    """Of one sampler. nearest: way of looking -> the weight whose samples are nearest. serves: weights, largest first.

    distances: way -> weight -> (value, low, high), means over seeds. torn: weight -> the feature sets by which holes
    outweigh blur there; nearest and serves are of the other weights.
    """

    sampler: str
    distances: dict[Way, dict[float, tuple[float, ...]]]
    nearest: dict[Way, float]
    serves: tuple[float, ...]
    torn: dict[float, tuple[str, ...]]

    @property
    def tried(self) -> list[float]:
        """The weights that were judged, largest first."""
        return sorted(next(iter(self.distances.values())), reverse=True)

    @property
    def whole(self) -> tuple[float, ...]:
        """Weights that are not torn, largest first."""
        return tuple(weight for weight in self.tried if weight not in self.torn)

    def named(self, weights: Sequence[float], last: str = "and") -> str:
        """'1, 0.3 and 0.1' of weights, largest first; more than three as a range if it holds all tried within it."""
        between = [weight for weight in self.tried if weights[-1] <= weight <= weights[0]]
        if len(weights) > 3 and len(weights) == len(between):
            return f"{weights[-1]:g} to {weights[0]:g}"
        return listed([f"{weight:g}" for weight in weights], last)

    @property
    def agree(self) -> bool:
        """Whether some weight serves by every way of looking."""
        return bool(self.serves)

    def as_data(self) -> dict[str, Any]:
        """For report/answer.json."""
        nearest = {"/".join(way): weight for way, weight in self.nearest.items()}
        torn = {f"{weight:g}": list(by) for weight, by in self.torn.items()}
        return {"agree": self.agree, "kl_weights": list(self.serves), "nearest": nearest, "torn": torn}


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
    distances: dict[Way, dict[float, tuple[float, ...]]] = {}
    ways = _ways(judged.values())
    for way in ways:
        rows = {weight: _mean(found, way, sampler, "value", "low", "high") for weight, found in judged.items()}
        if all(row is not None for row in rows.values()):
            distances[way] = {weight: row for weight, row in rows.items() if row is not None}
    if not distances:
        return None
    torn = {weight: by for weight, found in judged.items() if (by := _torn(found, ways, HOLES[sampler]))}
    whole = [weight for weight in judged if weight not in torn]
    if not whole:
        return Sampling(sampler, distances, {}, (), torn)
    nearest = {way: min(whole, key=lambda weight: row[weight][0]) for way, row in distances.items()}
    as_good = [{weight for weight in whole if row[weight][0] <= row[nearest[way]][2]} for way, row in distances.items()]
    serves = set.intersection(*as_good)
    tells = [way for way, alike in zip(distances, as_good, strict=True) if len(alike) < len(whole)]
    agreed = sorted(serves, reverse=True) if serves.issuperset(nearest[way] for way in tells) else []
    return Sampling(sampler, distances, nearest, tuple(agreed), torn)


def _torn(found: Sequence[Distances], ways: Sequence[Way], pair: str) -> tuple[str, ...]:
    """The feature sets by which holes outweigh blur, beyond chance."""
    by: dict[str, None] = {}
    for way in (way for way in ways if way[0] != LAYOUT):
        holes, blur = _mean(found, way, pair, "value", "low", "null_high"), _mean(found, way, "blur", "value")
        if holes and blur and holes[0] > holes[2] and holes[1] > blur[0]:
            by[way[0]] = None
    return tuple(by)


def _ways(judged: Iterable[Sequence[Distances]]) -> list[Way]:
    return list(
        dict.fromkeys((f, k) for found in judged for one in found for f, kernels in one.items() for k in kernels)
    )


def _mean(found: Sequence[Distances], way: Way, pair: str, *keys: str) -> tuple[float, ...] | None:
    """Over seeds; None where one of the numbers is missing."""
    rows = [row for one in found if (row := (one.get(way[0]) or {}).get(way[1], {}).get(pair))]
    values = [[row.get(key) for key in keys] for row in rows]
    if not values or any(value is None for row in values for value in row):
        return None
    return tuple(float(value) for value in np.mean(np.array(values, float), 0))


def closes(found: Mapping[str, Sampling]) -> list[float]:
    """Weights whose fitted draws are nearer than the best draws of the prior at any weight, by every way of looking.

    By one of them beyond chance; where the fitted draws are torn themselves, nothing is closed.
    """
    if set(found) != set(SAMPLERS):
        return []
    best, fitted = _best_of_prior(found), found["fitted"]
    nearer = [
        w for w in fitted.whole if best and all(fitted.distances[way][w][0] < row[0] for way, row in best.items())
    ]
    return [w for w in nearer if beyond_chance(found, w)]


def beyond_chance(found: Mapping[str, Sampling], weight: float) -> int:
    """By how many ways of looking its fitted draws are nearer than the interval of the prior's best reaches."""
    fitted = found["fitted"].distances
    return sum(fitted[way][weight][0] < low for way, (_, low, _) in _best_of_prior(found).items())


def _best_of_prior(found: Mapping[str, Sampling]) -> dict[Way, tuple[float, ...]]:
    """Its nearest draws at any weight, torn or not: way -> (value, low, high)."""
    return {way: min(row.values()) for way, row in found["prior"].distances.items() if way in found["fitted"].distances}


# --- in words --------------------------------------------------------------------------------------------------------


def in_words(found: Mapping[str, Sampling], reconstructs: Collection[float] = ()) -> str:
    """Three sentences: from the prior, from the fitted sampler, what that means for a small weight; what is not seen.

    reconstructs: the weights that reconstruct well enough; none: not known.
    """
    if not found:
        return "Samples were not judged: too few images are held out, or the runs are of before they were."
    sentences = [_of_prior(found["prior"], reconstructs)] if "prior" in found else []
    if "fitted" in found:
        sentences.append(_of_fitted(found, reconstructs))
    return " ".join([*sentences, BLIND])


def from_codes(found: Mapping[str, Sampling], reconstructs: Collection[float]) -> str:
    """For the lead: whether the fitted sampler closes the holes where a weight reconstructs; '' where it does not."""
    where = [weight for weight in closes(found) if weight in reconstructs]
    if not where:
        return ""
    at = found["fitted"].named(where)
    return f"New pictures drawn from the codes at {at} are nearer to yours than draws of the prior at any weight."


def _of_prior(prior: Sampling, reconstructs: Collection[float]) -> str:
    if not prior.whole:
        return f"Draws of the prior fall into holes at every weight tried: {_against_blur(prior)}."
    if not prior.agree:
        return f"Draws of the prior: no weight can be named, for they are {_disagreement(prior)}.{_below(prior)}"
    both = [w for w in prior.serves if w in reconstructs]
    said = f"Draws of the prior are nearest to held-out pictures at {prior.named(prior.serves)}"
    if both:
        said += f"; {prior.named(both)} also reconstruct{'s' * (len(both) == 1)}"
    elif reconstructs:
        why = ", more weight than reconstructing wants" if min(prior.serves) > max(reconstructs) else ""
        said += f"{why}: no weight does both with the prior"
    return f"{said}.{_below(prior)}"


def _below(sampler: Sampling) -> str:
    """' At 0.1 and 0.01 they fall into holes, which rules them out: they differ more ..., by textures.'"""
    if not sampler.torn:
        return ""
    torn = sampler.named(sorted(sampler.torn, reverse=True))
    return f" At {torn} they fall into holes, which rules them out: {_against_blur(sampler)}."


def _against_blur(sampler: Sampling) -> str:
    sets = dict.fromkeys(features for by in sampler.torn.values() for features in by)
    by = listed([f"by {SEES.get(features, features)}" for features in sets])
    return f"they are farther from what the decoder makes of real codes than that is from the pictures, {by}"


def _disagreement(prior: Sampling) -> str:
    """'nearest at 1 by textures, at 0.001 by edges and contrast'"""
    by_set: dict[str, list[float]] = {}
    for (features, _), weight in prior.nearest.items():
        by_set.setdefault(features, []).append(weight)
    parts = [f"at {prior.named(sorted(set(w), reverse=True), 'or')} by {SEES.get(f, f)}" for f, w in by_set.items()]
    return f"nearest to held-out pictures {listed(parts)}"


def _of_fitted(found: Mapping[str, Sampling], reconstructs: Collection[float]) -> str:
    fitted, ways = found["fitted"], len(found["fitted"].distances)
    nearer = closes(found)
    both = [w for w in nearer if w in reconstructs]
    by = f"by all {count(ways, 'way')} of looking"
    left = f" It leaves holes at {fitted.named(sorted(fitted.torn, reverse=True))}." if fitted.torn else ""
    if where := both or nearer:
        said = (
            f"at {fitted.named(where)} its draws are nearer to held-out pictures than the best draws of the prior at"
            f" any weight, {by} ({beyond_chance(found, where[0])} of them beyond chance at {where[0]:g})"
        )
        if both or not reconstructs:
            advice = "so take the weight that reconstructs, and sample from the codes"
            return f"A sampler fitted to the codes afterwards closes the holes: {said}: {advice}."
        better = "A sampler fitted to the codes afterwards does better, though at no weight that reconstructs"
        return f"{better}: {said}.{left}"
    if _needless(found, reconstructs):
        return "A sampler fitted to the codes comes no nearer: there are hardly any holes to close."
    if fitted.agree:
        said = f"Draws of a sampler fitted to the codes are nearest at {fitted.named(fitted.serves)}, {by}."
    else:
        said = "A sampler fitted to the codes does not close them by every way of looking."
    return said + left


def _needless(found: Mapping[str, Sampling], reconstructs: Collection[float]) -> bool:
    """Whether draws of the prior lie within the interval of the fitted ones, by every way, wherever it matters."""
    if set(found) != set(SAMPLERS) or found["prior"].torn:
        return False
    prior, fitted = found["prior"].distances, found["fitted"].distances
    return all(
        prior[way][weight][0] <= row[2]
        for way in fitted if way in prior
        for weight, row in fitted[way].items() if not reconstructs or weight in reconstructs
    )  # fmt: skip
