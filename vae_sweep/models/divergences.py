"""What may stand beside the reconstruction term: KLs, their split, free bits. All in nats."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_sweep.models.posteriors import LOG_2PI, Posterior

DIVERGENCES = ("kl", "reverse_kl", "tc")
TC_ESTIMATORS = ("stratified", "weighted")


class Split(NamedTuple):
    """The mean of KL(q(z|x) || p(z)) = mutual information + total correlation + dimension-wise KL."""

    mutual_information: Tensor  # (B,) ln q(z|x) - ln q(z)
    total_correlation: Tensor  # (B,) ln q(z) - sum_j ln q(z_j)
    dimension_wise: Tensor  # (B,) sum_j [ln q(z_j) - ln p(z_j)]


def split_kl(posterior: Posterior, z: Tensor, n_train: int, estimator: str = "stratified") -> Split:
    """One-sample estimates of the three parts of the KL from a batch. Chen et al. 2018, appendix C.

    z (B, d) are samples of `posterior`, one per image. The aggregate posterior q(z) = mean over the n_train
    images is estimated from the batch, with weights

    - stratified: 1/N for the image a z came from, (N - 1) / (N (B - 1)) for the others: unbiased for q(z) and
      q(z_j). This is Chen's matrix averaged over the orders of the batch, of which it should know nothing.
    - weighted: 1 / (N B) for all: too small by a factor B where posteriors do not overlap and by N where they
      coincide, so that its gradients serve but its values do not.

    The logarithm of an unbiased estimate is biased downwards (Jensen), so the mutual information comes out
    too large, more so the fewer images of the batch a z could have come from, up to ln N. The sum of the three
    parts is ln q(z|x) - ln p(z), whose mean is the KL without bias. A penalty; metrics.py measures.
    """
    log_weight = _log_weights(len(z), n_train, estimator, z)
    # [i, j]: density of z_i under the posterior of image j
    log_q_zx = posterior.log_prob(z[:, None])  # (B, B)
    log_q_zx_per_unit = posterior.log_prob_per_unit(z[:, None])  # (B, B, d)
    log_q_z = torch.logsumexp(log_q_zx + log_weight, dim=1)
    log_q_z_per_unit = torch.logsumexp(log_q_zx_per_unit + log_weight[..., None], dim=1)  # (B, d)
    log_product = log_q_z_per_unit.sum(-1)
    log_prior = -0.5 * (z**2 + LOG_2PI).sum(-1)
    return Split(
        mutual_information=posterior.log_prob(z) - log_q_z,
        total_correlation=log_q_z - log_product,
        dimension_wise=log_product - log_prior,
    )


def _log_weights(batch_size: int, n_train: int, estimator: str, like: Tensor) -> Tensor:
    """ln of the weight of image j in the estimate of q(z_i): (B, B)."""
    if estimator == "weighted":
        return like.new_full((batch_size, batch_size), -math.log(n_train * batch_size))
    others = (n_train - 1) / (n_train * (batch_size - 1)) if batch_size > 1 else 1.0
    own = torch.eye(batch_size, dtype=torch.bool, device=like.device)
    return torch.where(own, like.new_full((), -math.log(n_train)), like.new_full((), math.log(others)))


def free_bits(kl_per_unit: Tensor, least: float | Tensor, groups: int) -> Tensor:
    """Sum over groups of max(least, mean over the batch of the group's KL). Kingma et al. 2016.

    kl_per_unit: (B, d); groups: how many, of d / groups consecutive units each; least: nats per group. The
    mean is inside the maximum: a group below `least` on average has no KL gradient at all. -> 0-dim.
    """
    per_group = kl_per_unit.mean(0).unflatten(0, (groups, -1)).sum(-1)  # (groups,)
    return torch.clamp(per_group, min=least).sum()
