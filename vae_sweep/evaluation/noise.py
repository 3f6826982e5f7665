"""Which pixel noise a run is judged with: its own, one fitted to its errors, or that of weight 1."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_sweep.metrics.importance import gaussian_log_prob
from vae_sweep.models.likelihoods import Gaussian, Laplace, Likelihood, OptimalSigma, SquaredError
from vae_sweep.theory.beta import beta_at
from vae_sweep.theory.conventions import Sizes, to_sum
from vae_sweep.theory.weights import squared_error_weight
from vae_sweep.training.lit_vae import LitVAE


@dataclass(frozen=True)
class PixelNoise:
    """-ln p(x|z) in nats under one assumption about the noise on the pixels.

    sigma2: variance of Gaussian noise; or laplace_scale; or neither: the likelihood as it was trained.
    """

    likelihood: Likelihood
    pixels: int
    sigma2: float | None = None
    laplace_scale: float | None = None

    def nats(self, recon: Tensor, sse: Tensor) -> Tensor:
        """recon: the likelihood's own term; sse: summed squared error; any shape."""
        if self.sigma2 is not None:
            return -gaussian_log_prob(sse, self.sigma2, self.pixels)
        if self.laplace_scale is not None:
            trained = _scale(self.likelihood)
            absolute = trained * (recon - self.pixels * math.log(2 * trained))  # |x - xhat|_1
            return absolute / self.laplace_scale + self.pixels * math.log(2 * self.laplace_scale)
        return recon


def own_noise(lit: LitVAE, sizes: Sizes) -> PixelNoise | None:
    """The noise for which the run's objective is a multiple of the -ELBO; Bernoulli pixels have none to set.

    None where the objective is no ELBO: other divergences, free bits, a capacity, and an autoencoder.
    """
    objective, weight = lit.objective, weight_in_force(lit)
    if weight is None:
        return None
    likelihood = objective.likelihood
    if isinstance(likelihood, (SquaredError, Gaussian, OptimalSigma)):
        plain = isinstance(likelihood, SquaredError)
        sigma = 1.0 if plain else _scale(likelihood)
        equivalent = squared_error_weight("sse" if plain else "gaussian", weight, objective.reduction, sizes, sigma)
        return PixelNoise(likelihood, sizes.pixels, sigma2=equivalent / 2) if equivalent else None
    if isinstance(likelihood, Laplace):
        scale = _scale(likelihood) * to_sum(weight, objective.reduction, sizes)
        return PixelNoise(likelihood, sizes.pixels, laplace_scale=scale)
    return PixelNoise(likelihood, sizes.pixels) if likelihood.is_nll else None


def noise_at_weight_1(likelihood: Likelihood, pixels: int) -> PixelNoise | None:
    """What the likelihood says at loss.kl_weight = 1, in summed terms; of sse, noise of variance 1/2."""
    if isinstance(likelihood, SquaredError):
        return PixelNoise(likelihood, pixels, sigma2=0.5)
    return PixelNoise(likelihood, pixels) if likelihood.is_nll else None


def fitted_noise(likelihood: Likelihood, pixels: int, mse: float) -> PixelNoise:
    """Gaussian noise of the variance that the errors have on training data: one yardstick for all likelihoods."""
    return PixelNoise(likelihood, pixels, sigma2=mse)


def beta_in_force(lit: LitVAE, sizes: Sizes, fitted_sigma: float) -> float | None:
    """beta as theory.beta has it, where training has found what it depends on: a controller's weight, a learned sigma.

    fitted_sigma: root mean squared error of the training images, the sigma of OptimalSigma. None where the objective
    fixes no beta.
    """
    weight, likelihood = weight_in_force(lit), lit.objective.likelihood
    if weight is None or lit.objective.multi_rate:
        return None
    if isinstance(likelihood, OptimalSigma):
        return beta_at("optimal_sigma", weight, lit.objective.reduction, sizes, fitted_sigma)
    if isinstance(likelihood, Gaussian):
        return beta_at("gaussian", weight, lit.objective.reduction, sizes, _scale(likelihood))
    return beta_at("sse", weight, lit.objective.reduction, sizes)  # in squared error, or in nats


def distortion_per_recon(likelihood: Likelihood) -> float:
    """What one unit of the reconstruction term is in the distortion that beta trades: SSE per Gaussian nat."""
    return 2 * _scale(likelihood) ** 2 if isinstance(likelihood, (Gaussian, OptimalSigma)) else 1.0


def weight_in_force(lit: LitVAE) -> float | None:
    """The target weight, or where a controller has settled; None where the objective does not trade SSE for KL."""
    objective = lit.objective
    plain = objective.divergence == "kl" and objective.free_bits is None
    if objective.deterministic or not plain or getattr(lit.kl_schedule, "capacity", None) is not None:
        return None
    if isinstance(lit.kl_schedule, nn.Module):
        return float(lit.kl_schedule.kl_weight)  # type: ignore[arg-type]
    return float(lit.target_kl_weight)


def _scale(likelihood: Likelihood) -> float:
    log_scale = likelihood.log_scale
    assert isinstance(log_scale, Tensor)
    return float(torch.exp(log_scale.detach()))
