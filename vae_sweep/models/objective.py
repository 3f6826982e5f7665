"""What is minimised:  a * mean(recon) + kl_weight * b * regulariser,  and the plain terms that are logged.

The terms are per image, summed over pixels or latents, unweighted, and mean the same under every option: `kl` is
KL(q||p) in nats also where the regulariser is another one. (a, b) are those of conventions.py, 1 by default.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vae_sweep.models.divergences import DIVERGENCES, TC_ESTIMATORS, free_bits, split_kl
from vae_sweep.models.likelihoods import Buffers, Likelihood
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.models.posteriors import Posterior
from vae_sweep.theory.conventions import REDUCTIONS, Sizes, factors

Terms = dict[str, Tensor]  # every entry (B,), one number per image
Weight = float | Tensor  # a tensor has no dimensions; of a multi-rate model it may have (B,)


class Objective(nn.Module):
    """A VAE with what it is trained on. Draws no noise and updates no state in forward, as torch.func needs.

    vae: offers encode(x) -> posterior and decode(z) -> raw output.
    divergence: kl = KL(q||p); reverse_kl = KL(p||q); tc = mi_weight I(x; z) + tc_weight TC
        + dimension_weight sum_j KL(q(z_j)||p(z_j)), by `tc_estimator` (divergences.split_kl states its bias).
    reduction: how the two terms are scaled (conventions.py).
    deterministic: the plain autoencoder: z = mean, no KL.
    free_bits: nats that each of `free_bits_groups` groups of consecutive units (default: each unit) may use
        without paying.
    n_train: how many training images there are; needed by tc and by weight_kl_weight.
    weight_kl_weight: for a BayesianVAE (bayesian.py): adds weight_kl_weight * KL(weights) / n_train. With
        recon = sse the weight that tempers nothing is kl_weight, not 1: the ELBO times 2 sigma^2.

    Raises ValueError, naming the key, for combinations that have no meaning.
    """

    vae: Any  # a VAE, a BayesianVAE, a MultiRateVAE, or what offers the same
    likelihood: Likelihood
    free_bits: Tensor | None
    mi_weight: Tensor
    tc_weight: Tensor
    dimension_weight: Tensor
    weight_kl_weight: Tensor | None

    def __init__(
        self,
        vae: Any,
        likelihood: Likelihood,
        divergence: str = "kl",
        reduction: str = "sum",
        deterministic: bool = False,
        free_bits: float | None = None,
        free_bits_groups: int | None = None,
        mi_weight: float = 1.0,
        tc_weight: float = 1.0,
        dimension_weight: float = 1.0,
        tc_estimator: str = "stratified",
        n_train: int | None = None,
        weight_kl_weight: float | None = None,
    ) -> None:
        super().__init__()
        _one_of("loss.reduction", reduction, REDUCTIONS)
        _one_of("loss.divergence", divergence, DIVERGENCES)
        _one_of("loss.tc_estimator", tc_estimator, TC_ESTIMATORS)
        if free_bits is not None and divergence != "kl":
            raise ValueError(f"loss.free_bits={free_bits}: needs loss.divergence=kl, got {divergence}")
        if free_bits_groups is not None and (free_bits_groups < 1 or vae.latent_dim % free_bits_groups):
            raise ValueError(f"loss.free_bits_groups={free_bits_groups}: must divide model.latent_dim={vae.latent_dim}")
        if weight_kl_weight is not None and not hasattr(vae, "sample_weights"):
            raise ValueError(f"loss.weight_kl_weight={weight_kl_weight}: the model has no Bayesian weights")
        if isinstance(vae, MultiRateVAE) and (divergence != "kl" or free_bits is not None or deterministic):
            raise ValueError("model.multi_rate=true: needs a VAE trained on the plain KL")
        if n_train is None and (divergence == "tc" or weight_kl_weight is not None):
            raise ValueError("n_train: divergence=tc and weight_kl_weight need the number of training images")
        self.vae = vae
        self.likelihood = likelihood
        self.divergence = divergence
        self.reduction = reduction
        self.deterministic = deterministic
        self.free_bits_groups = free_bits_groups
        self.tc_estimator = tc_estimator
        self.n_train = n_train
        # Numbers are buffers, so that the members of a pack may differ in them.
        self._number("free_bits", free_bits)
        self._number("mi_weight", mi_weight)
        self._number("tc_weight", tc_weight)
        self._number("dimension_weight", dimension_weight)
        self._number("weight_kl_weight", weight_kl_weight)

    def _number(self, name: str, value: float | None) -> None:
        self.register_buffer(name, None if value is None else torch.tensor(float(value)), persistent=False)

    def forward(
        self,
        x: Tensor,
        noise: Tensor | None,
        kl_weight: Weight,
        capacity: Weight | None = None,
        weight_noise: Tensor | None = None,
    ) -> tuple[Tensor, Terms]:
        """Loss (0-dim) and terms of images x (B, C, H, W).

        noise: (B, d) standard normal; None where deterministic. kl_weight: (B,) to give each image of a multi-rate
        model its own; the loss is then the mean of a * recon + b * kl_weight * kl. capacity: C of Burgess et al. 2018,
        in nats: the penalty becomes kl_weight * b * |regulariser - C|. weight_noise: (vae.noise_dim,) for Bayesian
        weights, None for their means.
        """
        vae = self.vae.at(kl_weight) if self.multi_rate else self.vae
        weights = () if self.weight_kl_weight is None else (self.vae.sample_weights(weight_noise),)
        posterior = vae.encode(x, *weights)
        z = posterior.mean if self.deterministic else posterior.sample(noise)
        out = vae.decode(z, *weights)

        recon, sse = self.likelihood.compare(out, x)
        terms = {"recon": recon, "sse": sse, "mse": sse / x[0].numel()}
        sizes = Sizes(pixels=x[0].numel(), latent_dim=z.shape[-1], batch_size=len(x))
        on_recon, on_kl = factors(self.reduction, sizes)
        loss = on_recon * recon.mean()
        if not self.deterministic:
            regulariser, kl_terms = self.regulariser(posterior, z)
            terms |= kl_terms
            penalty = regulariser if capacity is None else (regulariser - capacity).abs()
            if self.multi_rate:  # each image's own
                kl_weight, penalty = 1.0, (kl_weight * terms["kl"]).mean()
            loss = loss + kl_weight * on_kl * penalty
        if self.weight_kl_weight is not None:
            assert self.n_train is not None  # refused in __init__
            weight_kl = self.vae.weight_kl()
            terms["weight_kl"] = weight_kl.expand_as(recon)  # nats, of all weights together
            loss = loss + self.weight_kl_weight * weight_kl / self.n_train
        return loss, terms

    @property
    def multi_rate(self) -> bool:
        """Whether the model is one for all weights: it is told the weight, and each image may have its own."""
        return isinstance(self.vae, MultiRateVAE)

    def regulariser(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Terms]:
        """What kl_weight multiplies (0-dim, nats) and the terms that belong to it."""
        terms = {"kl": posterior.kl()}
        if self.divergence == "reverse_kl":
            terms["reverse_kl"] = posterior.reverse_kl()
            return terms["reverse_kl"].mean(), terms
        if self.divergence == "tc":
            assert self.n_train is not None  # refused in __init__
            split = split_kl(posterior, z, self.n_train, self.tc_estimator)
            mi, tc, dwkl = (part.mean() for part in split)
            terms |= {
                "mi": split.mutual_information,
                "tc": split.total_correlation,
                "dwkl": split.dimension_wise,
            }
            return self.mi_weight * mi + self.tc_weight * tc + self.dimension_weight * dwkl, terms
        if self.free_bits is not None:
            per_unit = posterior.kl_per_unit()
            # What correlated posteriors cost beyond their marginals belongs to no unit, and is never free.
            correlation = (terms["kl"] - per_unit.sum(-1)).mean()
            groups = self.free_bits_groups or per_unit.shape[-1]
            return free_bits(per_unit, self.free_bits, groups) + correlation, terms
        return terms["kl"].mean(), terms

    def observe(self, terms: Terms, buffers: Buffers | None = None) -> None:
        """Updates the running sigma, where there is one. Once after every training step, never in validation.

        For a pack: terms (N, B), and `buffers` the stacked buffers of this module by name, updated in place.
        """
        prefix = "likelihood."
        if buffers is not None:
            buffers = {name.removeprefix(prefix): value for name, value in buffers.items() if name.startswith(prefix)}
        self.likelihood.observe(terms["mse"].mean(-1), buffers)


def _one_of(key: str, value: str, options: Any) -> None:
    if value not in options:
        raise ValueError(f"{key}={value}: expected one of {', '.join(options)}")
