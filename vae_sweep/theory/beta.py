"""beta: what a member's KL weight is worth in one convention for all, distortion + beta KL.

The distortion is the squared error summed over pixels where the pixels are Gaussian, and the likelihood's own term
where they are not (traits.py). `loss.kl_weight` is what somebody typed, under `loss.reduction` and `loss.scale`;
whatever compares or judges runs reads beta.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.theory.conventions import Sizes, to_sum
from vae_sweep.traits import LikelihoodTraits, Says, divergence, likelihood, schedule


def beta(config: Mapping[str, Any], sizes: Sizes, says: Says | None = None) -> float | None:
    """beta of a member from its configuration; None where there is none, or where training decides it.

    Training decides where a controller steers the weight, or where the noise of Gaussian pixels is learned. Keys that
    older folders lack have their defaults. says: what the member's own classes say of themselves.
    """
    loss = config["loss"]
    traits = likelihood(loss, says)
    if not has_beta(config, says) or not schedule(config.get("kl_schedule"), says).settles:
        return None
    if traits.squared_error and traits.scale == "fitted":
        return None
    return beta_at(traits, loss["kl_weight"], loss.get("reduction", "sum"), sizes, loss.get("scale", 1.0))


def has_beta(config: Mapping[str, Any], says: Says | None = None) -> bool:
    """Whether the objective trades distortion for one nat each, at one weight.

    Not an autoencoder's, nor that of a model for all weights, of other divergences, of free bits, of a capacity.
    """
    variational = config["objective"] != "autoencoder" and not config["model"].get("multi_rate")
    return variational and divergence(config, says).kl


def beta_at(traits: LikelihoodTraits, kl_weight: float, reduction: str, sizes: Sizes, scale: float = 1.0) -> float:
    """beta of the distortion + beta KL with the same optimum. scale: of the pixels' noise."""
    return traits.beta(to_sum(kl_weight, reduction, sizes), scale)


def sizes_of(config: Mapping[str, Any], image_shape: Sequence[int]) -> Sizes:
    """What the weight of a member on images (C, H, W) may depend on."""
    channels, height, width = image_shape
    return Sizes(channels * height * width, config["model"]["latent_dim"], config["data"]["batch_size"])
