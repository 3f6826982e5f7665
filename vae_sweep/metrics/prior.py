"""Do the codes fill the prior, and does the decoder know what to do everywhere in it?"""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_sweep.metrics.two_sample import dealt, inverse
from vae_sweep.models.posteriors import Posterior

_POOL = 512  # at least so many draws, so that pairs of small sets are not the same few again and again


def mmd2(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of samples (N, d) and (M, d): unbiased, so it may be negative.

    U-statistic (Gretton et al. 2012, eq. 3) with the kernel two_sample.inverse: inverse multiquadrics around 2 d, the
    squared distance of two draws of N(0, I) (Tolstikhin et al. 2018).
    """
    a, b = a.double(), b.double()  # so that the squares of near points survive the subtraction
    within_a, within_b = inverse(a, a), inverse(b, b)
    n, m = len(a), len(b)
    off_a = (within_a.sum() - within_a.trace()) / (n * (n - 1))
    off_b = (within_b.sum() - within_b.trace()) / (m * (m - 1))
    return float(off_a + off_b - 2 * inverse(a, b).mean())


def mmd2_null(n: int, latent_dim: int, randomness: torch.Generator, draws: int = 200) -> tuple[float, float]:
    """The range of mmd2 of two sets of n draws of N(0, I): quantiles 0.025 and 0.975 over `draws` pairs of sets.

    They are dealt from one pool of draws, as in a permutation test, so that the kernel is computed once. randomness: of
    the CPU.
    """
    pool = torch.randn((max(2 * n, _POOL), latent_dim), generator=randomness).double()
    deals = torch.stack([torch.randperm(len(pool), generator=randomness)[: 2 * n] for _ in range(draws)])
    within, across = dealt(inverse(pool, pool).fill_diagonal_(0), *deals.split(n, dim=1))
    values = within / (n * (n - 1)) - 2 * across / n**2
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)


def cycle_error(z: Tensor, mean_of_decoded: Tensor, active: Tensor) -> float:
    """Mean over the active units of (z_j - mu_j)^2, mu = posterior mean of the decoded z. NaN if no unit is active.

    z, mean_of_decoded: (N, d); active: (d,) bool. 0: every z is found again. Near 1, for z ~ N(0, I): nothing of z is
    in the picture. The linear VAE at its optimum has (1 - activity_j)^2 = (s2 / lambda_j)^2. Compare draws of the
    prior with codes of real images: a prior that does much worse has holes.
    """
    return float(((z - mean_of_decoded) ** 2)[:, active].cpu().double().mean())


class CodeMoments(NamedTuple):
    """First two moments of the aggregate posterior, unit by unit."""

    second: Tensor  # (d,) E[mean_j^2 + variance_j]
    mean: Tensor  # (d,) E[mean_j]
    rate: float  # -1/2 sum_j E ln variance_j, nats


def moments(posterior: Posterior) -> CodeMoments:
    """At a stationary point second = 1, mean = 0 and rate = KL, at any weight and for any likelihood.

    Needs affine encoder heads and an affine first decoder layer, no weight decay, an unclamped log-variance, a
    diagonal posterior and the plain KL; on training data. Small weights converge slowly.
    """
    mean, variance = posterior.mean.cpu().double(), posterior.variance.cpu().double()  # MPS has no float64
    return CodeMoments((mean**2 + variance).mean(0), mean.mean(0), float(-0.5 * variance.log().sum(1).mean()))
