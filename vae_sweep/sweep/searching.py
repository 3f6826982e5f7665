"""A search for weights as a sequence of jobs: which to launch, what their results say, and what is kept of it.

For every combination of the other settings there is a search of its own; seeds are averaged. What a search has visited
is kept in the sweep's folder as `search.json`, in the order of the visits.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.checks import SettingsError, check_all, integer, number, optional
from vae_sweep.runs.files import write_json
from vae_sweep.runs.reading import SEARCH
from vae_sweep.sweep.search import Frontier, Target
from vae_sweep.traits import likelihood

WEIGHT = "loss.kl_weight"
_SEED = re.compile(r"seed=.*")
_CHECKS = {
    "low": number(above=0),
    "high": number(above=0),
    "tolerance": number(above=0),
    "within": optional(number(above=0)),
    "value": number(),
    "runs": integer(3),
    "at_once": optional(integer(1)),
}

Result = Mapping[str, Any]  # of a job: status, metrics, and beta where it is known


class _Search:
    """One search: of the jobs that are alike in all but the weight and the seed. others, seeds: as typed."""

    def __init__(self, others: Sequence[str], seeds: Sequence[str]):
        self.others = list(others)
        self.seeds = list(seeds)
        self.results: dict[float, list[Result]] = {}  # in the order of the visits

    def jobs(self, weights: Sequence[float]) -> list[list[str]]:
        return [[*self.others, f"{WEIGHT}={weight!r}", *([seed] if seed else [])]
                for weight in weights for seed in self.seeds]  # fmt: skip


class Searching:
    """Every search of a command.

    jobs: the combinations of what else was typed; settings: of hydra.sweeper, `at_once` among them. Raises
    SettingsError.
    """

    def __init__(self, jobs: Sequence[Sequence[str]], settings: Mapping[str, Any]):
        self.settings = dict(settings)
        check_all("hydra.sweeper.", settings, _CHECKS)
        if not settings["low"] < settings["high"]:
            raise SettingsError(
                f"hydra.sweeper.low={settings['low']}: is not below hydra.sweeper.high={settings['high']}"
            )
        if any(word.lstrip("+").startswith(f"{WEIGHT}=") for job in jobs for word in job):
            raise SettingsError(f"{WEIGHT} is what is looked for: hydra.sweeper.low and .high say where")
        by_others: dict[tuple[str, ...], list[str]] = {}
        for job in jobs:
            others = tuple(word for word in job if not _SEED.fullmatch(word))
            by_others.setdefault(others, []).extend([word for word in job if _SEED.fullmatch(word)] or [""])
        self.searches = [_Search(others, seeds) for others, seeds in by_others.items()]
        self._asked: list[tuple[_Search, float]] = []

    def next_jobs(self) -> list[list[str]]:
        """What to launch now; [] at the end."""
        jobs: list[list[str]] = []
        self._asked = []
        for search in self.searches:
            weights = self.weights(search)
            jobs += search.jobs(weights)
            self._asked += [(search, weight) for weight in weights for _ in search.seeds]
        return jobs

    def take(self, results: Sequence[Result]) -> None:
        """The results of those jobs, in their order. Raises SettingsError for a metric that there is not."""
        for (search, weight), result in zip(self._asked, results, strict=True):
            search.results.setdefault(weight, []).append(result)

    def weights(self, search: _Search) -> list[float]:
        raise NotImplementedError

    def said(self, search: _Search) -> dict[str, Any]:
        """What has come of it: `said`, a line, and numbers."""
        raise NotImplementedError

    def visit(self, results: Sequence[Result]) -> dict[str, Any]:
        raise NotImplementedError

    def lines(self) -> list[str]:
        told = [": ".join(filter(None, [" ".join(self.own(s)), self.said(s)["said"]])) for s in self.searches]
        return [f"{self.settings['kind']:9} {line}" for line in told]

    def own(self, search: _Search) -> list[str]:
        """What was typed for this search and not for all."""
        common = set.intersection(*(set(other.others) for other in self.searches))
        return [word for word in search.others if word not in common]

    def write(self, folder: Path) -> None:
        searches = [
            {
                "settings": self.own(search),
                **self.said(search),
                "visits": [{"kl_weight": weight, **self.visit(found)} for weight, found in search.results.items()],
            }
            for search in self.searches
        ]
        write_json(folder / SEARCH, {"schema": 1, **self.settings, "searches": searches})


class TargetSearching(Searching):
    """settings: metric, value, low, high, tolerance, within, runs, at_once."""

    @property
    def target(self) -> Target:
        names = ("value", "low", "high", "tolerance", "within", "runs", "at_once")
        return Target(**{name: self.settings[name] for name in names})

    def take(self, results: Sequence[Result]) -> None:
        super().take(results)
        check_metric(self.settings["metric"], results)

    def weights(self, search: _Search) -> list[float]:
        return self.target.next(self._known(search))

    def said(self, search: _Search) -> dict[str, Any]:
        found, metric = self.target.found(self._known(search)), self.settings["metric"]
        goal = f"{metric} = {self.settings['value']:g}"
        if found.weight is None:
            return {"weight": None, "low": None, "high": None, "said": f"{goal}: {found.why}"}
        runs = len(search.results)
        said = f"{goal} at kl_weight {found.weight:.4g}, between {found.low:.4g} and {found.high:.4g} ({runs} weights)"
        return {"weight": found.weight, "low": found.low, "high": found.high, "said": said}

    def visit(self, results: Sequence[Result]) -> dict[str, Any]:
        return {"value": mean_of(self.settings["metric"], results)}

    def _known(self, search: _Search) -> dict[float, float | None]:
        return {weight: self.visit(results)["value"] for weight, results in search.results.items()}


class FrontierSearching(Searching):
    """settings: low, high, tolerance, runs, at_once."""

    @property
    def frontier(self) -> Frontier:
        return Frontier(**{name: self.settings[name] for name in ("low", "high", "tolerance", "runs", "at_once")})

    def weights(self, search: _Search) -> list[float]:
        return self.frontier.next(self._known(search), _beta_per_weight(search))

    def said(self, search: _Search) -> dict[str, Any]:
        known, ratio = self._known(search), _beta_per_weight(search)
        gaps = self.frontier.unknown(known, ratio)
        if not gaps:
            return {"unknown": None, "grid": None, "said": "fewer than two runs have a rate and a distortion"}
        grid = self.frontier.grid_for(known, ratio)
        said = (
            f"known to {100 * gaps[0][0]:.2g} % of the range of distortions by {len(known)} weights; a grid needs about"
        )
        said += f" {grid}" if grid is not None else " more than 200"
        return {"unknown": gaps[0][0], "grid": grid, "said": said}

    def take(self, results: Sequence[Result]) -> None:
        super().take(results)
        coding = [result for result in _done(results) if _of(result, "kl") is not None]  # an autoencoder has no rate
        if any("config" in result and not result.get("beta") for result in coding):
            raise SettingsError(
                "hydra/sweeper=frontier: with these settings the weight alone is not the slope of the curve (a fitted"
                " noise, a capacity, free bits, another divergence); sweep a grid"
            )

    def visit(self, results: Sequence[Result]) -> dict[str, Any]:
        done = _done(results)
        return {
            "rate": _mean([_of(one, "kl") for one in done]),
            "distortion": _mean([_distortion(one) for one in done]),
        }

    def _known(self, search: _Search) -> dict[float, tuple[float, float] | None]:
        found = {weight: self.visit(results) for weight, results in search.results.items()}
        return {weight: None if None in at.values() else (at["rate"], at["distortion"]) for weight, at in found.items()}


def _of(result: Result, name: str) -> float | None:
    """On the images that were trained on, where the curve is convex; held out where there is nothing else."""
    found = [result["metrics"].get(f"{split}/{name}") for split in ("train", "val")]
    return next((value for value in found if value is not None), None)


def _distortion(result: Result) -> float | None:
    """What one nat is traded for, by the run's likelihood."""
    config = result.get("config")
    return _of(result, likelihood(config["loss"], result.get("says")).distortion if config else "sse")


def _beta_per_weight(search: _Search) -> float:
    """Of the objective's convention (loss.reduction, loss.scale); 1 of a launcher that knows no beta."""
    known = [result["beta"] / weight for weight, results in search.results.items() for result in results
             if result.get("beta")]  # fmt: skip
    return known[0] if known else 1.0


def check_metric(metric: str, results: Sequence[Result]) -> None:
    """Raises SettingsError if runs are done and none has it."""
    done = _done(results)
    if done and all(metric not in result["metrics"] for result in done):
        there = ", ".join(sorted(done[0]["metrics"]))
        raise SettingsError(f"hydra.sweeper.metric={metric}: no such metric; there are {there}")


def mean_of(metric: str, results: Sequence[Result]) -> float | None:
    """Over the runs that are done and have it as a number."""
    return _mean([result["metrics"].get(metric) for result in _done(results)])


def _done(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result["status"] == "done"]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None
