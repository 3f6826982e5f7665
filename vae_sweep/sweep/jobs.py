"""From Hydra's composed config to a job of the sweep: where its types end and plain dictionaries begin."""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from vae_sweep.sweep.run_sweep import Job
from vae_sweep.sweep.settings import SettingsError


def job_of(config: DictConfig) -> Job:
    """A job from a config that still has its `hydra` node. Raises SettingsError for a key that has no value yet."""
    hydra = config.hydra
    task = config.copy()
    with open_dict(task):
        del task["hydra"]
    overrides = [str(override) for override in hydra.overrides.task]
    hydra_files = {
        "config.yaml": OmegaConf.to_yaml(task),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(config, "hydra")),
        "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(overrides)),
    }
    return Job(_plain(task), tuple(overrides), hydra_files)


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        raise SettingsError(f"{error.full_key}: needs a value, none was given") from None
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from None
