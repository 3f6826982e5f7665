"""Reconstruction terms: what the decoder's raw output says about the pixels.

Each is a module that maps (out, x), both (B, C, H, W), to one number per image (B,), summed over the n = C H
W pixels. All but `sse` are exact negative log-likelihoods in nats, constants included, so that their bounds
can be compared. Sums run in float32 at least, whatever precision the decoder computed in.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_sweep import traits
from vae_sweep.models.numerics import at_least_float32
from vae_sweep.models.posteriors import LOG_2PI
from vae_sweep.traits import LikelihoodTraits

Buffers = Mapping[str, Tensor]

LOG_SCALE_FLOOR = -6.0  # soft: a scale s becomes s + e^-6, as in Rybkin's code


def squared_error(image: Tensor, x: Tensor) -> Tensor:
    """||x - image||^2 summed over pixels: (B, C, H, W) twice -> (B,)."""
    return (at_least_float32(image) - at_least_float32(x)).square().sum((1, 2, 3))


def gaussian_nll(sse: Tensor, pixels: int, log_sigma: Tensor) -> Tensor:
    """-ln N(x; xhat, sigma^2 I) in nats: SSE / (2 sigma^2) + n (ln sigma + ln(2 pi) / 2), n = `pixels`."""
    return 0.5 * sse * torch.exp(-2 * log_sigma) + pixels * (log_sigma + 0.5 * LOG_2PI)


class Likelihood(nn.Module):
    """A reconstruction term. One of another package is a subclass with `traits` and `recon`, named by loss.recon."""

    traits: LikelihoodTraits

    @property
    def is_nll(self) -> bool:
        """Whether the term is a negative log-likelihood in nats."""
        return self.traits.unit == "nats"

    @property
    def scale(self) -> float:
        """Of the pixels' noise, as it stands; 1 where there is none."""
        return 1.0

    def at_noise(self, recon: Tensor, pixels: int, noise: float) -> Tensor:
        """This term of `pixels` pixels, any shape, were the scale of their noise another one.

        For likelihoods whose traits have an `exponent`; of squared errors it is known without.
        """
        raise NotImplementedError(f"{type(self).__name__} has no noise to set")

    def forward(self, out: Tensor, x: Tensor) -> Tensor:
        """out: raw decoder output, x: images, (B, C, H, W) -> (B,)."""
        return self.compare(out, x)[0]

    def compare(self, out: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(this term, squared error of the expected image) of raw outputs and images (B, C, H, W): (B,) each."""
        sse = squared_error(self.image(out), x)
        return self.recon(out, x, sse), sse

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        """This term, (B,), where the squared error is known."""
        raise NotImplementedError

    def image(self, out: Tensor) -> Tensor:
        """The expected image of a raw output, in pixel space."""
        return at_least_float32(out)

    def observe(self, mse: Tensor, buffers: Buffers | None = None) -> None:
        """Once per training step: the batch's mean squared error per pixel. Most remember nothing of it.

        buffers: where the state lives, by name (default: this module's). Stacked buffers (N,) take mse (N,).
        """


class SquaredError(Likelihood):
    """||x - xhat||^2. Plus beta KL it is 2 sigma^2 times the -ELBO of a Gaussian with sigma^2 = beta / 2."""

    traits = traits.LIKELIHOODS["sse"]

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        return sse


class Scaled(Likelihood):
    """A likelihood with one noise scale for all pixels and images: a buffer if fixed, a parameter if learned.

    A learned scale is exp(log_scale_raw) + e^-6, started at `scale`. ValueError for a scale it cannot have.
    """

    fixed_log_scale: Tensor

    def __init__(self, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__()
        smallest = math.exp(LOG_SCALE_FLOOR) if learn_scale else 0.0
        if not smallest < scale < math.inf:
            raise ValueError(f"loss.scale={scale}: expected a number above {smallest:.3g}")
        self.learn_scale = learn_scale
        if learn_scale:
            self.log_scale_raw = nn.Parameter(torch.tensor(math.log(scale - smallest)))
        else:
            self.register_buffer("fixed_log_scale", torch.tensor(math.log(scale)))

    @property
    def scale(self) -> float:
        return float(torch.exp(self.log_scale.detach()))

    @property
    def log_scale(self) -> Tensor:
        """ln of the scale in force: a 0-dim tensor."""
        if self.learn_scale:
            return torch.logaddexp(self.log_scale_raw, torch.full_like(self.log_scale_raw, LOG_SCALE_FLOOR))
        return self.fixed_log_scale


class Gaussian(Scaled):
    """-ln N(x; xhat, scale^2 I)."""

    traits = traits.LIKELIHOODS["gaussian"]

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        return gaussian_nll(sse, x[0].numel(), self.log_scale)


class Laplace(Scaled):
    """-ln prod Laplace(x; xhat, scale) = |x - xhat|_1 / scale + n ln(2 scale)."""

    traits = traits.LIKELIHOODS["laplace"]

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        error = (at_least_float32(out) - at_least_float32(x)).abs().sum((1, 2, 3))
        return error * torch.exp(-self.log_scale) + x[0].numel() * (math.log(2) + self.log_scale)

    def at_noise(self, recon: Tensor, pixels: int, noise: float) -> Tensor:
        absolute = self.scale * (recon - pixels * math.log(2 * self.scale))  # |x - xhat|_1
        return absolute / noise + pixels * math.log(2 * noise)


class OptimalSigma(Likelihood):
    """-ln N(x; xhat, sigma^2 I) with the sigma that maximises it in closed form. Rybkin et al. 2021.

    In training mode sigma is the root mean squared error of the batch, and gradients flow through it. In
    evaluation mode it is a running average over training batches, kept in the checkpoint, so that no image is
    scored with a sigma fitted on it; NaN before the first `observe` or `fit`.
    """

    traits = traits.LIKELIHOODS["optimal_sigma"]
    memory = 0.99  # weight of the past in the running average

    mse_average: Tensor
    mse_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mse_average", torch.zeros(()))
        self.register_buffer("mse_weight", torch.zeros(()))  # sum of the weights, to be divided by

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        pixels = x[0].numel()
        return gaussian_nll(sse, pixels, _log_sigma(sse.mean() / pixels) if self.training else self.log_scale)

    @property
    def scale(self) -> float:
        return float(torch.exp(self.log_scale.detach()))

    @property
    def log_scale(self) -> Tensor:
        """ln of the sigma fitted on training data: a 0-dim tensor."""
        return _log_sigma(self.mse_average / self.mse_weight)

    @torch.no_grad()
    def observe(self, mse: Tensor, buffers: Buffers | None = None) -> None:
        state = dict(self.named_buffers()) if buffers is None else buffers
        state["mse_average"].mul_(self.memory).add_((1 - self.memory) * mse)
        state["mse_weight"].mul_(self.memory).add_(1 - self.memory)

    @torch.no_grad()
    def fit(self, mse: Tensor) -> None:
        """Replace the running average by the mean squared error per pixel over the whole training set."""
        self.mse_average.copy_(mse)
        self.mse_weight.fill_(1)


class Bernoulli(Likelihood):
    """-ln prod Bernoulli(x; sigmoid(out)): out are logits.

    Exact nats of binary images. Of grey ones it is a cross-entropy, whose least value is not zero.
    """

    traits = traits.LIKELIHOODS["bernoulli"]

    def recon(self, out: Tensor, x: Tensor, sse: Tensor) -> Tensor:
        out, x = at_least_float32(out), at_least_float32(x)
        return F.binary_cross_entropy_with_logits(out, x, reduction="none").sum((1, 2, 3))

    def image(self, out: Tensor) -> Tensor:
        return torch.sigmoid(at_least_float32(out))


def _log_sigma(mse: Tensor) -> Tensor:
    """ln(root mean squared error + e^-6): softplus(ln s + 6) - 6 in Rybkin's code, written out."""
    # The smallest positive number keeps the slope of the root finite at a perfect reconstruction.
    return torch.log((mse + torch.finfo(mse.dtype).tiny).sqrt() + math.exp(LOG_SCALE_FLOOR))


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "sse": SquaredError,
    "gaussian": Gaussian,
    "optimal_sigma": OptimalSigma,
    "bernoulli": Bernoulli,
    "laplace": Laplace,
}


def likelihood(recon: str, scale: float = 1.0, learn_scale: bool = False) -> Likelihood:
    """The likelihood that config calls `recon`. scale: sigma of `gaussian`, b of `laplace`.

    Raises ValueError for an unknown name, and for a scale given to one that has none.
    """
    if recon not in LIKELIHOODS:
        raise ValueError(f"loss.recon={recon}: expected one of {', '.join(LIKELIHOODS)}")
    family = LIKELIHOODS[recon]
    if issubclass(family, Scaled):
        return family(scale, learn_scale)
    if scale != 1.0 or learn_scale:
        key = f"loss.scale={scale}" if scale != 1.0 else "loss.learn_scale=true"
        raise ValueError(f"{key}: loss.recon={recon} has no scale (gaussian and laplace have)")
    return family()
