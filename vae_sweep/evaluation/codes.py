"""Images of one split through the network once: posteriors, samples, and what each image's reconstruction costs."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data.batches import Images, binarized, generator
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import EVALUATION_SEED
from vae_sweep.metrics.pictures import psnr, ssim
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import Posterior

BATCH = 64


class Split:
    """Some images of a data set, the same for every run of a sweep, always in the same order.

    rows: of data.images. Where the data are binarised dynamically, each image has one fixed draw.
    """

    def __init__(self, data: ImageData, rows: np.ndarray, device: torch.device):
        self.data = data
        self.rows = rows
        self.device = device
        self._images = Images(data, rows, torch.float32, torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> int:
        return math.prod(self.data.images.shape[1:])

    def __getitem__(self, positions: slice) -> Tensor:
        """(B, C, H, W) in [0, 1]."""
        places = np.arange(len(self))[positions]
        x = self._images[places]
        if self.data.binarize == "dynamic":
            draws = [generator("cpu", "binarize", EVALUATION_SEED, int(self.rows[place])) for place in places]
            x = torch.stack([binarized(image, draw) for image, draw in zip(x, draws, strict=True)])
        return x.to(self.device)

    def batches(self, size: int = BATCH, begin: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """(positions, images), from position `begin` on, the last batch perhaps smaller."""
        for first in range(begin, len(self), size):
            positions = slice(first, min(first + size, len(self)))
            yield positions, self[positions]

    def first(self, images: int | None) -> "Split":
        """The first so many of them (None: all)."""
        return self if images is None else Split(self.data, self.rows[:images], self.device)


def noise_for(shape: Sequence[int], device: torch.device, *key: int | str) -> Tensor:
    """Standard normal, a function of its key: the same on every device."""
    return torch.randn(tuple(shape), generator=generator("cpu", EVALUATION_SEED, *key)).to(device)


@dataclass(frozen=True)
class Codes:
    """What the network made of the N images of a split.

    z (N, d): a sample of each posterior (the mean, of an autoencoder). terms: (N,) each, float64: recon, sse, mse, psnr
    with z, the same with suffix _mean for the posterior mean, kl (not of an autoencoder), and of the first images ssim.
    """

    posterior: Posterior
    z: Tensor
    terms: dict[str, Tensor]

    def means(self) -> dict[str, float]:
        """Means over images of all terms."""
        return {name: float(values.mean()) for name, values in self.terms.items()}

    def first(self, images: int) -> Posterior:
        """Of the first so many images."""
        return cut(self.posterior, slice(images))


@torch.no_grad()
def encode(
    objective: Objective, split: Split, noise: Tensor, ssim_images: int | None = None, batch: int = BATCH
) -> Codes:
    """noise: (N, d) standard normal. ssim_images: how many get the ssim, which is slow. No term depends on `batch`."""
    posteriors, zs, parts = [], [], []
    for positions, x in split.batches(batch):
        posterior = objective.vae.encode(x)
        with_ssim = None if ssim_images is None else max(0, ssim_images - positions.start)
        of_mean = _compare(objective, posterior.mean, x, with_ssim)
        if objective.deterministic:
            z, terms = posterior.mean, of_mean
        else:
            z = posterior.sample(noise[positions])
            terms = _compare(objective, z, x, with_ssim) | {"kl": posterior.kl()}
        terms = terms | {f"{name}_mean": value for name, value in of_mean.items()}
        posteriors.append(posterior)
        zs.append(z)
        parts.append({name: value.cpu().double() for name, value in terms.items()})
    terms = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Codes(joined(posteriors), torch.cat(zs), terms)


def _compare(objective: Objective, z: Tensor, x: Tensor, with_ssim: int | None) -> dict[str, Tensor]:
    """How far what is decoded from z is from x: (B,) each."""
    out = objective.vae.decode(z)
    recon, sse = objective.likelihood.compare(out, x)
    mse = sse / x[0].numel()
    terms = {"recon": recon, "sse": sse, "mse": mse, "psnr": psnr(mse)}
    return terms | {"ssim": ssim(objective.likelihood.image(out)[:with_ssim], x[:with_ssim])}


def joined(posteriors: Sequence[Posterior]) -> Posterior:
    """One posterior of the images of all: their tensors put end to end, and what else the first one holds."""
    return _with(posteriors[0], lambda name: torch.cat([vars(posterior)[name] for posterior in posteriors]))


def cut(posterior: Posterior, rows: slice) -> Posterior:
    """That of some of its images."""
    return _with(posterior, lambda name: vars(posterior)[name][rows])


def _with(posterior: Posterior, tensors: Callable[[str], Tensor]) -> Posterior:
    """A copy with other tensors in the place of those that have the images first."""
    found = copy.copy(posterior)
    held = [name for name, value in vars(posterior).items() if isinstance(value, Tensor) and value.ndim]
    vars(found).update({name: tensors(name) for name in held})
    return found
