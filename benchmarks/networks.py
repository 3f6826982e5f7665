"""The two networks that speed is measured on; every peer trains these very layers, from the same first weights."""

import torch
from torch import nn

from vae_sweep.models.networks import VAE, ImageShape
from vae_sweep.models.posteriors import Diagonal


def small(image_shape: ImageShape, latent_dim: int, **_: object) -> VAE:
    """Two strided convolutions of 16 and 32 channels and their mirror image: for images of 8x8, mostly overhead."""
    colours, height, width = image_shape
    cells = (32, height // 4, width // 4)
    encoder = nn.Sequential(
        nn.Conv2d(colours, 16, 4, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.SiLU(),
        nn.Flatten(), nn.Linear(torch.Size(cells).numel(), Diagonal.n_params(latent_dim)),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent_dim, torch.Size(cells).numel()), nn.Unflatten(1, cells), nn.SiLU(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.SiLU(),
        nn.ConvTranspose2d(16, colours, 4, stride=2, padding=1),
    )  # fmt: skip
    return VAE(encoder, decoder, Diagonal, latent_dim)
