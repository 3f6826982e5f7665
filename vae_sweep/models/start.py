"""Where a network starts: at the mean image and in the units of the data, and, if it is to, at the linear optimum."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vae_sweep.models.numerics import at_least_float32
from vae_sweep.theory.start import LinearPath, Moments, linear_path

LOGIT_GAIN = 4.0  # of logits over pixels in Boehning's bound


@dataclass(frozen=True)
class Start:
    """What a builder may be told of the data, as its argument `start`.

    moments: of the training images. weight: the squared-error weight beta whose linear optimum is begun at; 0 for an
    autoencoder, and for one model of all weights. logits: whether raw outputs are logits.

    For logits eta, with p the mean image and eta = logit p + 4 u, -ln p(x) <= const + 2 ||u - (x - p)||^2 for all u
    (Boehning & Lindsay 1988): so the optimum at beta = weight / 2 bounds the objective, and `weight` is that beta.
    """

    moments: Moments
    weight: float
    logits: bool = False

    def path(self, picture_codes: int, cell_codes: int) -> LinearPath:
        """The linear optimum, in units of `moments.unit`: of images (x - mean) / unit."""
        unit = self.moments.unit
        scaled = Moments(
            self.moments.mean,
            self.moments.variance / unit**2,
            self.moments.basis,
            self.moments.eigenvalues / unit**2,
            self.moments.cells / unit**2,
            self.moments.cell,
            self.moments.side,
        )
        return linear_path(scaled, picture_codes, cell_codes, self.weight / 2 / unit**2)


class Frame(nn.Module):
    """Images in and out of a network that works on (x - mean) / unit, whose root mean square is 1.

    So a network begins at the mean image, and learns alike from faint data and from strong: Adam moves a weight as
    far per step whatever the data's scale, and this leaves it the same way to go.
    """

    mean: Tensor  # (C, H, W)
    offset: Tensor  # (C, H, W): the raw output that stands for the mean image
    unit: Tensor
    gain: Tensor  # of raw outputs over pixels

    def __init__(self, start: Start):
        super().__init__()
        mean = torch.from_numpy(np.ascontiguousarray(start.moments.mean)).float()
        self.register_buffer("mean", mean)
        self.register_buffer("offset", torch.logit(mean, 1e-3) if start.logits else mean.clone())
        self.register_buffer("unit", torch.tensor(start.moments.unit))
        self.register_buffer("gain", torch.tensor((LOGIT_GAIN if start.logits else 1.0) * start.moments.unit))

    def into(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.unit

    def out(self, y: Tensor) -> Tensor:
        return torch.addcmul(self.offset, self.gain, at_least_float32(y))
