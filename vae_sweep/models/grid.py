"""A grid of codes, and a linear path through the network.

Latents are `picture codes`, which see the whole picture, and `cell codes`, the same number for each cell of an N x N
grid: z = (picture codes, cell codes as (K, N, N)). A linear path (theory/start.py) codes and decodes both at once,
at the closed-form optimum; convolutions over the grid add what is not linear, and add nothing at the start:

    mean, ln variance = path(x) + head(convolutions over cells of x and of what the picture codes leave)
    xhat = y + convolutions over (cell codes, picture codes, cells of y),   y = path's picture of z

The path's vectors stay as they are: trained, they fit the training images (docs/networks.md). No layer mixes images.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_sweep.models.layout import SQUEEZED, Layout
from vae_sweep.models.numerics import at_least_float32, full_precision
from vae_sweep.models.posteriors import FullCovariance, Posterior, SharedScale
from vae_sweep.models.start import Start

_INPUT = 0.75  # of pixels whose root mean square is 1, into the convolutions

Block = Callable[[int], nn.Module]


class Path(nn.Module):
    """The linear optimum, from (x - mean) / unit to codes and back. Vectors of the picture codes are no parameters."""

    basis: Tensor  # (n, d1)
    encode_scale: Tensor  # (d1,)
    decode_scale: Tensor

    def __init__(self, at: Layout, start: Start | None):
        super().__init__()
        d1, cells = at.picture_codes, at.cell_codes
        basis, encode, decode = torch.zeros(math.prod(at.image_shape), d1), torch.zeros(d1), torch.zeros(d1)
        logvar, cell_encode = torch.zeros(d1), torch.zeros(cells, at.patch)
        cell_decode, cell_logvar = torch.zeros(at.patch, cells), torch.zeros(cells)
        self.ends: Tensor | None = None
        if start is not None:
            path = start.path(d1, cells)
            known = min(d1, start.moments.basis.shape[1])
            basis[:, :known] = torch.from_numpy(np.ascontiguousarray(start.moments.basis[:, :known]))
            encode[:known] = _column_scale(path.picture.encode, start.moments.basis, known)
            decode[:known] = _column_scale(path.picture.decode, start.moments.basis, known)
            logvar, cell_logvar = _tensor(np.log(path.picture.variance)), _tensor(np.log(path.cell.variance))
            cell_encode, cell_decode = _tensor(path.cell.encode.T), _tensor(path.cell.decode)
            values = np.concatenate([path.picture.eigenvalues, np.repeat(path.cell.eigenvalues, at.cells**2)])
            self.ends = _tensor(2 * values * start.moments.unit**2)  # the squared-error weights at which they shut
        self.register_buffer("basis", basis)
        self.register_buffer("encode_scale", encode)
        self.register_buffer("decode_scale", decode)
        self.logvar = nn.Parameter(logvar)
        if cells:
            self.cell_encode = nn.Conv2d(at.patch, cells, 1, bias=False)
            self.cell_logvar = nn.Parameter(cell_logvar)
            with torch.no_grad():
                self.cell_encode.weight.copy_(cell_encode[:, :, None, None])
        self.cell_decode = cell_decode  # (patch, K): where the decoder begins
        self.at = at

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """(picture codes (B, d1), cell codes (B, K, N, N) or None, what the picture codes leave of x (B, C, H, W))."""
        with full_precision(x):
            codes = (x.flatten(1) @ self.basis) * self.encode_scale
            left = x - ((codes * self.decode_scale) @ self.basis.T).view_as(x)
            if not self.at.cell_codes:
                return codes, None, left
            return codes, self.cell_encode(_into_cells(_padded(left, self.at), self.at.cell)), left

    def picture(self, codes: Tensor) -> Tensor:
        """Of picture codes: (B, C, side, side), padded to whole cells."""
        with full_precision(codes):
            picture = ((codes * self.decode_scale) @ self.basis.T).view(len(codes), *self.at.image_shape)
            return _padded(picture, self.at)


class GridEncoder(nn.Module):
    """(B, C, H, W) -> (B, n_params)."""

    def __init__(self, at: Layout, family: type[Posterior], path: Path | None, width: int, blocks: int, block: Block):
        super().__init__()
        self.at, self.family, self.path = at, family, path
        sources = 1 if path is None else 2
        self.stem = nn.Conv2d(sources * at.image_shape[0] * at.step**2, width, 1)
        self.blocks = nn.ModuleList([block(width) for _ in range(blocks)])
        stride = at.cell // at.step
        self.down = nn.Conv2d(width, width, stride, stride=stride)
        self.cell_head = nn.Conv2d(width, 2 * at.cell_codes, 1) if at.cell_codes else None
        squeezed = SQUEEZED * at.squeezed**2
        self.squeeze = nn.Conv2d(width, SQUEEZED, 1)
        self.picture_head = nn.Linear(squeezed, 2 * at.picture_codes) if at.picture_codes else None
        below = family.n_params(at.latent_dim) - 2 * at.latent_dim if family is FullCovariance else 0
        self.below = nn.Linear(SQUEEZED, below) if below > 0 else None
        heads = [self.cell_head, self.picture_head]
        for head in heads if path is not None else []:
            _zero(head)
        _zero(self.below)

    def forward(self, x: Tensor) -> Tensor:
        at = self.at
        sources, in_cells = [_padded(x, at)], None
        if self.path is not None:
            picture, in_cells, left = self.path.encode(x)
            sources.append(_padded(left, at))
        h = self.stem(_into_cells(torch.cat(sources, 1) * _INPUT, at.step))
        for block in self.blocks:
            h = h + block(h)
        h = F.silu(self.down(F.silu(h)))
        squeezed = F.avg_pool2d(self.squeeze(h), at.cells // at.squeezed)
        means, logvars = [], []
        if self.picture_head is not None:
            mean, logvar = at_least_float32(self.picture_head(squeezed.flatten(1))).chunk(2, 1)
            means.append(mean if self.path is None else mean + picture)
            logvars.append(logvar if self.path is None else logvar + self.path.logvar)
        if self.cell_head is not None:
            mean, logvar = at_least_float32(self.cell_head(h)).chunk(2, 1)
            means.append((mean if in_cells is None else mean + in_cells).flatten(1))
            logvars.append((logvar if self.path is None else logvar + self.path.cell_logvar[:, None, None]).flatten(1))
        logvar = torch.cat(logvars, 1)
        parts = [*means, logvar.mean(1, keepdim=True) if self.family is SharedScale else logvar]
        if self.below is not None:
            parts.append(at_least_float32(self.below(squeezed.mean((2, 3)))))
        return torch.cat(parts, 1)


class GridDecoder(nn.Module):
    """(B, d) -> (B, C, H, W)."""

    def __init__(self, at: Layout, path: Path | None, width: int, blocks: int, block: Block):
        super().__init__()
        self.at = at
        self._path = [] if path is None else [path]  # the encoder's: no module of two parents, which vmap cannot swap
        if path is not None and at.cell_codes:
            self.cell_decode = nn.Conv2d(at.cell_codes, at.patch, 1, bias=False)
            with torch.no_grad():
                self.cell_decode.weight.copy_(path.cell_decode[:, :, None, None])
        stride = at.cell // at.step
        self.from_cells = nn.ConvTranspose2d(at.cell_codes, width, stride, stride=stride) if at.cell_codes else None
        self.from_picture: nn.Linear | None = None
        if at.picture_codes:
            self.from_picture = nn.Linear(at.picture_codes, SQUEEZED * at.squeezed**2)
            self.spread = nn.Conv2d(SQUEEZED, width, 1)
            self.repeat = nn.Upsample(scale_factor=at.cells * stride // at.squeezed)
        self.from_path = None if path is None else nn.Conv2d(at.image_shape[0] * at.step**2, width, 1)
        self.blocks = nn.ModuleList([block(width) for _ in range(blocks)])
        self.image = nn.Conv2d(width, at.image_shape[0] * at.step**2, 3, padding=1)
        if path is not None:
            _zero(self.image)
            _zero(self.from_picture)
        else:
            with torch.no_grad():
                self.image.weight.mul_(0.1)
                self.image.bias.zero_()  # type: ignore[union-attr]

    @property
    def path(self) -> Path | None:
        return self._path[0] if self._path else None

    def forward(self, z: Tensor) -> Tensor:
        at = self.at
        picture, in_cells = z.split([at.picture_codes, at.latent_dim - at.picture_codes], 1)
        in_cells = in_cells.view(len(z), at.cell_codes, at.cells, at.cells)
        h: Any = 0.0
        y: Any = 0.0
        if self.from_cells is not None:
            h = h + self.from_cells(in_cells)
        if self.from_picture is not None:
            squeezed = self.from_picture(picture).view(len(z), SQUEEZED, at.squeezed, at.squeezed)
            h = h + self.repeat(self.spread(squeezed))
        if self.path is not None and self.from_path is not None:
            y = self.path.picture(picture)
            if at.cell_codes:
                with full_precision(z):
                    y = y + _out_of_cells(self.cell_decode(in_cells), at.cell)
            h = h + self.from_path(_into_cells(y * _INPUT, at.step))
        for block in self.blocks:
            h = h + block(h)
        y = y + at_least_float32(_out_of_cells(self.image(F.silu(h)), at.step))
        return y[..., : at.image_shape[1], : at.image_shape[2]]


def conv_block(width: int) -> nn.Module:
    return nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))


def residual_block(width: int) -> nn.Module:
    return nn.Sequential(conv_block(width), conv_block(width))


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)


def _padded(x: Tensor, at: Layout) -> Tensor:
    """Zeros, which stand for the mean image, on the right and below, up to whole cells."""
    bottom, right = at.cells * at.cell - x.shape[-2], at.cells * at.cell - x.shape[-1]
    return F.pad(x, (0, right, 0, bottom)) if bottom or right else x


# pixel_unshuffle and pixel_shuffle of torch.nn.functional, whose loops take twice as long as a copy by strides.
def _into_cells(x: Tensor, side: int) -> Tensor:
    """(B, C, h side, w side) -> (B, C side^2, h, w)."""
    b, channels, height, width = x.shape
    h, w = height // side, width // side
    return x.view(b, channels, h, side, w, side).permute(0, 1, 3, 5, 2, 4).reshape(b, channels * side**2, h, w)


def _out_of_cells(x: Tensor, side: int) -> Tensor:
    """(B, C side^2, h, w) -> (B, C, h side, w side)."""
    b, channels, h, w = x.shape
    cells = x.view(b, channels // side**2, side, side, h, w).permute(0, 1, 4, 2, 5, 3)
    return cells.reshape(b, channels // side**2, h * side, w * side)


def _zero(layer: nn.Module | None) -> None:
    if layer is not None:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _column_scale(columns: np.ndarray, basis: np.ndarray, known: int) -> Tensor:
    """By what each unit vector of the basis is multiplied: (known,)"""
    return _tensor((columns[:, :known] * basis[:, :known]).sum(0))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
