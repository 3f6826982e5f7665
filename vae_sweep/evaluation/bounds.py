"""Importance-weighted bounds on the likelihood of held-out images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_sweep.evaluation.codes import Split, cut, noise_for
from vae_sweep.evaluation.noise import PixelNoise
from vae_sweep.metrics.importance import (
    effective_sample_size,
    log_prior_ratio,
    negative_log_likelihood,
    sampling_error,
    standard_error,
)
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import Posterior

DECODED_AT_ONCE = 128  # more do not fit into a processor's cache


@dataclass(frozen=True)
class PosteriorSamples:
    """K samples of the posterior of each of B images, all (K, B) float64, judged with any noise afterwards."""

    recon: Tensor
    sse: Tensor
    log_prior_ratio: Tensor  # ln p(z) - ln q(z|x)

    def log_weights(self, noise: PixelNoise) -> Tensor:
        """ln p(x, z) / q(z|x)"""
        return self.log_prior_ratio - noise.nats(self.recon, self.sse)

    def bounds(self, noise: PixelNoise, ks: Sequence[int], suffix: str = "") -> dict[str, float]:
        """nll_k, falling with k towards -ln p(x), in nats; of the largest k also errors and effective sample size.

        nll_se: over images. nll_mc_se: from the finite K alone, what remains where runs are compared on the same
        images. ess: mean over images.
        """
        log_weights = self.log_weights(noise)
        largest = negative_log_likelihood(log_weights, len(log_weights))
        found = {f"nll{suffix}_{k}": float(negative_log_likelihood(log_weights, k).mean()) for k in ks}
        return found | {
            f"nll{suffix}_se": standard_error(largest),
            f"nll{suffix}_mc_se": float((sampling_error(log_weights) ** 2).mean().sqrt() / len(largest) ** 0.5),
            f"ess{suffix}": float(effective_sample_size(log_weights).mean()),
        }


@torch.no_grad()
def sample_posterior(objective: Objective, split: Split, posterior: Posterior, samples: int) -> PosteriorSamples:
    """Decodes samples x images latents; one image at a time, so that only one batch is held. posterior: of `split`."""
    columns: list[tuple[Tensor, ...]] = []
    for position in range(len(split)):
        here = slice(position, position + 1)
        x, own = split[here], cut(posterior, here)
        z = own.sample(noise_for((samples, *own.mean.shape), x.device, "bounds", position))  # (K, 1, d)
        parts = list(_compared(objective, z[:, 0], x))
        recon, sse = (torch.cat(part) for part in zip(*parts, strict=True))
        columns.append((recon, sse, log_prior_ratio(own, z)[:, 0]))
    stacked = (torch.stack(column, 1).cpu().double() for column in zip(*columns, strict=True))
    return PosteriorSamples(*stacked)


def _compared(objective: Objective, z: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(recon, squared error) of one image decoded from many z."""
    for part in z.split(DECODED_AT_ONCE):
        out = objective.vae.decode(part)
        target = x.expand(len(part), -1, -1, -1)
        yield objective.likelihood.compare(out, target)


def sizes_of_k(largest: int) -> tuple[int, ...]:
    """1, 10, 100, ... and `largest`, leaving out what does not divide it."""
    powers = [10**exponent for exponent in range(len(str(largest)))]
    return tuple(sorted({k for k in [*powers, largest] if k <= largest and largest % k == 0}))
