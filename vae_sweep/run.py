"""`python -m vae_sweep.run`: one run, or with -m a sweep. Hydra's door; torch waits until something is trained."""

import logging
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_sweep.sweep.refusal import refused_in_one_line
from vae_sweep.sweep.settings import check_overrides

# conf/hydra/launcher/basic.yaml takes the place of Hydra's own entry of that name, on purpose.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/basic' is validated against ConfigStore schema")

_PACKED = Path(__file__).parent / "conf"  # in a wheel
CONF = _PACKED if _PACKED.is_dir() else Path(__file__).parents[1] / "conf"

_name: str | None = None  # of the sweep, for a launcher that runs several members in this process


def single(config: DictConfig) -> dict[str, float]:
    """Train one member in this process. Returns its metrics. Exits with 1 if it failed, 130 or 143 if stopped."""
    from vae_sweep.engine.this_process import ThisProcess
    from vae_sweep.sweep.jobs import job_of
    from vae_sweep.sweep.run_sweep import run_sweep

    global _name
    with refused_in_one_line():
        job = job_of(_with_hydra(config))
        outcome = run_sweep([job], ThisProcess(), command=sys.argv, name=_name)
    _name = outcome.folder.name
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    return outcome.results[0]["metrics"]


def _with_hydra(config: DictConfig) -> DictConfig:
    """The task's config with the `hydra` node that Hydra took off."""
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = HydraConfig.get()
    return whole


def _speak() -> None:
    """What the package has to say (images decoded, files left out) goes to standard error, as plain lines."""
    logger = logging.getLogger("vae_sweep")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def main() -> None:
    _speak()
    with refused_in_one_line():
        check_overrides(sys.argv[1:], CONF)
    with TemporaryDirectory(prefix="vae-sweep-") as scratch:
        OmegaConf.register_new_resolver("scratch", lambda: scratch)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(single)()


if __name__ == "__main__":
    main()
