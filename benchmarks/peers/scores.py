"""One measure for the models of all peers: mean SSE and KL of validation images, in float32, with the same noise."""

import torch
from torch import Tensor

from vae_sweep.data.batches import generator
from vae_sweep.models.networks import VAE


@torch.inference_mode()
def sse_and_kl(vae: VAE, images: Tensor) -> tuple[float, float]:
    """images: (N, C, H, W) in [0, 1]. KL in nats."""
    noise = torch.randn(len(images), vae.latent_dim, generator=generator("cpu", "scores"))
    out, posterior, _ = vae(images, noise)
    return float((out - images).square().flatten(1).sum(1).mean()), float(posterior.kl().mean())
