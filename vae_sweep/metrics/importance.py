"""Bounds on the likelihood: the ELBO, and importance sampling from the posterior. Burda et al. 2016.

A bound depends on the pixel noise it is judged with: compare runs at one sigma only, or say which.
"""

import math

import torch
from torch import Tensor

from vae_sweep.models.posteriors import LOG_2PI, Posterior


def gaussian_log_prob(sse: Tensor, sigma2: float, pixels: int) -> Tensor:
    """ln N(x; xhat, sigma2 I) of squared errors of any shape."""
    return -0.5 * (sse / sigma2 + pixels * (math.log(sigma2) + LOG_2PI))


def log_prior_ratio(posterior: Posterior, z: Tensor) -> Tensor:
    """ln p(z) - ln q(z|x) of samples z (k, B, d) -> (k, B). Plus ln p(x|z) it is the log importance weight."""
    return -0.5 * (z**2 + LOG_2PI).sum(-1) - posterior.log_prob(z)


def negative_log_likelihood(log_weights: Tensor, k: int) -> Tensor:
    """NLL_k = -ln (1/k sum_i w_i), an upper bound on -ln p(x) in expectation, tighter for larger k: (K, B) -> (B,).

    log_weights: ln p(x, z_i) / q(z_i|x) of K samples, K a multiple of k: the mean over K / k disjoint groups. So on
    one set of samples NLL_k never rises where k is replaced by a multiple, and NLL_1 is -ELBO by sampling.
    """
    samples = len(log_weights)
    if samples % k:
        raise ValueError(f"k={k} does not divide the {samples} samples")
    groups = log_weights.double().unflatten(0, (samples // k, k))
    return -(torch.logsumexp(groups, 1) - math.log(k)).mean(0)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, between 1 and K: (K, B) -> (B,). Near 1 the posterior is a bad proposal."""
    log_weights = log_weights.double()
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))


def sampling_error(log_weights: Tensor) -> Tensor:
    """Standard error of NLL_K of one image from its K samples, by the delta method: (K, B) -> (B,).

    sqrt(1 / ESS - 1 / K). Trustworthy only where the effective sample size is well above 1.
    """
    return (1 / effective_sample_size(log_weights) - 1 / len(log_weights)).clamp(min=0).sqrt()


def standard_error(values: Tensor) -> float:
    """Of the mean over images: (B,) -> sd / sqrt(B)."""
    return float(values.double().std() / math.sqrt(len(values))) if len(values) > 1 else math.nan
