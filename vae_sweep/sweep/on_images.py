"""Checks of a configuration that need to know how many images there are, before anything is trained or written."""

import importlib
from collections.abc import Mapping
from typing import Any

from vae_sweep.checks import SettingsError
from vae_sweep.runs.members import total_steps

MOST_VALIDATIONS = 100_000
_SCHEDULES = "vae_sweep.schedules"


def check_schedule(config: Mapping[str, Any], n_train: int) -> None:
    """Raises SettingsError for a schedule that does not fit into the run. Controllers (torch) are left to training."""
    target, settings = config["kl_schedule"]["_target_"], dict(config["kl_schedule"])
    module, _, name = settings.pop("_target_").rpartition(".")
    if module != _SCHEDULES or config["objective"] == "autoencoder":
        return
    try:
        getattr(importlib.import_module(module), name)(total_steps=total_steps(config, n_train), **settings)
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingsError(str(error) if isinstance(error, ValueError) else f"kl_schedule={target}: {error}") from None


def check_run(config: Mapping[str, Any], n_train: int) -> None:
    """Raises SettingsError for batches, or a number of validations, that make no sense on so many images."""
    batch, steps = config["data"]["batch_size"], total_steps(config, n_train)
    if batch > max(1024, 16 * n_train):
        raise SettingsError(f"data.batch_size={batch}: more than 16 times the {n_train} training images")
    if config["trainer"]["max_steps"] is None and steps > 10**9:
        raise SettingsError(f"trainer.max_epochs={config['trainer']['max_epochs']}: {steps:.2g} steps, at most 1e9")
    every = config["trainer"]["val_every_n_epochs"]
    if min(steps, steps * batch / (every * n_train)) > MOST_VALIDATIONS:
        raise SettingsError(
            f"trainer.val_every_n_epochs={every:g}: more than {MOST_VALIDATIONS} validations in {steps} steps"
        )
