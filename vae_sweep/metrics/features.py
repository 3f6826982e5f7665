"""What a distance between two sets of pictures looks at: fixed features that need no download.

Each set is blind to something, so three unlike ones are asked, and where they disagree nothing is claimed:

    random_conv     three layers of random 3 x 3 filters, ReLU, relative to the picture's own contrast: textures and
                    what they combine to. Blind to contrast
    random_filters  random 7 x 7 filters without a mean, |.|, at three scales: edges, and how strong they are
    pooled_pixels   the picture at 16 x 16: layout and colour. Blind to blur

Of the networks the mean and the deviation of every channel over the picture. Random filters tell textures apart
without training (Ustyuzhaninov et al. 2017). The seeds are 0, for no reason; another seed orders runs alike. Without
the division by contrast, random_conv finds blurred grey draws farther from pictures than coloured noise, which no eye
does; random_filters is left like that, as the opposite view.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

AT_ONCE = 2**22  # numbers held at a time
CONV = (32, 64, 128)
FILTERS, SCALES = 32, 3
POOLED = 16


def random_conv(x: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, 448)."""
    found, h = [], 2 * x - 1
    for layer, channels in enumerate(CONV):
        h = F.relu(F.conv2d(h, _filters(layer, channels, h.shape[1], 3).to(x), padding=1, stride=2))
        mean, deviation = _moments(h)
        all_channels = mean.mean(1, keepdim=True) + 1e-6
        found += [mean / all_channels, deviation / (mean + 0.05 * all_channels)]
    return torch.cat(found, 1)


def random_filters(x: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, 192)."""
    found: list[Tensor] = []
    bank = _filters(0, FILTERS, x.shape[1], 7)
    bank = (bank - bank.mean((1, 2, 3), keepdim=True)).to(x)
    h = 2 * x - 1
    for _ in range(SCALES):
        found += _moments(F.conv2d(h, bank, padding=3, stride=2).abs())
        h = F.avg_pool2d(h, 2) if min(h.shape[2:]) >= 8 else h
    return torch.cat(found, 1)


def pooled_pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C * 16 * 16), fewer for smaller pictures."""
    return F.adaptive_avg_pool2d(x, (min(POOLED, x.shape[2]), min(POOLED, x.shape[3]))).flatten(1)


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "random_conv": random_conv,
    "random_filters": random_filters,
    "pooled_pixels": pooled_pixels,
}


@torch.no_grad()
def features(x: Tensor, name: str) -> Tensor:
    """(N, C, H, W) in [0, 1] -> (N, D) on the CPU, batch by batch. No picture's features depend on the others."""
    each = max(1, AT_ONCE // (CONV[0] * x.shape[2] * x.shape[3]))
    return torch.cat([FEATURES[name](part.float()).cpu() for part in x.split(each)])


def _moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (B, C) of every channel. torch.std_mean, which reads h once, takes ten times as long."""
    mean = h.mean((2, 3), keepdim=True)
    return mean.flatten(1), (h - mean).square_().mean((2, 3)).sqrt()


@functools.cache
def _filters(layer: int, out: int, channels: int, side: int) -> Tensor:
    """(out, channels, side, side), variance 2 / fan-in (He et al. 2015), the same on every machine."""
    draws = np.random.Generator(np.random.Philox(key=[side, layer])).standard_normal((out, channels, side, side))
    return torch.from_numpy(draws * math.sqrt(2 / (channels * side**2)))
