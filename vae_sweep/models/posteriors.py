"""Gaussian posteriors q(z|x): what an encoder's last layer parameterises.

All are built by `from_params(h, latent_dim)` from the (B, n_params) output of the encoder, sample by an
affine map of standard normal noise that the caller supplies, and give divergences to the prior p = N(0, I) in
nats per example. Nothing here draws noise, branches on data or writes in place, so all of it runs under
torch.func.vmap and grad.

Log-variances are not clamped: a clamp has no gradient beyond it, and it would break the identity
E[mean^2 + variance] = 1 that holds at every stationary point.
"""

import math
from typing import Protocol, Self

import torch
from torch import Tensor

from vae_sweep.models.numerics import at_least_float32, full_precision

LOG_2PI = math.log(2 * math.pi)


class Posterior(Protocol):
    """q(z|x) of a batch: the contract between a network and everything that trains, measures and draws it.

    A network of your own may return one of the classes below, or a pair (mean, logvar), which stands for `Diagonal`;
    or any object that offers what stands here, the class methods aside (they are for networks that choose their
    posterior by model.posterior). Then all divergences, packs, bounds and pages work with it.

    B images, d latents, which the tool treats as one flat vector. The prior is N(0, I). Everything is in nats, per
    image or per latent, never averaged, and in float32 at least, also where the network computes in bfloat16. Nothing
    draws noise, branches on values or writes in place: so it runs under torch.func.vmap and grad, and in packs. All
    tensors that an object holds as attributes have the images first, or no dimensions: evaluation joins and cuts them
    there. What else it holds, such as a number, is the same for all images.
    """

    mean: Tensor
    """(B, d): E[z|x], what a deterministic decoder is given."""

    @classmethod
    def n_params(cls, latent_dim: int) -> int:
        """How many numbers an encoder puts out per image for `latent_dim` latents."""

    @classmethod
    def from_params(cls, h: Tensor, latent_dim: int) -> Self:
        """From an encoder's raw output h (B, n_params)."""

    @property
    def variance(self) -> Tensor:
        """(B, d): marginal variance of each latent."""

    def sample(self, noise: Tensor) -> Tensor:
        """z (..., B, d), a deterministic function of standard normal noise (..., B, d) that gradients flow through."""

    def kl(self) -> Tensor:
        """(B,): KL(q(z|x) || p(z)), at least 0. The rate."""

    def kl_per_unit(self) -> Tensor:
        """(B, d): KL of the marginals; they add up to `kl` where the latents are independent given x."""

    def reverse_kl(self) -> Tensor:
        """(B,): KL(p(z) || q(z|x)); for loss.divergence=reverse_kl."""

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x): z (..., B, d) -> (..., B). z[:, None] (N, 1, d) gives all pairs (N, B)."""

    def log_prob_per_unit(self, z: Tensor) -> Tensor:
        """ln q(z_j|x) of the marginals: z (..., B, d) -> (..., B, d)."""


def _gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, e^logvar) || N(0, 1)) elementwise, in nats. Kingma & Welling 2014, appendix B.

    expm1(v) - v keeps its digits where the posterior is almost the prior (a collapsed unit), and is never
    negative.
    """
    return 0.5 * (mean**2 + (torch.expm1(logvar) - logvar))


def _gaussian_log_prob(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """ln N(z; mean, e^logvar) elementwise."""
    return -0.5 * ((z - mean) ** 2 * torch.exp(-logvar) + logvar + LOG_2PI)


class Diagonal:
    """q(z|x) = N(mean, diag(exp(logvar))). Parameters: mean, logvar (d each)."""

    def __init__(self, mean: Tensor, logvar: Tensor) -> None:
        self.mean = at_least_float32(mean)  # (B, d)
        self.logvar = at_least_float32(logvar)  # (B, d)

    @classmethod
    def n_params(cls, latent_dim: int) -> int:
        return 2 * latent_dim

    @classmethod
    def from_params(cls, h: Tensor, latent_dim: int) -> Self:
        """h: (B, n_params), split as (mean, logvar)."""
        mean, logvar = h.split([latent_dim, latent_dim], dim=-1)
        return cls(mean, logvar)

    @property
    def variance(self) -> Tensor:
        """Marginal variance of each latent: (B, d)."""
        return torch.exp(self.logvar)

    def sample(self, noise: Tensor) -> Tensor:
        """noise: (..., B, d) standard normal -> z (..., B, d)."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """KL(q || p) -> (B,)."""
        return self.kl_per_unit().sum(-1)

    def kl_per_unit(self) -> Tensor:
        """KL(q(z_j|x) || p(z_j)) -> (B, d). They add up to `kl`."""
        return _gaussian_kl(self.mean, self.logvar)

    def reverse_kl(self) -> Tensor:
        """KL(p || q) -> (B,): mass-covering, infinite where a variance vanishes."""
        squares = torch.expm1(-self.logvar) + self.logvar + self.mean**2 * torch.exp(-self.logvar)
        return 0.5 * squares.sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x): z (..., B, d) -> (..., B). `z[:, None]` gives all pairs (N, B)."""
        return self.log_prob_per_unit(z).sum(-1)

    def log_prob_per_unit(self, z: Tensor) -> Tensor:
        """ln q(z_j|x) of the marginals: z (..., B, d) -> (..., B, d)."""
        return _gaussian_log_prob(z, self.mean, self.logvar)


class SharedScale(Diagonal):
    """q(z|x) = N(mean, s(x)^2 I): one variance for all latents of an image. Parameters: mean, ln s^2 (1)."""

    @classmethod
    def n_params(cls, latent_dim: int) -> int:
        return latent_dim + 1

    @classmethod
    def from_params(cls, h: Tensor, latent_dim: int) -> Self:
        """h: (B, d + 1), split as (mean, ln s^2)."""
        mean, logvar = h.split([latent_dim, 1], dim=-1)
        return cls(mean, logvar.expand_as(mean))


class FullCovariance:
    """q(z|x) = N(mean, L L^T), L lower triangular with diagonal exp(logvar / 2).

    Parameters: mean (d), logvar (d), the entries of L below the diagonal, row by row (d (d - 1) / 2). With
    those at zero it is `Diagonal` with the same mean and logvar.
    """

    def __init__(self, mean: Tensor, logvar: Tensor, below: Tensor) -> None:
        self.mean = at_least_float32(mean)  # (B, d)
        self.logvar = at_least_float32(logvar)  # (B, d), ln L_jj^2: conditional, not marginal, variances
        below = at_least_float32(below)  # (B, d (d - 1) / 2)
        d = mean.shape[-1]
        row, column = torch.tril_indices(d, d, offset=-1, device=mean.device)
        flat = below.new_zeros(*below.shape[:-1], d * d).index_copy(-1, row * d + column, below)
        self.below = flat.unflatten(-1, (d, d))  # (B, d, d), strictly lower
        self.cholesky = self.below + torch.diag_embed(torch.exp(0.5 * self.logvar))  # (B, d, d)

    @classmethod
    def n_params(cls, latent_dim: int) -> int:
        return 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    @classmethod
    def from_params(cls, h: Tensor, latent_dim: int) -> Self:
        """h: (B, n_params), split as (mean, logvar, below)."""
        n_below = latent_dim * (latent_dim - 1) // 2
        mean, logvar, below = h.split([latent_dim, latent_dim, n_below], dim=-1)
        return cls(mean, logvar, below)

    @property
    def variance(self) -> Tensor:
        """Marginal variance of each latent, the diagonal of L L^T: (B, d)."""
        return (self.cholesky**2).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """noise: (..., B, d) standard normal -> z (..., B, d)."""
        with full_precision(self.mean):
            return self.mean + torch.einsum("bij,...bj->...bi", self.cholesky, noise.to(self.mean.dtype))

    def kl(self) -> Tensor:
        """KL(q || p) = (||L||_F^2 + mean^T mean - d) / 2 - sum_j ln L_jj -> (B,)."""
        return _gaussian_kl(self.mean, self.logvar).sum(-1) + 0.5 * (self.below**2).sum((-2, -1))

    def kl_per_unit(self) -> Tensor:
        """KL of the marginals -> (B, d). They add up to `kl` less what correlation costs."""
        return _gaussian_kl(self.mean, torch.log(self.variance))

    def reverse_kl(self) -> Tensor:
        """KL(p || q) = (||L^-1||_F^2 + |L^-1 mean|^2 - d) / 2 + sum_j ln L_jj -> (B,)."""
        d = self.mean.shape[-1]
        identity = torch.eye(d, dtype=self.mean.dtype, device=self.mean.device).expand_as(self.cholesky)
        columns = torch.cat([identity, self.mean[..., None]], dim=-1)  # (B, d, d + 1)
        with full_precision(self.mean):
            solved = torch.linalg.solve_triangular(self.cholesky, columns, upper=False)
        return 0.5 * ((solved**2).sum((-2, -1)) - d + self.logvar.sum(-1))

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x): z (..., B, d) -> (..., B). `z[:, None]` gives all pairs (N, B)."""
        centred = at_least_float32(z) - self.mean  # (..., B, d)
        columns = centred.flatten(0, -3).permute(1, 2, 0) if centred.ndim > 2 else centred[..., None]  # (B, d, M)
        with full_precision(self.mean):
            white = torch.linalg.solve_triangular(self.cholesky, columns, upper=False)
        squares = (white**2).sum(-2).T.reshape(centred.shape[:-1])  # (..., B)
        return -0.5 * (squares + self.logvar.sum(-1) + self.mean.shape[-1] * LOG_2PI)

    def log_prob_per_unit(self, z: Tensor) -> Tensor:
        """ln q(z_j|x) of the marginals: z (..., B, d) -> (..., B, d)."""
        return _gaussian_log_prob(z, self.mean, torch.log(self.variance))


POSTERIORS: dict[str, type[Diagonal] | type[FullCovariance]] = {
    "diagonal": Diagonal,
    "shared_scale": SharedScale,
    "full": FullCovariance,
}
