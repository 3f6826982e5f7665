"""Which pixel noise a run is judged with: its own, one fitted to its errors, or that of weight 1."""

from dataclasses import dataclass

from torch import Tensor

from vae_sweep.metrics.importance import gaussian_log_prob
from vae_sweep.models.likelihoods import Likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.theory.beta import beta_at
from vae_sweep.theory.conventions import Sizes, to_sum


@dataclass(frozen=True)
class PixelNoise:
    """-ln p(x|z) in nats under one assumption about the noise on the pixels.

    sigma2: variance of Gaussian noise; or scale: of the likelihood's own kind of noise; or neither: the likelihood as
    it was trained.
    """

    likelihood: Likelihood
    pixels: int
    sigma2: float | None = None
    scale: float | None = None

    def nats(self, recon: Tensor, sse: Tensor) -> Tensor:
        """recon: the likelihood's own term; sse: summed squared error; any shape."""
        if self.sigma2 is not None:
            return -gaussian_log_prob(sse, self.sigma2, self.pixels)
        return recon if self.scale is None else self.likelihood.at_noise(recon, self.pixels, self.scale)


def own_noise(objective: Objective, kl_weight: float, sizes: Sizes) -> PixelNoise | None:
    """The noise for which the objective is a multiple of the -ELBO; some pixels have none to set.

    kl_weight: in force at the end of training. None where the objective is no ELBO (other divergences, free bits, a
    capacity, an autoencoder), or its term no likelihood.
    """
    if not objective.is_elbo:
        return None
    likelihood, traits = objective.likelihood, objective.likelihood.traits
    weight = to_sum(kl_weight, objective.reduction, sizes)
    if traits.squared_error:
        beta = traits.beta(weight, likelihood.scale)
        return PixelNoise(likelihood, sizes.pixels, sigma2=beta / 2) if beta else None
    if traits.exponent is not None:
        return PixelNoise(likelihood, sizes.pixels, scale=traits.noise_at(weight, likelihood.scale))
    return PixelNoise(likelihood, sizes.pixels) if likelihood.is_nll else None


def noise_at_weight_1(likelihood: Likelihood, pixels: int) -> PixelNoise | None:
    """What the likelihood says at loss.kl_weight = 1, in summed terms; of sse, noise of variance 1/2."""
    if likelihood.is_nll:
        return PixelNoise(likelihood, pixels)
    traits = likelihood.traits
    return PixelNoise(likelihood, pixels, sigma2=traits.beta(1.0) / 2) if traits.squared_error else None


def fitted_noise(likelihood: Likelihood, pixels: int, mse: float) -> PixelNoise | None:
    """Gaussian noise of the variance that the errors have on training data: one yardstick for all likelihoods.

    None where there is no error, as with a single training image that the network begins at.
    """
    return PixelNoise(likelihood, pixels, sigma2=mse) if mse > 0 else None


def beta_in_force(objective: Objective, kl_weight: float, sizes: Sizes, fitted_sigma: float) -> float | None:
    """beta as theory.beta has it, where training has found what it depends on: a controller's weight, a learned sigma.

    fitted_sigma: root mean squared error of the training images, the noise of likelihoods that fit theirs themselves.
    None where the objective fixes no beta, or there is no error to fit a noise to.
    """
    if not objective.is_elbo or objective.multi_rate:
        return None
    likelihood = objective.likelihood
    if likelihood.traits.scale == "fitted" and fitted_sigma <= 0:
        return None
    sigma = fitted_sigma if likelihood.traits.scale == "fitted" else likelihood.scale
    return beta_at(likelihood.traits, kl_weight, objective.reduction, sizes, sigma)


def distortion_per_recon(likelihood: Likelihood) -> float:
    """What one unit of the reconstruction term is in the distortion that beta trades: SSE per Gaussian nat."""
    return likelihood.traits.beta(1.0, likelihood.scale)
