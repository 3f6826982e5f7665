"""Runs that differ only in their seed, averaged: the points that frontiers are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.analysis.point import Point, Setting
from vae_sweep.analysis.study import Study
from vae_sweep.traits import LikelihoodTraits

# How well pictures come back, (split, metric): the PSNR of decoded means, held out, and what stands in for it.
FIDELITY = (("val", "psnr_mean"), ("val", "psnr"), ("train", "psnr_mean"), ("train", "psnr"))


@dataclass(frozen=True)
class Spot:
    """Mean and standard deviation over the seeds of one weight.

    weight: as the user typed it; beta: None where the objective fixes none, the mean where training decides it.
    fidelity: of FIDELITY, the one that the spots of its curve are compared by.
    """

    family: tuple[Setting, ...]
    weight: float
    beta: float | None
    points: tuple[Point, ...]
    rate: float
    rate_sd: float
    distortion: float
    distortion_sd: float
    fidelity: tuple[str, str] = FIDELITY[0]

    def mean(self, split: str, name: str) -> float | None:
        values = [v for p in self.points if (v := p.get(split, name)) is not None]
        return float(np.mean(values)) if values else None

    @property
    def likelihood(self) -> LikelihoodTraits:
        """That of its runs, which differ in their seed alone."""
        return self.points[0].likelihood

    @property
    def price(self) -> float:
        """What the objective gives for one nat: beta, or the weight as typed where nothing fixes a beta."""
        return self.weight if self.beta is None else self.beta

    @property
    def nats(self) -> float:
        """KL of held-out images, as what stands beside it in a sentence is; `rate` where it was not measured."""
        held_out = self.mean("val", "kl")
        return self.rate if held_out is None else held_out


def spots(study: Study, split: str | None = None) -> dict[tuple[Setting, ...], list[Spot]]:
    """Family -> its spots, largest weight first: averaged once for a study, whoever asks."""
    key = ("spots", split or study.split)
    if key not in study.memory:
        study.memory[key] = _averaged(study, key[1])
    found: dict[tuple[Setting, ...], list[Spot]] = study.memory[key]
    return found


def _averaged(study: Study, split: str) -> dict[tuple[Setting, ...], list[Spot]]:
    found = {}
    for family, points in study.families.items():
        by_weight: dict[float, list[Point]] = {}
        for point in points:
            if point.weight is not None and _known(point, split):
                by_weight.setdefault(point.weight, []).append(point)
        fidelity = _fidelity(list(by_weight.values()))
        found[family] = [_spot(family, w, by_weight[w], split, fidelity) for w in sorted(by_weight, reverse=True)]
    return {family: listed for family, listed in found.items() if listed}


def _fidelity(of_weights: list[list[Point]]) -> tuple[str, str]:
    """The first that two weights have, or all: runs that were not evaluated have another, which does not compare."""
    for fidelity in FIDELITY:
        have = sum(any(point.get(*fidelity) is not None for point in points) for points in of_weights)
        if have >= min(2, len(of_weights)):
            return fidelity
    return FIDELITY[0]


def _known(point: Point, split: str) -> bool:
    return point.rate(split) is not None and point.distortion(split) is not None


def _spot(
    family: tuple[Setting, ...], weight: float, points: list[Point], split: str, fidelity: tuple[str, str]
) -> Spot:
    rate, distortion = (np.array(values, float) for values in zip(*(_pair(p, split) for p in points), strict=True))
    ddof = 1 if len(points) > 1 else 0
    betas = [point.beta for point in points if point.beta is not None]
    return Spot(
        family, weight, float(np.mean(betas)) if betas else None, tuple(points),
        float(rate.mean()), float(rate.std(ddof=ddof)), float(distortion.mean()), float(distortion.std(ddof=ddof)),
        fidelity,
    )  # fmt: skip


def _pair(point: Point, split: str) -> tuple[Any, Any]:
    return point.rate(split), point.distortion(split)
