"""The two terms as gradient descent sees them: their gradients with respect to the encoder."""

from typing import NamedTuple

from torch import Tensor


class GradientView(NamedTuple):
    """Lengths of both gradients, the cosine between them, and the exchange rate they imply."""

    norm_recon: float
    norm_kl: float
    cosine: float
    beta_hat: float


def gradient_view(of_recon: Tensor, of_kl: Tensor) -> GradientView:
    """of_recon, of_kl: gradients (parameters,) of the mean reconstruction term and the mean KL, both unweighted.

    Where the training has converged, of_recon = -kl_weight of_kl: the cosine is -1 and beta_hat, the least squares
    fit -<of_recon, of_kl> / |of_kl|^2, is the weight. So it is a check of convergence. Both have to be averages over
    many images (100 batches or all), or noise hides them. NaN where a gradient vanishes.
    """
    recon, kl = of_recon.double(), of_kl.double()
    product, norm_recon, norm_kl = recon @ kl, recon.norm(), kl.norm()
    return GradientView(
        norm_recon=float(norm_recon),
        norm_kl=float(norm_kl),
        cosine=float(product / (norm_recon * norm_kl)),
        beta_hat=float(-product / norm_kl**2),
    )
