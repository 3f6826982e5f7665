"""Members' configs, composed from the real conf/. Not a test."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

CONF = Path(__file__).parents[1] / "conf"


def member_config(*overrides: str) -> dict[str, Any]:
    """The resolved plain config of one member. Hydra's global state is left as it was: unset."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)  # type: ignore[return-value]
