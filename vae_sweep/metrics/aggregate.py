"""Of the aggregate posterior q(z) = mean over images of q(z|x): which units carry information, and of what kind."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_sweep.models.posteriors import LOG_2PI, Diagonal, Posterior
from vae_sweep.theory.linear import ACTIVE

CHUNK = 2**20  # numbers (images x images x latents) held at a time; they fit into a processor's cache


def activity(mean: Tensor) -> Tensor:
    """Var_x(E_q z_j): posterior means (N, d) -> (d,). Burda et al. 2016, section 5.2."""
    return mean.var(0, correction=0)


def active_units(mean: Tensor, threshold: float = ACTIVE) -> int:
    """How many units have an activity above `threshold`."""
    return int((activity(mean) > threshold).sum())


class AggregateKL(NamedTuple):
    """mean KL(q(z|x) || p(z)) = mutual information + total correlation + dimension-wise KL. Nats."""

    mutual_information: float  # E [ln q(z|x) - ln q(z)]
    total_correlation: float  # E [ln q(z) - sum_j ln q(z_j)]
    dimension_wise: float  # E sum_j [ln q(z_j) - ln p(z_j)]


class Bracket(NamedTuple):
    """Two estimates. In expectation the mutual information lies between them (Poole et al. 2019, section 2.4).

    leave_in: q(z) is the mean over all N images. Exact for the set of these images, hence at most ln N; too small for
    the population they come from. leave_one_out: the image a z came from is left out, which makes q(z) too small and
    the mutual information too large, without limit where posteriors do not overlap.
    """

    leave_in: AggregateKL
    leave_one_out: AggregateKL
    log_n: float


def aggregate_kl(posterior: Posterior, z: Tensor, rows: Tensor | None = None) -> Bracket:
    """Chen et al. 2018, eq. 2, with q(z) and q(z_j) from all images at once.

    posterior: of N > 1 images. z (M, d): samples of it, z_i from image rows[i] (default: one of each image). Sums in
    the densities run over dimensions before the mean over images, and each z leaves out its own image, not another.
    """
    images, d = posterior.mean.shape
    if images < 2:
        raise ValueError(f"the aggregate posterior needs at least 2 images, got {images}")
    rows = torch.arange(images, device=z.device) if rows is None else rows
    log_prob_per_unit = _per_unit(posterior)
    parts: list[Tensor] = []
    for i in torch.arange(len(z), device=z.device).split(max(1, CHUNK // (images * d))):
        per_unit = log_prob_per_unit(z[i, None])  # (m, N, d)
        joint = per_unit.sum(-1) if isinstance(posterior, Diagonal) else posterior.log_prob(z[i, None])  # (m, N)
        own = rows[i, None]
        log_q_given_x = joint.gather(1, own).squeeze(1)
        log_p = -0.5 * (z[i] ** 2 + LOG_2PI).sum(-1)
        own_unit = own[..., None].expand(-1, 1, d)
        own_per_unit = per_unit.gather(1, own_unit).squeeze(1)
        others = torch.logsumexp(joint.scatter(1, own, -torch.inf), 1)
        others_per_unit = torch.logsumexp(per_unit.scatter_(1, own_unit, -torch.inf), 1)  # (m, d)
        elsewhere = others - math.log(images - 1), _sum_of_means(others_per_unit, images - 1)
        everywhere = (
            torch.logaddexp(others, log_q_given_x) - math.log(images),
            _sum_of_means(torch.logaddexp(others_per_unit, own_per_unit), images),
        )
        parts.append(
            torch.stack(
                [
                    part
                    for log_q, log_product in (everywhere, elsewhere)
                    for part in (log_q_given_x - log_q, log_q - log_product, log_product - log_p)
                ]
            )
        )
    means = torch.cat(parts, 1).cpu().double().mean(1).tolist()
    return Bracket(AggregateKL(*means[:3]), AggregateKL(*means[3:]), math.log(images))


def _per_unit(posterior: Posterior) -> Callable[[Tensor], Tensor]:
    """posterior.log_prob_per_unit, with what does not depend on z computed once."""
    plain = type(posterior).log_prob_per_unit is Diagonal.log_prob_per_unit
    if not (isinstance(posterior, Diagonal) and plain):  # a subclass may have a density of its own
        return posterior.log_prob_per_unit
    precision, at_the_mean = torch.exp(-posterior.logvar), -0.5 * (posterior.logvar + LOG_2PI)
    return lambda z: torch.addcmul(at_the_mean, (z - posterior.mean).square_(), precision, value=-0.5)


def _sum_of_means(log_sums: Tensor, images: int) -> Tensor:
    """sum_j ln q(z_j), from the logarithms of the sums over images: (m, d) -> (m,)"""
    return (log_sums - math.log(images)).sum(-1)
