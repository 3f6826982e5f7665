"""The search for the best value of a metric as a sequence of jobs. Optuna says where to look next.

Where it looks is a function of what has been found, of the order of that, and of the number of the point: so the same
command goes on with a search. What is kept of it, in `search.json`, are the points in the order of the visits; what
they gave is read from their runs.
"""

import importlib.util
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.checks import SettingsError, check_all, choice, integer, optional, text
from vae_sweep.environment import install
from vae_sweep.runs.files import write_json
from vae_sweep.runs.reading import SEARCH
from vae_sweep.runs.records import read_record
from vae_sweep.sweep.searching import Result, check_metric, mean_of
from vae_sweep.sweep.space import Choice, Dimension

Point = tuple[str, ...]  # an override for every dimension of the space
# (space, known in the order of the visits, settings, how many) -> points, fewer where nothing is left to try
Suggest = Callable[[Sequence[Dimension], Mapping[Point, float | None], Mapping[str, Any], int], list[Point]]

_CHECKS = {
    "metric": text,
    "direction": choice("minimize", "maximize"),
    "sampler": choice("tpe", "random"),
    "runs": integer(1),
    "at_once": optional(integer(1)),
    "seed": integer(0, 2**31),
}
_TRIES = 50  # for a point that is not known yet


def suggested(
    space: Sequence[Dimension], known: Mapping[Point, float | None], settings: Mapping[str, Any], count: int
) -> list[Point]:
    """By Optuna, with a sampler of its own for each point: a state that nobody need keep."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {dimension.key: _distribution(dimension) for dimension in space}
    study = optuna.create_study(direction=settings["direction"])
    for point, value in known.items():
        params = {dimension.key: dimension.value(word) for dimension, word in zip(space, point, strict=True)}
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value, state=state))
    points: list[Point] = []
    while len(points) < count:
        for attempt in range(_TRIES):
            seed = zlib.crc32(f"{settings['seed']} {len(known) + len(points)} {attempt}".encode())
            study.sampler = (
                optuna.samplers.RandomSampler(seed)
                if settings["sampler"] == "random"
                else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            )
            trial = study.ask(distributions)
            point = tuple(dimension.word(trial.params[dimension.key]) for dimension in space)
            if point not in known and point not in points:
                points.append(point)
                break
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            break
    return points


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.whole:
        return IntDistribution(int(low), int(high), dimension.log, int(step or 1))
    return FloatDistribution(low, high, dimension.log, step)


class Optimising:
    """A search in `space` (sweep/space.py), in which the overrides `fixed` hold; the mean over `seeds` counts.

    settings: of hydra.sweeper, `at_once` among them; visited: the points of an earlier command, in their order. Raises
    SettingsError.
    """

    def __init__(
        self,
        space: Sequence[Dimension],
        fixed: Sequence[str],
        seeds: Sequence[str],
        settings: Mapping[str, Any],
        visited: Sequence[Point] = (),
        suggest: Suggest = suggested,
    ):
        check_all("hydra.sweeper.", settings, _CHECKS)
        if not space:
            raise SettingsError(
                "hydra/sweeper=optuna: nothing to look for; loss.kl_weight=tag(log, interval(0.001,10)) is a setting"
                " with many values, model=conv,mlp one with two"
            )
        if suggest is suggested and importlib.util.find_spec("optuna") is None:
            raise SettingsError(f"hydra/sweeper=optuna needs Optuna: {install('optuna')}")
        self.space, self.fixed, self.seeds = list(space), list(fixed), list(seeds) or [""]
        self.settings = dict(settings)
        self.suggest = suggest
        self.known: dict[Point, float | None] = {}  # in the order of the visits; None: failed
        self._asked = [point for point in visited if self._fits(point)]

    def _fits(self, point: Point) -> bool:
        return len(point) == len(self.space) and all(
            dimension.value(word) is not None for dimension, word in zip(self.space, point, strict=True)
        )

    def next_jobs(self) -> list[list[str]]:
        """What to launch now; [] at the end. First what an earlier command has visited: its runs are there."""
        if self.known or not self._asked:
            left = self.settings["runs"] - len(self.known)
            count = min(left, self.settings["at_once"])
            self._asked = self.suggest(self.space, self.known, self.settings, count) if count > 0 else []
        return [[*self.fixed, *point, *([seed] if seed else [])] for point in self._asked for seed in self.seeds]

    def take(self, results: Sequence[Result]) -> None:
        """The results of those jobs, in their order. Raises SettingsError for a metric that there is not."""
        check_metric(self.settings["metric"], results)
        for place, point in enumerate(self._asked):
            own = results[place * len(self.seeds) : (place + 1) * len(self.seeds)]
            self.known[point] = mean_of(self.settings["metric"], own)

    def best(self) -> Point | None:
        worst = -math.inf if self.settings["direction"] == "maximize" else math.inf
        sign = 1 if self.settings["direction"] == "minimize" else -1
        known = {point: worst if value is None else value for point, value in self.known.items()}
        best = min(known, key=lambda point: sign * known[point], default=None)
        return None if best is None or self.known[best] is None else best

    def said(self) -> str:
        best, metric = self.best(), self.settings["metric"]
        if best is None:
            return f"{metric}: no run has it"
        end = "lowest" if self.settings["direction"] == "minimize" else "highest"
        return f"{metric} is {end} at {' '.join(best)}: {self.known[best]:.4g} ({len(self.known)} points)"

    def lines(self) -> list[str]:
        return [f"optuna    {self.said()}"]

    def write(self, folder: Path) -> None:
        visits = [{"settings": list(point), "value": value} for point, value in self.known.items()]
        search = {"settings": [], "said": self.said(), "best": self.best(), "visits": visits}
        write_json(folder / SEARCH, {"schema": 1, **self.settings, "searches": [search]})


def visited(folder: Path) -> list[Point]:
    """The points of a search by Optuna in that folder, in their order; none if there is none that can be read."""
    try:
        kept = read_record(folder / SEARCH, dict[str, Any])
        if kept["kind"] != "optuna":
            return []
        return [tuple(visit["settings"]) for visit in kept["searches"][0]["visits"]]
    except (ValueError, KeyError, TypeError, IndexError):
        return []
