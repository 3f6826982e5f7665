"""The linear beta-VAE at its optimum, in closed form, and the thresholds that hold for any network.

xhat = W z + m, q(z|x) = N(V (x - m), S) with S diagonal, trained on E ||x - xhat||^2 + beta KL. With s2 = beta / 2 it
is probabilistic PCA with its noise variance held at s2 (Tipping & Bishop 1999; Lucas et al. 2019): unit j is active
iff the j-th eigenvalue lambda_j of the data covariance is above s2. Sums over pixels and latents, means over images,
nats; pixels in [0, 1].
"""

import math
from dataclasses import dataclass

import numpy as np

from vae_sweep.theory.covariance import Array, Spectrum
from vae_sweep.theory.weights import noise_variance

ACTIVE = 0.01  # the activity above which a unit counts as active. Burda et al. 2016, section 5.2


@dataclass(frozen=True)
class LinearVAE:
    """The optimum for one KL weight. d = latent_dim; units in the order of their eigenvalues.

    rate: KL, nats. distortion: SSE with sampled z; distortion_mean: SSE decoding the posterior mean.
    kl_per_unit, activity (Var_x of the posterior mean), posterior_variance: (d,).
    """

    kl_weight: float
    latent_dim: int
    pixels: int
    rate: float
    distortion: float
    distortion_mean: float
    kl_per_unit: Array
    activity: Array
    posterior_variance: Array

    @property
    def active_units(self) -> int:
        """As evaluation counts them: activity above 0.01."""
        return int((self.activity > ACTIVE).sum())

    @property
    def loss(self) -> float:
        """SSE + beta KL."""
        return self.distortion + self.kl_weight * self.rate


def linear_vae(spectrum: Spectrum, latent_dim: int, kl_weight: float) -> LinearVAE:
    """Raises ValueError for a weight that is not positive: without KL there is no optimum posterior variance."""
    s2 = noise_variance(kl_weight)
    values = spectrum.top(latent_dim)
    ratio = np.maximum(values / s2, 1.0)  # 1 where a unit is switched off
    on = values > s2
    tail = spectrum.tail(latent_dim)
    return LinearVAE(
        kl_weight=kl_weight,
        latent_dim=latent_dim,
        pixels=spectrum.pixels,
        rate=float(0.5 * np.log(ratio).sum()),
        distortion=float(np.where(on, s2, values).sum()) + tail,
        distortion_mean=float(np.where(on, s2 / ratio, values).sum()) + tail,
        kl_per_unit=0.5 * np.log(ratio),
        activity=1 - 1 / ratio,
        posterior_variance=1 / ratio,
    )


def negative_log_likelihood(
    spectrum: Spectrum, latent_dim: int, kl_weight: float, sigma2: float | None = None
) -> float:
    """Exact mean of -ln p(x) over the data, in nats, under the linear decoder trained at `kl_weight`.

    p(x) = N(m, W W^T + sigma2 I); sigma2: the pixel variance it is judged with, by default the weight's own,
    kl_weight / 2. There it equals the rate plus the Gaussian nats of the distortion: the bound is tight.
    """
    s2 = noise_variance(kl_weight)
    sigma2 = s2 if sigma2 is None else sigma2
    values, n = spectrum.top(latent_dim), spectrum.pixels
    variances = np.maximum(values - s2, 0.0) + sigma2  # of p(x) along the first d principal axes
    rest = (n - latent_dim) * math.log(sigma2) + spectrum.tail(latent_dim) / sigma2
    return 0.5 * float(n * math.log(2 * math.pi) + np.log(variances).sum() + (values / variances).sum() + rest)


def collapse_threshold(spectrum: Spectrum) -> float:
    """2 lambda_max: the weight above which ignoring all latents is locally stable, for any network.

    Squared error. A strongly nonlinear model may still find a better solution elsewhere: it is no promise of collapse.
    """
    return 2 * float(spectrum.top(1)[0])


def geco_weight(spectrum: Spectrum, latent_dim: int, goal: float) -> float | None:
    """The weight at which the linear model's distortion is `goal` (SSE): where GECO comes to rest.

    None if d latents cannot reach it at any weight (a perfect code would leave more). infinity if the mean image does.
    Rezende & Viola 2018.
    """
    values, tail = spectrum.top(latent_dim), spectrum.tail(latent_dim)
    if goal >= spectrum.total_variance:
        return math.inf
    if goal <= tail:
        return None
    # sum_j min(theta, lambda_j) = goal - tail is piecewise linear: find the piece with k active units.
    wanted = goal - tail
    below = np.append(np.cumsum(values[::-1])[::-1], 0.0)  # below[k] = lambda_{k+1} + ... + lambda_d
    for active in range(1, latent_dim + 1):
        theta = (wanted - below[active]) / active
        floor = values[active] if active < latent_dim else 0.0
        if floor <= theta <= values[active - 1]:
            return 2 * float(theta)
    raise AssertionError("a monotone function takes every value between its ends")


def optimal_sigma2(spectrum: Spectrum, latent_dim: int) -> float:
    """The pixel variance a learned or optimal sigma comes to: the mean of the discarded eigenvalues.

    The maximum likelihood estimate of probabilistic PCA (Tipping & Bishop 1999, eq. 8). Needs d < n.
    """
    if latent_dim >= spectrum.pixels:
        raise ValueError(f"{latent_dim} latents for {spectrum.pixels} pixels leave no eigenvalue for the noise")
    return spectrum.tail(latent_dim) / (spectrum.pixels - latent_dim)
