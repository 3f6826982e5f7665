"""Members made from overrides, as the command line would make them, to be trained in this process."""

from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vae_sweep.image_data import ImageData
from vae_sweep.run import CONF
from vae_sweep.sweep import load_images

SMALL = ("model._target_=benchmarks.networks.small", "model.latent_dim=8", "data.batch_size=64")


def config_of(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)  # type: ignore[return-value]


def paintings() -> ImageData:
    return load_images(config_of()["data"])


def small_paintings(folder: Path) -> str:
    """The paintings at 8x8, as an override."""
    images = paintings().images
    blocks = images.reshape(len(images), 8, images.shape[1] // 8, 8, images.shape[2] // 8, 3)
    np.save(folder / "small.npy", blocks.mean((2, 4)).round().astype(np.uint8))
    return f"data.path={folder / 'small.npy'}"
