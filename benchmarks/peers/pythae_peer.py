"""pythae 0.1.2: its BetaVAE and its trainer, with our layers as encoder and decoder. Images are decoded once.

pythae minimises SSE / 2 + beta KL, so its beta is half of our weight. It knows bf16 on GPUs only.
"""

from pathlib import Path

import torch
from pythae.data.datasets import DatasetOutput
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import Tensor

from benchmarks.peers.task import Task, decoded_once
from vae_sweep.models.networks import VAE


class Encoder(BaseEncoder):
    def __init__(self, vae: VAE):
        super().__init__()
        self.layers = vae.encoder

    def forward(self, x: Tensor) -> DatasetOutput:
        mean, logvar = self.layers(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=logvar)


class Decoder(BaseDecoder):
    def __init__(self, vae: VAE):
        super().__init__()
        self.layers = vae.decoder

    def forward(self, z: Tensor) -> DatasetOutput:
        return ModelOutput(reconstruction=self.layers(z))


def main() -> None:
    task = Task.from_command_line()
    train, val = (decoded_once(task.root, names, task.image_size) for names in (task.train, task.val))
    for kl_weight in task.kl_weights:
        vae = task.network()
        shape = (3, task.image_size, task.image_size)
        config = BetaVAEConfig(input_dim=shape, latent_dim=task.latent_dim, beta=kl_weight / 2)
        folder = Path(task.out) / f"pythae-{kl_weight:g}"
        settings = BaseTrainerConfig(
            output_dir=str(folder),
            num_epochs=task.epochs,
            learning_rate=task.lr,
            per_device_train_batch_size=task.batch_size,
            per_device_eval_batch_size=task.batch_size,
            scheduler_cls="CosineAnnealingLR",
            scheduler_params={"T_max": task.epochs},
            seed=task.seed,
        )
        TrainingPipeline(model=BetaVAE(config, Encoder(vae), Decoder(vae)), training_config=settings)(train, val)
        (best,) = folder.glob("*/final_model/model.pt")  # the best epoch of validation: pythae's choice
        trained = torch.load(best, weights_only=True)["model_state_dict"]
        vae.load_state_dict({name.replace("layers.", "", 1): tensor for name, tensor in trained.items()})
        task.save(kl_weight, vae)


if __name__ == "__main__":
    main()
