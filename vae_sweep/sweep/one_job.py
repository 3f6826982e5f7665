"""Hydra without its command line: the config that some words stand for."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vae_sweep.conf_folder import CONF
from vae_sweep.sweep.settings import SettingsError


def config_of(words: Sequence[str]) -> DictConfig:
    """With its `hydra` node. Hydra's global state is left as it was. Raises SettingsError for what it refuses."""
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            return compose("config", list(words), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(str(error).strip().splitlines()[0]) from None
