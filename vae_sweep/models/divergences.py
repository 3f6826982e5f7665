"""What may stand beside the reconstruction term: KLs, their split, free bits, a capacity. All in nats.

A divergence maps a batch of posteriors and their samples to the penalty that the KL weight multiplies, and to the terms
that are logged with it. One of another package is a subclass of `Divergence`, named by loss.divergence.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_sweep.models.posteriors import LOG_2PI, Posterior
from vae_sweep.traits import DIVERGENCES, DivergenceTraits

Terms = dict[str, Tensor]  # every entry (B,), one number per image
TC_ESTIMATORS = ("stratified", "weighted")


class Divergence(nn.Module):
    """What the KL weight multiplies. Its numbers are buffers, so that the members of a pack may differ in them.

    Draws no noise, branches on no data and updates no state in forward, as torch.func needs.
    """

    traits: DivergenceTraits

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        """(penalty, terms) of q(z|x) of B images and one sample of each, z (B, d).

        penalty: 0-dim, nats, averaged over the images. terms: (B,) each, nats, among them `kl`, KL(q(z|x) || p(z)),
        whatever the penalty is.
        """
        raise NotImplementedError

    def advance(self, step: int) -> None:
        """Before the training step after `step` others. Most divergences are the same at every step."""

    def number(self, name: str, value: float) -> None:
        """Keep a setting as the buffer `name`; it follows from the config, so checkpoints are without it."""
        self.register_buffer(name, torch.tensor(float(value)), persistent=False)


class KL(Divergence):
    """KL(q(z|x) || p(z)): zero-forcing. Kingma & Welling 2014."""

    traits = DIVERGENCES["kl"]

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        kl = posterior.kl()
        return kl.mean(), {"kl": kl}


class ReverseKL(Divergence):
    """KL(p(z) || q(z|x)): mass-covering."""

    traits = DIVERGENCES["reverse_kl"]

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        terms = {"kl": posterior.kl(), "reverse_kl": posterior.reverse_kl()}
        return terms["reverse_kl"].mean(), terms


class TotalCorrelation(Divergence):
    """mi_weight I(x; z) + tc_weight TC + dimension_weight sum_j KL(q(z_j) || p(z_j)). Chen et al. 2018.

    n_train: how many images q(z) is a mean over. estimator: stratified or weighted (`split_kl` states its bias).
    """

    traits = DIVERGENCES["tc"]
    mi_weight: Tensor
    tc_weight: Tensor
    dimension_weight: Tensor

    def __init__(
        self,
        n_train: int,
        mi_weight: float = 1.0,
        tc_weight: float = 1.0,
        dimension_weight: float = 1.0,
        estimator: str = "stratified",
    ) -> None:
        super().__init__()
        if estimator not in TC_ESTIMATORS:
            raise ValueError(f"loss.tc_estimator={estimator}: expected one of {', '.join(TC_ESTIMATORS)}")
        self.n_train = n_train
        self.estimator = estimator
        self.number("mi_weight", mi_weight)
        self.number("tc_weight", tc_weight)
        self.number("dimension_weight", dimension_weight)

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        split = split_kl(posterior, z, self.n_train, self.estimator)
        mi, tc, dwkl = (part.mean() for part in split)
        terms = {
            "kl": posterior.kl(),
            "mi": split.mutual_information,
            "tc": split.total_correlation,
            "dwkl": split.dimension_wise,
        }
        return self.mi_weight * mi + self.tc_weight * tc + self.dimension_weight * dwkl, terms


class FreeBits(Divergence):
    """KL of which each of `groups` groups of consecutive units (None: each unit) has `least` nats free."""

    traits = DIVERGENCES["free_bits"]
    least: Tensor

    def __init__(self, least: float, groups: int | None = None) -> None:
        super().__init__()
        self.groups = groups
        self.number("least", least)

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        kl, per_unit = posterior.kl(), posterior.kl_per_unit()
        # What correlated posteriors cost beyond their marginals belongs to no unit, and is never free.
        correlation = (kl - per_unit.sum(-1)).mean()
        return free_bits(per_unit, self.least, self.groups or per_unit.shape[-1]) + correlation, {"kl": kl}


class Capacity(Divergence):
    """|divergence - C| with a capacity C(step) in nats that training raises. Burgess et al. 2018.

    C follows from the step alone, so it is no part of a checkpoint. In `advance` it is written in place, which reaches
    the slice of a pack's stacked buffers.
    """

    traits = DIVERGENCES["capacity"]
    capacity: Tensor

    def __init__(self, divergence: Divergence, capacity: Callable[[int], float]) -> None:
        super().__init__()
        self.divergence = divergence
        self.capacity_at = capacity
        self.number("capacity", capacity(0))

    def forward(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        penalty, terms = self.divergence(posterior, z)
        return (penalty - self.capacity).abs(), terms

    def advance(self, step: int) -> None:
        self.capacity.fill_(self.capacity_at(step))


def divergence(
    name: str = "kl",
    n_train: int | None = None,
    latent_dim: int | None = None,
    free_bits: float | None = None,
    free_bits_groups: int | None = None,
    mi_weight: float = 1.0,
    tc_weight: float = 1.0,
    dimension_weight: float = 1.0,
    tc_estimator: str = "stratified",
) -> Divergence:
    """The divergence that config calls `name`: kl (with or without free bits), reverse_kl, tc.

    n_train: how many training images there are, which tc needs. Raises ValueError, naming the key, for what has no
    meaning.
    """
    if name not in _BY_NAME:
        raise ValueError(f"loss.divergence={name}: expected one of {', '.join(_BY_NAME)}")
    if free_bits is not None and name != "kl":
        raise ValueError(f"loss.free_bits={free_bits}: needs loss.divergence=kl, got {name}")
    if free_bits_groups is not None and (free_bits_groups < 1 or (latent_dim or 0) % free_bits_groups):
        raise ValueError(f"loss.free_bits_groups={free_bits_groups}: must divide model.latent_dim={latent_dim}")
    if name == "tc":
        if n_train is None:
            raise ValueError("n_train: loss.divergence=tc needs the number of training images")
        return TotalCorrelation(n_train, mi_weight, tc_weight, dimension_weight, tc_estimator)
    if free_bits:  # none are the plain KL
        return FreeBits(free_bits, free_bits_groups)
    return _BY_NAME[name]()


_BY_NAME: Mapping[str, Any] = {"kl": KL, "reverse_kl": ReverseKL, "tc": TotalCorrelation}


class KLParts(NamedTuple):
    """The mean of KL(q(z|x) || p(z)) = mutual information + total correlation + dimension-wise KL."""

    mutual_information: Tensor  # (B,) ln q(z|x) - ln q(z)
    total_correlation: Tensor  # (B,) ln q(z) - sum_j ln q(z_j)
    dimension_wise: Tensor  # (B,) sum_j [ln q(z_j) - ln p(z_j)]


def split_kl(posterior: Posterior, z: Tensor, n_train: int, estimator: str = "stratified") -> KLParts:
    """One-sample estimates of the three parts of the KL from a batch. Chen et al. 2018, appendix C.

    z (B, d) are samples of `posterior`, one per image. The aggregate posterior q(z) = mean over the n_train
    images is estimated from the batch, with weights

    - stratified: 1/N for the image a z came from, (N - 1) / (N (B - 1)) for the others: unbiased for q(z) and
      q(z_j). This is Chen's matrix averaged over the orders of the batch, of which it should know nothing.
    - weighted: 1 / (N B) for all: too small by a factor B where posteriors do not overlap and by N where they
      coincide, so that its gradients serve but its values do not.

    The logarithm of an unbiased estimate is biased downwards (Jensen), so the mutual information comes out
    too large, more so the fewer images of the batch a z could have come from, up to ln N. The sum of the three
    parts is ln q(z|x) - ln p(z), whose mean is the KL without bias. A penalty; metrics/aggregate.py measures.
    """
    log_weight = _log_weights(len(z), n_train, estimator, z)
    # [i, j]: density of z_i under the posterior of image j
    log_q_zx = posterior.log_prob(z[:, None])  # (B, B)
    log_q_zx_per_unit = posterior.log_prob_per_unit(z[:, None])  # (B, B, d)
    log_q_z = torch.logsumexp(log_q_zx + log_weight, dim=1)
    log_q_z_per_unit = torch.logsumexp(log_q_zx_per_unit + log_weight[..., None], dim=1)  # (B, d)
    log_product = log_q_z_per_unit.sum(-1)
    log_prior = -0.5 * (z**2 + LOG_2PI).sum(-1)
    return KLParts(
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
