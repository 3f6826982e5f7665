"""What is minimised:  a * mean(recon) + kl_weight * b * divergence,  and the plain terms that are logged.

The terms are per image, summed over pixels or latents, unweighted, and mean the same under every option: `kl` is
KL(q||p) in nats also where the divergence is another one. (a, b) are those of conventions.py, 1 by default.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vae_sweep.models.divergences import KL, Divergence, Terms
from vae_sweep.models.likelihoods import Buffers, Likelihood
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.theory.conventions import REDUCTIONS, Sizes, factors

Weight = float | Tensor  # a tensor has no dimensions; of a multi-rate model it may have (B,)


class Objective(nn.Module):
    """A VAE with what it is trained on. Draws no noise and updates no state in forward, as torch.func needs.

    vae: offers at(kl_weight, weight_noise) -> what encodes (x -> posterior) and decodes (z -> raw output), and
        latent_dim.
    divergence: what the KL weight multiplies (divergences.py); by default KL(q||p).
    reduction: how the two terms are scaled (conventions.py).
    deterministic: the plain autoencoder: z = mean, no KL.
    weight_kl_weight: for a BayesianVAE (bayesian.py): adds weight_kl_weight * KL(weights) / n_train. With
        recon = sse the weight that tempers nothing is kl_weight, not 1: the ELBO times 2 sigma^2.
    n_train: how many training images there are; needed by weight_kl_weight.
    batch_size: of a training step, for reductions that depend on it. None: as many images as are passed; else the
        objective is the same for a batch that validation cuts or that ranks share.

    Raises ValueError, naming the key, for combinations that have no meaning.
    """

    vae: Any  # a VAE, a BayesianVAE, a MultiRateVAE, or what offers the same
    likelihood: Likelihood
    divergence: Divergence
    weight_kl_weight: Tensor | None

    def __init__(
        self,
        vae: Any,
        likelihood: Likelihood,
        divergence: Divergence | None = None,
        reduction: str = "sum",
        deterministic: bool = False,
        weight_kl_weight: float | None = None,
        n_train: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        divergence = KL() if divergence is None else divergence
        if reduction not in REDUCTIONS:
            raise ValueError(f"loss.reduction={reduction}: expected one of {', '.join(REDUCTIONS)}")
        if weight_kl_weight is not None and not hasattr(vae, "sample_weights"):
            raise ValueError(f"loss.weight_kl_weight={weight_kl_weight}: the model has no Bayesian weights")
        if weight_kl_weight is not None and n_train is None:
            raise ValueError("n_train: loss.weight_kl_weight needs the number of training images")
        if isinstance(vae, MultiRateVAE) and (not divergence.traits.kl or deterministic):
            raise ValueError("model.multi_rate=true: needs a VAE trained on the plain KL")
        self.vae = vae
        self.likelihood = likelihood
        self.divergence = divergence
        self.reduction = reduction
        self.deterministic = deterministic
        self.n_train = n_train
        self.batch_size = batch_size
        # A buffer, so that the members of a pack may differ in it.
        weight = None if weight_kl_weight is None else torch.tensor(float(weight_kl_weight))
        self.register_buffer("weight_kl_weight", weight, persistent=False)

    def forward(
        self, x: Tensor, noise: Tensor | None, kl_weight: Weight, weight_noise: Tensor | None = None
    ) -> tuple[Tensor, Terms]:
        """Loss (0-dim) and terms of images x (B, C, H, W).

        noise: (B, d) standard normal; None where deterministic. kl_weight: (B,) to give each image of a multi-rate
        model its own; the loss is then the mean of a * recon + b * kl_weight * kl. weight_noise: (vae.noise_dim,) for
        Bayesian weights, None for their means.
        """
        vae = self.vae.at(kl_weight, weight_noise)
        posterior = vae.encode(x)
        z = posterior.mean if self.deterministic else posterior.sample(noise)
        out = vae.decode(z)

        recon, sse = self.likelihood.compare(out, x)
        terms = {"recon": recon, "sse": sse, "mse": sse / x[0].numel()}
        sizes = Sizes(pixels=x[0].numel(), latent_dim=z.shape[-1], batch_size=self.batch_size or len(x))
        on_recon, on_kl = factors(self.reduction, sizes)
        loss = on_recon * recon.mean()
        if not self.deterministic:
            penalty, kl_terms = self.divergence(posterior, z)
            terms |= kl_terms
            if self.multi_rate:  # each image's own weight
                loss = loss + on_kl * (kl_weight * terms["kl"]).mean()
            else:
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

    @property
    def is_elbo(self) -> bool:
        """Whether at some weight it is a multiple of an -ELBO: it trades the reconstruction term for the plain KL."""
        return not self.deterministic and self.divergence.traits.kl

    def observe(self, terms: Terms, buffers: Buffers | None = None) -> None:
        """Updates the running sigma, where there is one. Once after every training step, never in validation.

        For a pack: terms (N, B), and `buffers` the stacked buffers of this module by name, updated in place.
        """
        prefix = "likelihood."
        if buffers is not None:
            buffers = {name.removeprefix(prefix): value for name, value in buffers.items() if name.startswith(prefix)}
        self.likelihood.observe(terms["mse"].mean(-1), buffers)
