"""The networks of published examples, layer by layer and with their first weights; `model=own model._target_=...`."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from vae_sweep.models.networks import VAE, ImageShape
from vae_sweep.models.numerics import at_least_float32
from vae_sweep.models.posteriors import Diagonal


def burgess(image_shape: ImageShape, latent_dim: int) -> VAE:
    """Images of 32x32 or 64x64: convolutions 4x4 of 32 channels down to 4x4 cells, two layers of 256, and back.

    Burgess et al. 2018, as github.com/YannDubs/disentangling-vae has it: He's uniform weights (gain of ReLU) in every
    layer, the last ones too, and torch's own biases.
    """
    colours, side, _ = image_shape
    halvings = int(math.log2(side / 4))
    channels = [colours, *[32] * halvings]
    down: list[nn.Module] = []
    for c_in, c_out in pairwise(channels):
        down += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
    up: list[nn.Module] = []
    for c_in, c_out in pairwise(channels[::-1]):
        up += [nn.ReLU(inplace=True), nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)]
    encoder = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, Diagonal.n_params(latent_dim)),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 512),
        nn.Unflatten(1, (32, 4, 4)), *up,
    )  # fmt: skip
    return _begun(
        VAE(encoder, decoder, Diagonal, latent_dim),
        lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    )


def keras(image_shape: ImageShape, latent_dim: int) -> VAE:
    """Convolutions 3x3 of 32 and 64 channels with stride 2, a layer of 16, and wider back: Keras' example "vae".

    Glorot's uniform weights, biases of zero. Where Keras pads on the right and below, this pads on the left and above,
    which is the same network for images turned by half a turn, and needs no copies.
    """
    colours, height, width = image_shape
    cells = (64, height // 4, width // 4)
    encoder = nn.Sequential(
        nn.Conv2d(colours, 32, 3, stride=2, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(math.prod(cells), 16), nn.ReLU(), nn.Linear(16, Diagonal.n_params(latent_dim)),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent_dim, math.prod(cells)), nn.ReLU(inplace=True), nn.Unflatten(1, cells),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(32, colours, 3, padding=1),
    )  # fmt: skip
    vae = _begun(VAE(encoder, decoder, Diagonal, latent_dim), nn.init.xavier_uniform_)
    for name, parameter in vae.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return vae


class SoftplusScale(Diagonal):
    """q(z|x) = N(mean, diag(softplus(s)^2)). Parameters: mean, s (d each)."""

    @classmethod
    def from_params(cls, h: Tensor, latent_dim: int) -> Self:
        mean, s = h.split([latent_dim, latent_dim], dim=-1)
        return cls(mean, 2 * nn.functional.softplus(at_least_float32(s)).log())


def altosaar(image_shape: ImageShape, latent_dim: int) -> VAE:
    """Two ReLU layers of 2 x latent_dim each way, scales by softplus: github.com/altosaar/variational-autoencoder."""
    pixels, width = math.prod(image_shape), 2 * latent_dim
    encoder = nn.Sequential(nn.Flatten(), *_dense(pixels, width, SoftplusScale.n_params(latent_dim)))
    decoder = nn.Sequential(*_dense(latent_dim, width, pixels), nn.Unflatten(1, image_shape))
    return VAE(encoder, decoder, SoftplusScale, latent_dim)


def _dense(inputs: int, width: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs),
    ]  # fmt: skip


def _begun(vae: VAE, fill: Callable[[Tensor], Tensor]) -> VAE:
    """`fill` for the weights of every layer."""
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if name.endswith("weight"):
                fill(parameter)
    return vae
