"""One model for all KL weights: train once, get the whole curve. After Bae et al. 2023 (Multi-Rate VAE).

What a weight changes in a VAE is, above all, which units are worth their nats and how widely each is drawn. So the
networks stay as they are, and the weight beta acts on the code alone, between encoder and decoder. Unit j pays below a
weight of its own, beta_j, which is learned; at beta it is open by

    open_j(beta) = sqrt(relu(1 - beta / beta_j))
    mean_j(x, beta) = open_j * (the encoder's mean_j + shift_j(beta))
    ln variance_j(x, beta) = min(0, ln(beta / beta_j)) + open_j * (the encoder's ln variance_j + shift_j(beta))
    xhat(z, beta) = decoder(open(beta) * z)

A shut unit is the prior and costs nothing. The linear VAE's optimum at every weight is of this form, with beta_j =
2 lambda_j and no shift (theory/linear.py). For other networks the shifts, a small network of ln beta, make up for what
the form does not know.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_sweep.models.networks import VAE
from vae_sweep.models.numerics import at_least_float32, full_precision
from vae_sweep.models.posteriors import Diagonal

# ln beta is drawn with density ~ beta^-TILT: small weights ask for more units and finer decoding, and take longer.
TILT = 0.4
_FEATURES = 32
# Adam moves every parameter equally far; a gate has further to go than a weight of a wide layer.
_PACE = 3.0
# No beta_j is less than e^_FLOOR times the lowest weight: a unit that is shut at all weights would never learn again.
_FLOOR = 1.5


class MultiRateVAE(nn.Module):
    """A VAE that is told the KL weight. Without one, encode and decode are at `kl_weight`.

    vae: one of networks.py, or another with an encoder (B, C, H, W) -> (B, 2 d), a decoder and diagonal posteriors.
    kl_weight_range: (lowest, highest) weight that it is for. own_weights: what squared-error weights (d,), at which the
    linear path's units shut, are in the unit of kl_weight. Raises TypeError or ValueError for what cannot be.
    """

    def __init__(
        self,
        vae: nn.Module,
        kl_weight: float,
        kl_weight_range: Sequence[float],
        own_weights: Callable[[Tensor], Tensor] = lambda betas: betas,
    ):
        super().__init__()
        if not (isinstance(vae, VAE) and hasattr(vae, "encoder") and vae.posterior is Diagonal):
            raise TypeError("model.multi_rate=true: needs a models.VAE of encoder and decoder with diagonal posteriors")
        low, high = kl_weight_range
        if not 0 < low < high < math.inf:
            raise ValueError(f"model.kl_weight_range=[{low}, {high}]: expected two rising numbers above 0")
        self.vae = vae
        self.kl_weight = kl_weight
        self.kl_weight_range = (float(low), float(high))
        d = vae.latent_dim
        self.features = nn.Sequential(nn.Linear(1, _FEATURES), nn.SiLU(), nn.Linear(_FEATURES, _FEATURES), nn.SiLU())
        self.shift = nn.Linear(_FEATURES, 2 * d)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)
        # Where the linear optimum is led through, each at its own end. Else spread over the range: some units begin
        # open at the lowest weights alone, where the highest cannot switch them off, and some at all.
        above_floor = math.log(high / low) * torch.linspace(0.1, 1.0, d)
        if vae.ends is not None:
            above_floor = (torch.log(own_weights(vae.ends) / low) - _FLOOR).clamp(min=0.05)
        self.raw_ends = nn.Parameter(torch.log(torch.expm1(above_floor)) / _PACE)

    @property
    def latent_dim(self) -> int:
        return self.vae.latent_dim

    @property
    def log_ends(self) -> Tensor:
        """ln beta_j (d,): above beta_j unit j is shut."""
        return math.log(self.kl_weight_range[0]) + _FLOOR + F.softplus(_PACE * self.raw_ends)

    def at(self, kl_weight: float | Tensor, weight_noise: Tensor | None = None) -> "AtWeight":
        """The VAE at a weight: a number, or a tensor () or (B,), one for each image. Its own weights are not random."""
        return AtWeight(self, kl_weight)

    def encode(self, x: Tensor) -> Diagonal:
        return self.at(self.kl_weight).encode(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.at(self.kl_weight).decode(z)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Diagonal, Tensor]:
        """(raw output, posterior, z), as of the VAE itself."""
        view = self.at(self.kl_weight)
        posterior = view.encode(x)
        z = posterior.mean if noise is None else posterior.sample(noise)
        return view.decode(z), posterior, z

    def draw(self, uniform: Tensor) -> Tensor:
        """Weights (B,) from numbers in [0, 1): the i-th is from the i-th of B equally likely parts of the range.

        So every batch covers the range; which image gets which weight is chance, since the images are shuffled.
        """
        places = (torch.arange(len(uniform), device=uniform.device) + uniform) / len(uniform)
        low, high = (end**-TILT for end in self.kl_weight_range)
        return (low - places * (low - high)) ** (-1 / TILT)


class AtWeight:
    """A multi-rate model at one weight, or at one for each image: encode(x) and decode(z), sharing its parameters."""

    def __init__(self, model: MultiRateVAE, kl_weight: float | Tensor):
        ends = model.log_ends
        log_weight = torch.as_tensor(kl_weight, dtype=ends.dtype, device=ends.device).log().reshape(-1, 1)
        low, high = (math.log(end) for end in model.kl_weight_range)
        standardised = (log_weight - (low + high) / 2) * (math.sqrt(12) / (high - low))
        with full_precision(ends):
            shift = _PACE * model.shift(model.features(standardised))
        self.vae = model.vae
        self.latent_dim = model.latent_dim
        # All (B, d), or (1, d) at one weight for all.
        self.mean_shift, self.logvar_shift = shift.chunk(2, dim=1)
        self.logvar_base = (log_weight - ends).clamp(max=0)
        self.open = torch.sqrt((1 - torch.exp(log_weight - ends)).clamp(min=1e-6))  # the root has no slope at 0

    def encode(self, x: Tensor) -> Diagonal:
        """q(z|x) of images x (B, C, H, W)."""
        return self.posterior(self.vae.encoded(x))

    def posterior(self, encoded: Tensor) -> Diagonal:
        """q(z|x) from what the encoder, which does not know the weight, makes of x: (B, 2 d)."""
        mean, logvar = at_least_float32(encoded).chunk(2, dim=1)
        return Diagonal(
            self.open * (mean + self.mean_shift), self.logvar_base + self.open * (logvar + self.logvar_shift)
        )

    def decode(self, z: Tensor) -> Tensor:
        """Raw output (B, C, H, W) of latents z (B, d)."""
        return self.vae.decode(self.open * z)
