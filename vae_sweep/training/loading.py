"""A trained member, opened from its run folder or its checkpoint file: encode, decode, sample."""

from pathlib import Path

import torch
from torch import Tensor

from vae_sweep.data.batches import generator
from vae_sweep.models.multi_rate import AtWeight
from vae_sweep.models.networks import VAE
from vae_sweep.models.posteriors import Posterior
from vae_sweep.training.build import build
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.lit_vae import LitVAE


class TrainedVAE:
    """Images (B, C, H, W) in [0, 1] to posteriors over latents and back. `lit` is the LightningModule inside.

    vae: what encodes and decodes; by default the one in `lit`, of a multi-rate model at loss.kl_weight.
    """

    def __init__(self, lit: LitVAE, image_shape: tuple[int, int, int], vae: VAE | AtWeight | None = None):
        self.lit = lit.eval().requires_grad_(False)
        self.image_shape = image_shape
        self.vae = lit.objective.vae if vae is None else vae

    def at(self, kl_weight: float) -> "TrainedVAE":
        """A multi-rate model at another weight. Raises ValueError outside its range, and for a model of one weight."""
        if not self.lit.objective.multi_rate:
            raise ValueError("this model was trained at one weight; model.multi_rate=true trains one for all")
        model = self.lit.objective.vae
        low, high = model.kl_weight_range
        if not low <= kl_weight <= high:
            raise ValueError(f"kl_weight={kl_weight}: this model was trained on {low:g} to {high:g}")
        return TrainedVAE(self.lit, self.image_shape, model.at(kl_weight))

    @property
    def latent_dim(self) -> int:
        return self.lit.objective.vae.latent_dim

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) with .mean and .variance (B, d) and .sample(noise). Raises ValueError for images of another size."""
        if tuple(x.shape[1:]) != tuple(self.image_shape):
            raise ValueError(f"images of shape {tuple(x.shape[1:])}: this model takes {tuple(self.image_shape)}")
        return self.vae.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """Images of latents (B, d), clipped to [0, 1]."""
        return self.lit.objective.likelihood.image(self.vae.decode(z)).clamp(0, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the posterior mean."""
        return self.decode(self.encode(x).mean)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n images of z ~ N(0, I)."""
        z = torch.randn((n, self.latent_dim), generator=generator("cpu", "prior", seed))
        return self.decode(z)


def load_lit(path: str | Path) -> tuple[LitVAE, dict]:
    """(module with its trained weights on the CPU, checkpoint) of a run folder or checkpoint file.

    Raises RecordError if there is no checkpoint.
    """
    path = Path(path)
    checkpoint = load_checkpoint(path / LAST if path.is_dir() else path)
    known = checkpoint["hyper_parameters"]
    lit = build(known["config"], tuple(known["image_shape"]), known["images"])
    lit.restore_weights(checkpoint)
    return lit, checkpoint


def load_model(run: str | Path) -> TrainedVAE:
    """The trained VAE of a run folder (or of a checkpoint file).

    >>> vae = load_model("outputs/my_sweep/000-kl_weight=0.1-4f2a9c01")  # doctest: +SKIP
    >>> vae.sample(16).shape  # doctest: +SKIP
    torch.Size([16, 3, 64, 64])
    """
    lit, checkpoint = load_lit(run)
    return TrainedVAE(lit, tuple(checkpoint["hyper_parameters"]["image_shape"]))
