"""Members made from overrides, as the command line would make them, and trained in this process."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from vae_sweep.data.image_data import ImageData
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.place import Watch
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.engine.worker import run_pack
from vae_sweep.run import CONF
from vae_sweep.sweep.run_sweep import Job, load_images, run_sweep

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


class OneThread(ThisProcess):
    """This process, one thread, and a look at every step."""

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        return [Slot("cpu")], 1

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        from vae_sweep.training.train import train_pack

        for number, pack in enumerate(packs):
            order = {"pack": number, "members": list(pack.members), "threads": 1}
            run_pack(train_pack, folder, order, watch, self.after_a_step)
        return StopRequest()

    def after_a_step(self) -> bool:
        """Whether to stop."""
        return False


def trained_here(*configs: Mapping[str, Any], place: OneThread | None = None) -> None:
    """One sweep over the members. Raises SystemExit, with the traceback, if one fails."""
    jobs = [Job(dict(config)) for config in configs]
    outcome = run_sweep(jobs, place or OneThread(), console=Console(file=io.StringIO()))
    for result in outcome.results:
        if result["error"]:
            raise SystemExit(result["error"]["traceback"])
