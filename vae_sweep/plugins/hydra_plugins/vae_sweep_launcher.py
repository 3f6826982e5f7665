"""Hydra's door to the engine: `hydra/launcher=local` (the default), `slurm`, `ray`, `basic`.

Hydra finds launchers in the namespace `hydra_plugins` only, and imports them all at every start: nothing heavy here.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from vae_sweep.sweep.run_sweep import Job, Outcome

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OUR_SWEEPERS = "hydra_plugins.vae_sweep_sweepers."


class MemberFailed(CompactHydraException):
    """A member that did not get done; the message says why. Hydra prints it without a traceback of its own."""


class SweepLauncher(Launcher):
    """Composes the members, has run_sweep train them at the launcher's place, and gives Hydra its job returns.

    target: module:function that trains a pack (for tests); other parameters are the place's.
    """

    def __init__(self, **parameters: Any):
        self.parameters = parameters
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.outcome: Outcome | None = None  # of the last batch, for a sweeper that launches several

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from vae_sweep.sweep.refusal import refused_in_one_line
        from vae_sweep.sweep.run_sweep import run_sweep

        assert self.config is not None
        assert self.hydra_context is not None
        setup_globals()
        with refused_in_one_line():
            jobs = jobs_of(self.config, self.hydra_context, job_overrides, initial_job_idx)
            place = self.place(jobs[0].config)
            outcome = self.outcome = run_sweep(jobs, place, command=sys.argv, before=self.outcome)
        if outcome.exit_code >= 128:  # Ctrl-C or SIGTERM: not a failure of a job, and no more batches
            raise SystemExit(outcome.exit_code)
        if not self.config.hydra.callbacks and takes_results_alone(self.config):
            returns = list(map(bare_return, job_overrides, outcome.results))
        else:
            returns = [
                self.job_return(compose(self.config, self.hydra_context, overrides, number), result)
                for number, (overrides, result) in enumerate(
                    zip(job_overrides, outcome.results, strict=True), start=initial_job_idx
                )
            ]
        if outcome.exit_code and whole_grid(self.config):
            # All has been said. Hydra's sweeper would only find the first failure and tell it once more.
            raise SystemExit(outcome.exit_code)
        return returns

    def place(self, config: dict[str, Any]) -> Any:
        raise NotImplementedError

    def job_return(self, config: DictConfig, result: dict[str, Any]) -> JobReturn:
        """Let Hydra run its callbacks and make its job return around the result that is there already."""

        def task(_: DictConfig) -> dict[str, Any]:
            if (failure := failure_of(result)) is not None:
                raise failure
            return result["metrics"]

        assert self.hydra_context is not None
        return run_job(
            hydra_context=self.hydra_context,
            task_function=task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            configure_logging=False,
        )


class LocalLauncher(SweepLauncher):
    """One process per slot of this machine."""

    def place(self, config: dict[str, Any]) -> Any:
        from vae_sweep.engine.machine import Machine

        return Machine(config["trainer"]["accelerator"], config["launcher"], **self.parameters)


class SlurmLauncher(SweepLauncher):
    """One SLURM job per pack, through submitit."""

    def place(self, config: dict[str, Any]) -> Any:
        from vae_sweep.engine.slurm import Cluster

        return Cluster(config["launcher"], **self.parameters)


class RayLauncher(SweepLauncher):
    """One Ray actor per pack, on a cluster or on this machine."""

    def place(self, config: dict[str, Any]) -> Any:
        from vae_sweep.engine.ray_cluster import RayCluster

        plain: Any = OmegaConf.to_container(OmegaConf.create(self.parameters))
        return RayCluster(config["launcher"], config["trainer"]["accelerator"], **plain)


class BasicLauncher(SweepLauncher):
    """One pack after another in this process: for debuggers."""

    def place(self, config: dict[str, Any]) -> Any:
        from vae_sweep.engine.this_process import ThisProcess

        return ThisProcess(**self.parameters)


@dataclass
class BasicConf:
    """`hydra/launcher=basic`: in the place of Hydra's own, which is registered before plugins are imported."""

    _target_: str = "hydra_plugins.vae_sweep_launcher.BasicLauncher"
    target: str = "vae_sweep.training.train:train_pack"


ConfigStore.instance().store(group="hydra/launcher", name="basic", node=BasicConf, provider="vae-sweep")


def whole_grid(config: DictConfig) -> bool:
    """Whether the sweeper launches everything at once and only looks for failures afterwards: the default."""
    sweeper = config.hydra.sweeper
    grids = (BASIC_SWEEPER, f"{OUR_SWEEPERS}GridSweeper")
    return sweeper.get("_target_") in grids and sweeper.get("max_batch_size") is None


def takes_results_alone(config: DictConfig) -> bool:
    """Whether the sweeper reads of a job return no more than its status and its value."""
    return str(config.hydra.sweeper.get("_target_")).startswith((BASIC_SWEEPER, OUR_SWEEPERS))


def failure_of(result: dict[str, Any]) -> MemberFailed | None:
    """Of a member that is not done."""
    if result["status"] == "done":
        return None
    error = result.get("error") or {}
    why = f": {error['type']}: {error['message']}" if error else ""
    return MemberFailed(f"member {result['id']} {result['status']}{why}")


def bare_return(overrides: Sequence[str], result: dict[str, Any]) -> JobReturn:
    """What Hydra's run_job returns, without a config, directories and callbacks of the job's own."""
    failure = failure_of(result)
    status = JobStatus.FAILED if failure else JobStatus.COMPLETED
    return JobReturn(overrides=list(overrides), status=status, _return_value=failure or result["metrics"])


def jobs_of(
    config: DictConfig, context: HydraContext, job_overrides: Sequence[Sequence[str]], first: int
) -> "list[Job]":
    """Raises what Hydra raises for a job that cannot be composed, and SettingsError for a key without a value."""
    from vae_sweep.sweep.composing import composed

    loader = context.config_loader

    def is_group(key: str) -> bool:
        return "." not in key and bool(loader.get_group_options(key))

    return list(composed(job_overrides, first, partial(compose, config, context), is_group))


def compose(config: DictConfig, context: HydraContext, overrides: Sequence[str], number: int) -> DictConfig:
    """The config of a job, as Hydra's launchers make it."""
    composed = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(composed):
        composed.hydra.job.id = str(number)
        composed.hydra.job.num = number
    return composed
