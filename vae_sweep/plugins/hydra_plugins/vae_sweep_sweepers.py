"""Hydra's door to what a sweep visits: `hydra/sweeper=grid` (the default), `target` and `frontier`.

Hydra imports all plugins at every start: nothing heavy here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus

if TYPE_CHECKING:
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

    kind = ""

    def __init__(self, params: dict[str, str] | None = None, **settings: Any):
        super().__init__(None, params)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from vae_sweep.sweep.refusal import refused_in_one_line

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = parser.parse_overrides([*self._parse_config(), *arguments])
        (jobs,) = self.split_arguments(typed, None)
        with refused_in_one_line():
            settings = {"kind": self.kind, **self.settings, "at_once": self.settings["at_once"] or self.slots()}
            return self.run(self.searching(jobs, settings))

    def run(self, searching: "Searching") -> list[Sequence[JobReturn]]:
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

    def searching(self, jobs: Sequence[Sequence[str]], settings: dict[str, Any]) -> "Searching":
        raise NotImplementedError


class TargetSweeper(SearchSweeper):
    """The weight at which a metric has a value."""

    kind = "target"

    def searching(self, jobs: Sequence[Sequence[str]], settings: dict[str, Any]) -> "Searching":
        from vae_sweep.sweep.searching import TargetSearching

        return TargetSearching(jobs, settings)


class FrontierSweeper(SearchSweeper):
    """The weights from which the rate-distortion curve is best known."""

    kind = "frontier"

    def searching(self, jobs: Sequence[Sequence[str]], settings: dict[str, Any]) -> "Searching":
        from vae_sweep.sweep.searching import FrontierSearching

        return FrontierSearching(jobs, settings)


def _result(job: JobReturn) -> dict[str, Any]:
    done = job.status == JobStatus.COMPLETED
    return {"status": "done" if done else "failed", "metrics": job._return_value if done else {}}
