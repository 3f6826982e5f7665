"""Hydra's door to what a sweep visits: `hydra/sweeper=grid` (the default), `target`, `frontier` and `optuna`.

Hydra imports all plugins at every start: nothing heavy here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus

if TYPE_CHECKING:
    from vae_sweep.sweep.optimising import Optimising
    from vae_sweep.sweep.searching import Searching


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper: every combination of the values. The launcher composes all jobs before the first trains, so
    that they are not composed beforehand to see whether they can be."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None: ...


class SearchSweeper(BasicSweeper):
    """Round after round, each chosen by the results of those before, on any launcher.

    settings: as in conf/hydra/sweeper/. The same command asks for the same weights, whose runs are there already, and
    goes on from them.
    """

    kind: str

    def __init__(self, params: dict[str, str] | None = None, **settings: Any):
        super().__init__(None, params)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from vae_sweep.sweep.refusal import refused_in_one_line

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = parser.parse_overrides([*self._parse_config(), *arguments])
        with refused_in_one_line():
            settings = {"kind": self.kind, **self.settings, "at_once": self.settings["at_once"] or self.slots()}
            return self.run(self.searching(typed, settings))

    def jobs(self, typed: Sequence[Override]) -> list[list[str]]:
        """Every combination of the values, as Hydra's own sweeper has it."""
        (jobs,) = self.split_arguments(list(typed), None)
        return [list(job) for job in jobs]

    def run(self, searching: "Searching | Optimising") -> list[Sequence[JobReturn]]:
        assert self.launcher is not None
        rounds: list[Sequence[JobReturn]] = []
        launched = 0
        while batch := searching.next_jobs():
            returns = self.launcher.launch(batch, initial_job_idx=launched)
            launched += len(batch)
            rounds.append(returns)
            outcome = getattr(self.launcher, "outcome", None)  # of our own launchers, which know the beta
            searching.take(outcome.results if outcome else list(map(_result, returns)))
            if outcome:
                searching.write(outcome.folder)
                if outcome.ended:
                    raise SystemExit(outcome.exit_code)
        print(*searching.lines(), sep="\n", flush=True)
        if any(job.status != JobStatus.COMPLETED for returns in rounds for job in returns):
            raise SystemExit(1)  # which of them, and why, has been said
        return rounds

    def slots(self) -> int:
        """Jobs that the launcher runs side by side, as far as a search can use them."""
        place = getattr(self.launcher, "place", None)
        if place is None:
            return 1
        from omegaconf import OmegaConf

        assert self.config is not None
        plain = {name: OmegaConf.to_container(self.config[name], resolve=True) for name in ("trainer", "launcher")}
        return len(place(plain).slots(4)[0])

    def searching(self, typed: Sequence[Override], settings: dict[str, Any]) -> "Searching | Optimising":
        raise NotImplementedError


class TargetSweeper(SearchSweeper):
    """The weight at which a metric has a value."""

    kind = "target"

    def searching(self, typed: Sequence[Override], settings: dict[str, Any]) -> "Searching":
        from vae_sweep.sweep.searching import TargetSearching

        return TargetSearching(self.jobs(typed), settings)


class FrontierSweeper(SearchSweeper):
    """The weights from which the rate-distortion curve is best known."""

    kind = "frontier"

    def searching(self, typed: Sequence[Override], settings: dict[str, Any]) -> "Searching":
        from vae_sweep.sweep.searching import FrontierSearching

        return FrontierSearching(self.jobs(typed), settings)


class OptunaSweeper(SearchSweeper):
    """The settings at which a metric is best, in the space of those that have several values."""

    kind = "optuna"

    def searching(self, typed: Sequence[Override], settings: dict[str, Any]) -> "Optimising":
        from vae_sweep.sweep.optimising import Optimising, visited
        from vae_sweep.sweep.space import space_of

        assert self.config is not None
        several = [override for override in typed if override.is_sweep_override()]
        seeds = [override for override in several if override.key_or_group == "seed" and override.is_discrete_sweep()]
        space = space_of([override for override in several if override not in seeds])
        (fixed,) = self.jobs([override for override in typed if override not in several])
        name, output_dir = self.config.sweep, self.config.output_dir
        before = visited(Path(output_dir).expanduser() / str(name)) if name is not None else []
        return Optimising(space, fixed, [word for job in self.jobs(seeds) for word in job], settings, before)


def _result(job: JobReturn) -> dict[str, Any]:
    done = job.status == JobStatus.COMPLETED
    return {"status": "done" if done else "failed", "metrics": job._return_value if done else {}}
