"""What a KL weight says: the pixel noise it assumes. Numbers in the tool's convention, SSE + beta KL."""

import math

GREY_LEVELS = 255
THE_SAME = 0.01  # share within which two weights of one model are one: they print alike, and it answers alike
ROUNDING_SIGMA = 1 / (GREY_LEVELS * math.sqrt(12))  # std of the error of rounding to 8 bits, uniform over one level
ROUNDING_WEIGHT = 2 * ROUNDING_SIGMA**2  # 2.6e-6: a smaller beta claims less noise than the pixels' own rounding


def noise_variance(kl_weight: float) -> float:
    """s^2 = beta / 2: SSE + beta KL is 2 s^2 times the -ELBO of pixels with Gaussian noise N(0, s^2), plus a constant.

    Raises ValueError for a weight that is not positive and finite.
    """
    if not 0 < kl_weight < math.inf:
        raise ValueError(f"kl_weight must be positive and finite, got {kl_weight}")
    return kl_weight / 2


def implied_sigma(kl_weight: float) -> float:
    """Std of that noise, for pixels in [0, 1]; times 255 in grey levels. The same at every resolution."""
    return math.sqrt(noise_variance(kl_weight))


def weight_of_sigma(sigma: float) -> float:
    """The KL weight that stands for Gaussian pixel noise of this std: 2 sigma^2."""
    return 2 * sigma**2


def likelihood_optimal_weight(mse: float) -> float:
    """2 MSE per pixel: the weight whose implied noise is the error that is left. Rybkin et al. 2021, eq. 7.

    It maximises the likelihood, not the PSNR, and is often far below any weight tried.
    """
    return 2 * mse
