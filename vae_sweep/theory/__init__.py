"""What is known before any training, from the covariance of the images alone. numpy only.

covariance.py   its eigenvalues                  linear.py    optimum of the linear VAE, collapse threshold
weights.py      what a KL weight assumes         forecast.py  all of it for a sweep, as JSON
in_words.py     the same for a person to read    pca.py       the linear VAE on given pictures
"""

from vae_sweep.theory.covariance import Pixels, Spectrum, largest_standardised, spectrum
from vae_sweep.theory.forecast import data_forecast
from vae_sweep.theory.in_words import Loss, banner
from vae_sweep.theory.linear import (
    LinearVAE,
    collapse_threshold,
    geco_weight,
    linear_vae,
    negative_log_likelihood,
    optimal_sigma2,
)
from vae_sweep.theory.weights import (
    implied_sigma,
    likelihood_optimal_weight,
    noise_variance,
    weight_of_sigma,
)

__all__ = [
    "LinearVAE",
    "Loss",
    "Pixels",
    "Spectrum",
    "banner",
    "collapse_threshold",
    "data_forecast",
    "geco_weight",
    "implied_sigma",
    "largest_standardised",
    "likelihood_optimal_weight",
    "linear_vae",
    "negative_log_likelihood",
    "noise_variance",
    "optimal_sigma2",
    "spectrum",
    "weight_of_sigma",
]
