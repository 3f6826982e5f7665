"""beta: what a member's KL weight is worth in one convention for all, distortion + beta KL.

The distortion is the squared error summed over pixels where the pixels are Gaussian (sse, gaussian, optimal_sigma),
and the likelihood's own nats where they are not (bernoulli, laplace). `loss.kl_weight` is what somebody typed, under
`loss.reduction` and `loss.scale`; whatever compares or judges runs reads beta.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.theory.conventions import Sizes, to_sum
from vae_sweep.theory.weights import squared_error_weight

SQUARED_ERROR = ("sse", "gaussian", "optimal_sigma")
# Schedules that end at loss.kl_weight itself. Controllers end elsewhere, and of others nobody knows where.
_END_AT_THE_WEIGHT = tuple(
    f"vae_sweep.schedules.{name}" for name in ("constant", "linear", "cosine", "logistic", "cyclical")
)
_CAPACITY = "vae_sweep.schedules.capacity"


def beta(config: Mapping[str, Any], sizes: Sizes) -> float | None:
    """beta of a member from its configuration; None where there is none, or where training decides it.

    Training decides where a controller steers the weight, or where the noise of Gaussian pixels is learned
    (optimal_sigma, learn_scale). Keys that older folders lack have their defaults.
    """
    loss = config["loss"]
    recon, schedule = loss.get("recon", "sse"), (config.get("kl_schedule") or {}).get("_target_")
    if not has_beta(config) or (schedule is not None and schedule not in _END_AT_THE_WEIGHT):
        return None
    if recon == "optimal_sigma" or (recon == "gaussian" and loss.get("learn_scale")):
        return None
    return beta_at(recon, loss["kl_weight"], loss.get("reduction", "sum"), sizes, loss.get("scale", 1.0))


def has_beta(config: Mapping[str, Any]) -> bool:
    """Whether the objective trades distortion for one nat each, at one weight.

    Not an autoencoder's, nor that of a model for all weights, of other divergences, of free bits, of a capacity.
    """
    loss = config["loss"]
    schedule = str((config.get("kl_schedule") or {}).get("_target_"))
    plain = loss.get("divergence", "kl") == "kl" and not loss.get("free_bits") and schedule != _CAPACITY
    return plain and config["objective"] != "autoencoder" and not config["model"].get("multi_rate")


def beta_at(recon: str, kl_weight: float, reduction: str, sizes: Sizes, scale: float = 1.0) -> float:
    """beta of the distortion + beta KL with the same optimum. scale: pixel std of `gaussian` and `optimal_sigma`."""
    in_squared_error = squared_error_weight(recon, kl_weight, reduction, sizes, scale)
    return to_sum(kl_weight, reduction, sizes) if in_squared_error is None else in_squared_error


def sizes_of(config: Mapping[str, Any], image_shape: Sequence[int]) -> Sizes:
    """What the weight of a member on images (C, H, W) may depend on."""
    channels, height, width = image_shape
    return Sizes(channels * height * width, config["model"]["latent_dim"], config["data"]["batch_size"])
