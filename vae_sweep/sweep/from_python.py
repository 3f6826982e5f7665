"""A sweep from Python: settings in, the runs as a DataFrame out; between them, all that the command line does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from vae_sweep.conf_folder import CONF
from vae_sweep.engine.machine import Machine
from vae_sweep.engine.place import Place
from vae_sweep.sweep.in_python import combinations, words
from vae_sweep.sweep.jobs import job_of
from vae_sweep.sweep.overrides import check_overrides, read_conf
from vae_sweep.sweep.run_sweep import Job, run_sweep
from vae_sweep.sweep.settings import SettingsError

if TYPE_CHECKING:
    from vae_sweep.report.notebook import Runs


def sweep(report: bool = True, place: Place | None = None, **settings: Any) -> "Runs":
    """Train one member for every combination of the values; the sweep as `vae_sweep.load` gives it.

    runs = vae_sweep.sweep(kl_weight=[1, 0.1], data="PICTURES", model=MyVAE, sweep="mine")

    settings: those of the command line, a list for several values. A key by its last word where one key alone has it
    (`kl_weight`, `max_steps`), else as `loss={"scale": 0.1}` or `**{"loss.scale": 0.1}`. data: a name, a folder, a
    file, or images (N, H, W, C) as an array. model: a name, or a class that can be imported.
    report: write the page, and show it in a notebook. place: where members train; None: this machine.

    Raises SettingsError, DataError or SweepError, all ValueErrors, before anything is written; KeyboardInterrupt when
    interrupted, after checkpoints are written. Members that fail have their status in the table.
    """
    from vae_sweep.report.notebook import load  # says so where pandas is missing, before anything is trained

    values = words(settings, read_conf(CONF))
    typed = [f"{key}={','.join(alternatives)}" for key, alternatives in values.items()]
    check_overrides(typed, CONF)
    jobs = [_job(overrides) for overrides in combinations(values)]
    first = jobs[0].config
    with _heard():
        place = place or Machine(first["trainer"]["accelerator"], first["launcher"])
        console = Console(highlight=False, force_jupyter=False)  # a notebook's would be a page for every line
        outcome = run_sweep(jobs, place, command=["vae-sweep", "-m", *typed], console=console)
    if outcome.exit_code == 130:
        raise KeyboardInterrupt
    if outcome.exit_code > 128:
        raise SystemExit(outcome.exit_code)
    runs = load(outcome.folder)
    if report:
        runs.report(figures=False)
    return runs


def _job(overrides: list[str]) -> Job:
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            config = compose("config", overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(str(error).strip().splitlines()[0]) from None
    return job_of(config)


@contextmanager
def _heard() -> Iterator[None]:
    """What the package has to say meanwhile goes to standard error, unless the caller's logging takes it."""
    logger = logging.getLogger("vae_sweep")
    if logger.hasHandlers():
        yield
        return
    handler, level = logging.StreamHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
