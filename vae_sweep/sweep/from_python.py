"""A sweep from Python: settings in, the runs as a DataFrame out; between them, all that the command line does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vae_sweep.conf_folder import CONF
from vae_sweep.engine.machine import Machine
from vae_sweep.engine.place import Place
from vae_sweep.sweep.composing import composed
from vae_sweep.sweep.in_python import combinations, words
from vae_sweep.sweep.one_job import config_of
from vae_sweep.sweep.overrides import check_overrides, read_conf
from vae_sweep.sweep.run_sweep import run_sweep

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

    known = read_conf(CONF)
    values = words(settings, known)
    typed = [f"{key}={','.join(alternatives)}" for key, alternatives in values.items()]
    check_overrides(typed, CONF)
    jobs = list(composed(combinations(values), 0, lambda overrides, _: config_of(overrides), known.groups.__contains__))
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
