"""Networks. A VAE is an encoder, a decoder and a family of posteriors; it knows nothing of losses.

Encoders end in an affine layer (the posterior's parameters) and decoders begin with one, so that the moment
identities of a stationary point hold. Decoders return *raw* outputs: the mean of a Gaussian pixel, or the logit of
a Bernoulli one; the likelihood says which. No layer mixes the images of a batch.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vae_sweep.models.grid import Block, GridDecoder, GridEncoder, Path, conv_block, norm, residual_block
from vae_sweep.models.layout import ImageShape, Layout, layout
from vae_sweep.models.numerics import at_least_float32
from vae_sweep.models.posteriors import POSTERIORS, Posterior
from vae_sweep.models.start import Frame, Start

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
}


class VAE(nn.Module):
    """Encoder (B, C, H, W) -> (B, n_params); decoder (B, d) -> (B, C, H, W).

    start: what is known of the data, so that both work on (x - mean image) / unit; None: on the pixels as they are.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: type[Posterior],
        latent_dim: int,
        start: Start | None = None,
    ):
        super().__init__()
        self.frame = None if start is None else Frame(start)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.latent_dim = latent_dim

    def at(self, kl_weight: float | Tensor, weight_noise: Tensor | None = None) -> "VAE":
        """What encodes and decodes at a KL weight, with the noise of random weights: this, where neither plays a part.

        Models that are told the weight (multi_rate.py) or have random weights (bayesian.py) return a view instead.
        """
        return self

    @property
    def ends(self) -> Tensor | None:
        """The squared-error weights (d,) above which the linear path's units are shut; None without a path."""
        path = getattr(getattr(self, "decoder", None), "path", None)
        return None if path is None else path.ends

    @property
    def layout(self) -> Layout | None:
        """How latents lie on a grid; None for a network without one."""
        found = getattr(getattr(self, "decoder", None), "at", None)
        return found if isinstance(found, Layout) else None

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) of images x (B, C, H, W) in [0, 1]."""
        return self.posterior.from_params(self.encoded(x), self.latent_dim)

    def encoded(self, x: Tensor) -> Tensor:
        """Parameters (B, n_params) of the posteriors of images x."""
        # Under autocast the head comes out in bfloat16; a posterior's exponentials and sums want more digits.
        return at_least_float32(self.encoder(x if self.frame is None else self.frame.into(x)))

    def decode(self, z: Tensor) -> Tensor:
        """Raw output (B, C, H, W) of latents z (B, d)."""
        y = at_least_float32(self.decoder(z))
        return y if self.frame is None else self.frame.out(y)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Posterior, Tensor]:
        """(raw output, posterior, z). noise: (B, d) standard normal; None decodes the posterior mean."""
        posterior = self.encode(x)
        z = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(z), posterior, z


def conv(
    image_shape: ImageShape,
    latent_dim: int,
    posterior: str = "diagonal",
    channels: int = 16,
    latent_grid: int = 1,
    linear_path: bool = False,
    start: Start | None = None,
) -> VAE:
    """Strided 4x4 convolutions down to at most 4x4 cells, and back. Depth follows the image size.

    Sides are padded up to a multiple of 2^depth inside and cropped again at the output, so that any size works.
    latent_grid: N > 1 lays the latents on an N x N grid, linear_path leads the closed-form optimum through (grid.py):
    then the convolutions, twice `channels` wide, run over the grid. Raises ValueError for latents that do not fit it.
    """
    if latent_grid > 1 or linear_path:
        at = layout(image_shape, latent_dim, latent_grid, linear_path)
        return _on_grid(at, posterior, linear_path, start, 2 * channels, (1, 3), conv_block)
    grid = _Grid(image_shape, channels)
    down: list[nn.Module] = []
    for c_in, c_out in zip([image_shape[0], *grid.widths], grid.widths, strict=False):
        down += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1), nn.SiLU()]
    up: list[nn.Module] = []
    for c_in, c_out in zip(grid.widths[::-1], [*grid.widths[-2::-1], image_shape[0]], strict=True):
        up += [nn.SiLU(), nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)]
    return _one_code(grid, down, up, POSTERIORS[posterior], latent_dim, start)


def resnet(
    image_shape: ImageShape,
    latent_dim: int,
    posterior: str = "diagonal",
    channels: int = 16,
    blocks: int = 1,
    latent_grid: int = 1,
    linear_path: bool = False,
    start: Start | None = None,
) -> VAE:
    """Residual stages (GroupNorm, SiLU) between strided convolutions; as `conv` otherwise."""
    if latent_grid > 1 or linear_path:
        at = layout(image_shape, latent_dim, latent_grid, linear_path)
        numbers = (blocks, 2 * blocks)
        return _on_grid(at, posterior, linear_path, start, 2 * channels, numbers, residual_block)
    grid = _Grid(image_shape, channels)
    down: list[nn.Module] = [nn.Conv2d(image_shape[0], grid.widths[0], 3, padding=1)]
    for c_in, c_out in zip([grid.widths[0], *grid.widths], grid.widths, strict=False):
        down += [
            *(_ResidualBlock(c_in) for _ in range(blocks)),
            nn.Conv2d(c_in, c_out, 3, stride=2, padding=1),
        ]
    down += [norm(grid.widths[-1]), nn.SiLU()]
    up: list[nn.Module] = []
    for c_in, c_out in zip(grid.widths[::-1], [*grid.widths[-2::-1], grid.widths[0]], strict=True):
        up += [nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_out, 3, padding=1)]
        up += [_ResidualBlock(c_out) for _ in range(blocks)]
    up += [norm(grid.widths[0]), nn.SiLU(), nn.Conv2d(grid.widths[0], image_shape[0], 3, padding=1)]
    return _one_code(grid, down, up, POSTERIORS[posterior], latent_dim, start)


def _one_code(
    grid: "_Grid",
    down: Sequence[nn.Module],
    up: Sequence[nn.Module],
    family: type[Posterior],
    latent_dim: int,
    start: Start | None,
) -> VAE:
    head = nn.Linear(grid.cells, family.n_params(latent_dim))
    encoder = nn.Sequential(_PadTo(grid.padded), *down, nn.Flatten(), head)
    spread = nn.Linear(latent_dim, grid.cells)
    decoder = nn.Sequential(spread, nn.Unflatten(1, grid.shape), *up, _CropTo(grid.size))
    return _initialised(VAE(encoder, decoder, family, latent_dim, start), last=up[-1])


def _on_grid(
    at: Layout,
    posterior: str,
    linear_path: bool,
    start: Start | None,
    width: int,
    blocks: tuple[int, int],
    block: Block,
) -> VAE:
    family = POSTERIORS[posterior]
    path = Path(at, start) if linear_path else None
    encoder = GridEncoder(at, family, path, width, blocks[0], block)
    return VAE(encoder, GridDecoder(at, path, width, blocks[1], block), family, at.latent_dim, start)


def mlp(
    image_shape: ImageShape,
    latent_dim: int,
    posterior: str = "diagonal",
    hidden: Sequence[int] = (512, 256),
    activation: str = "relu",
    start: Start | None = None,
) -> VAE:
    """Fully connected; the decoder mirrors the encoder. activation: one of ACTIVATIONS."""
    family = POSTERIORS[posterior]
    pixels = math.prod(image_shape)
    encoder = [nn.Flatten(), *_dense([pixels, *hidden, family.n_params(latent_dim)], activation)]
    decoder = [*_dense([latent_dim, *reversed(hidden), pixels], activation), nn.Unflatten(1, image_shape)]
    return _at_the_mean(VAE(nn.Sequential(*encoder), nn.Sequential(*decoder), family, latent_dim, start), decoder[-2])


class _LinearEncoder(nn.Module):
    """mean = V (x - m), a scale that does not depend on x: the model whose optimum is known in closed form."""

    def __init__(self, pixels: int, latent_dim: int, scale_params: int):
        super().__init__()
        self.mean = nn.Linear(pixels, latent_dim)
        self.scale = nn.Parameter(torch.zeros(scale_params))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(x.flatten(1))
        return torch.cat([mean, self.scale.expand(mean.shape[0], -1)], dim=1)


def linear(image_shape: ImageShape, latent_dim: int, posterior: str = "diagonal", start: Start | None = None) -> VAE:
    """xhat = W z + m, q = N(V (x - m), S) with one S for all x. Lucas et al. 2019 (probabilistic PCA)."""
    family = POSTERIORS[posterior]
    pixels = math.prod(image_shape)
    encoder = _LinearEncoder(pixels, latent_dim, family.n_params(latent_dim) - latent_dim)
    decoder = nn.Sequential(nn.Linear(latent_dim, pixels), nn.Unflatten(1, image_shape))
    return _at_the_mean(VAE(encoder, decoder, family, latent_dim, start), decoder[0])


class _Grid:
    """Where the strided layers go: side lengths as they are and padded, the width of each layer, the coarsest map."""

    def __init__(self, image_shape: ImageShape, channels: int):
        _, height, width = image_shape
        self.size = (height, width)
        depth = max(1, math.ceil(math.log2(max(height, width) / 4)))
        self.padded = tuple(math.ceil(side / 2**depth) * 2**depth for side in (height, width))
        self.widths = [channels * 2 ** min(layer, 3) for layer in range(depth)]
        self.shape = (self.widths[-1], self.padded[0] // 2**depth, self.padded[1] // 2**depth)
        self.cells = math.prod(self.shape)


class _PadTo(nn.Module):
    """Zero-pad on the right and below."""

    def __init__(self, size: Sequence[int]):
        super().__init__()
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = self.size[0] - x.shape[-2], self.size[1] - x.shape[-1]
        return nn.functional.pad(x, (0, right, 0, bottom)) if bottom or right else x


class _CropTo(nn.Module):
    def __init__(self, size: Sequence[int]):
        super().__init__()
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.size[0], : self.size[1]]


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            norm(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            norm(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _initialised(vae: VAE, last: Any) -> VAE:
    """Weights that keep the scale of activations through the depth (He et al. 2015), counting the inputs that a
    strided transposed convolution really adds up; torch's defaults shrink them by half at every layer, and the first
    epochs go into growing them back. Images begin close to the mean image (mid grey where the data are not known),
    posterior scales close to the prior's.

    last: the layer that puts out the image.
    """
    for layer in vae.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            taps = math.prod(layer.kernel_size) // math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.in_channels * taps)))
        elif isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.in_channels * math.prod(layer.kernel_size))))
        elif isinstance(layer, nn.Linear):  # an affine end: nothing follows that would halve its variance
            nn.init.normal_(layer.weight, std=math.sqrt(1 / layer.in_features))
        else:
            continue
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        head: Any = vae.encoder[-1]  # type: ignore[index]
        head.weight[vae.latent_dim :].mul_(0.1)
        last.weight.mul_(0.1)
        last.bias.fill_(0.5 if vae.frame is None else 0.0)
    return vae


def _at_the_mean(vae: VAE, last: Any) -> VAE:
    """Images begin close to the mean image, where the data are known."""
    if vae.frame is not None:
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()
    return vae


def _dense(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers[:-1]
