"""Bayesian networks: independent Gaussians over weights, and their KL. Blundell et al. 2015 ("Bayes by
backprop").

A distribution over weights needs no layers of its own: the network stays what it was, a function of its
parameters, and is called with sampled ones (torch.func.functional_call). So it works for every layer, and
under vmap and grad.
"""

import math
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vae_sweep.models.posteriors import Posterior

Weights = dict[str, Tensor]  # sampled parameters, by their names in the VAE

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


class BayesianVAE(nn.Module):
    """A VAE with q(w) = N(w; mean, std^2) for every weight and bias of its linear and convolutional layers.

    The means are the VAE's own parameters, as they were initialised. The prior is N(0, prior_scale^2 /
    fan_in) for weights and N(0, prior_scale^2) for biases: the functions it describes do not depend on the
    widths. The deviations begin at `start` of the prior's. Scales and offsets of normalisation layers stay
    ordinary parameters.

    Randomness is an argument: `sample_weights(noise)` with noise (noise_dim,) standard normal, one draw for
    the whole batch. Without weights, encode and decode use the means.
    """

    prior_std: Tensor

    def __init__(self, vae: nn.Module, prior_scale: float = 1.0, start: float = 0.05) -> None:
        super().__init__()
        if not 0 < prior_scale < math.inf:
            raise ValueError(f"loss.weight_prior_scale={prior_scale}: expected a number above 0")
        fan_ins = dict(_fan_ins(vae))
        if not fan_ins:
            raise ValueError("Bayesian weights need a model with linear or convolutional layers")
        self.vae = vae
        self.names = list(fan_ins)
        means = self._means()
        self.sizes = [mean.numel() for mean in means]
        scales = [prior_scale / math.sqrt(fan_ins[name]) for name in self.names]
        prior_std = torch.cat(
            [mean.detach().new_full((mean.numel(),), scale) for mean, scale in zip(means, scales, strict=True)]
        )
        self.register_buffer("prior_std", prior_std, persistent=False)  # (noise_dim,)
        self.rho = nn.Parameter(torch.log(torch.expm1(start * prior_std)))  # std = softplus(rho)

    @property
    def latent_dim(self) -> Any:
        return self.vae.latent_dim

    @property
    def noise_dim(self) -> int:
        """How many weights are random."""
        return sum(self.sizes)

    def sample_weights(self, noise: Tensor | None) -> Weights | None:
        """mean + softplus(rho) * noise by name; None (the means) where noise is None."""
        if noise is None:
            return None
        offsets = (F.softplus(self.rho) * noise).split(self.sizes)
        return {
            name: mean + offset.view_as(mean)
            for name, mean, offset in zip(self.names, self._means(), offsets, strict=True)
        }

    def weight_kl(self) -> Tensor:
        """KL(q(w) || p(w)) of all weights together, in nats, in closed form: 0-dim."""
        mean = torch.cat([mean.flatten() for mean in self._means()])
        std = F.softplus(self.rho)
        ratio = (std / self.prior_std) ** 2
        return 0.5 * ((mean / self.prior_std) ** 2 + ratio - 1 - torch.log(ratio)).sum()

    def _means(self) -> list[Tensor]:
        # Not get_parameter: under functional_call they are plain tensors.
        return [attrgetter(name)(self.vae) for name in self.names]

    def at(self, kl_weight: float | Tensor, weight_noise: Tensor | None = None) -> "WithWeights":
        """The VAE with one draw of its weights (None: their means), which encoder and decoder share."""
        return WithWeights(self, self.sample_weights(weight_noise))

    def encode(self, x: Tensor, weights: Weights | None = None) -> Posterior:
        return self._call("encode", x, weights)

    def decode(self, z: Tensor, weights: Weights | None = None) -> Tensor:
        return self._call("decode", z, weights)

    def forward(
        self, x: Tensor, noise: Tensor | None, weight_noise: Tensor | None = None
    ) -> tuple[Tensor, Posterior, Tensor]:
        """(raw output, posterior, z), as of the VAE itself."""
        weights = self.sample_weights(weight_noise)
        posterior = self.encode(x, weights)
        z = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(z, weights), posterior, z

    def _call(self, method: str, argument: Tensor, weights: Weights | None) -> Any:
        if weights is None:
            return getattr(self.vae, method)(argument)
        call = _MethodCall(self.vae, method)
        return functional_call(call, {f"module.{name}": weight for name, weight in weights.items()}, (argument,))


class WithWeights:
    """A Bayesian VAE at one draw of its weights: encode(x) and decode(z)."""

    def __init__(self, model: BayesianVAE, weights: Weights | None) -> None:
        self.model = model
        self.weights = weights

    def encode(self, x: Tensor) -> Posterior:
        return self.model.encode(x, self.weights)

    def decode(self, z: Tensor) -> Tensor:
        return self.model.decode(z, self.weights)


class _MethodCall(nn.Module):
    """A method as a module's forward, which is all that functional_call can call."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module = module
        self.method = method

    def forward(self, argument: Tensor) -> Any:
        return getattr(self.module, self.method)(argument)


def _fan_ins(network: nn.Module) -> Iterator[tuple[str, float]]:
    """(name, inputs summed into one output) of every weight; 1 for a bias."""
    for prefix, layer in network.named_modules():
        if isinstance(layer, _WEIGHTED):
            name = f"{prefix}." if prefix else ""
            if isinstance(layer, _TRANSPOSED):
                # (in, out, *kernel), of which an output cell meets one in every stride
                fan_in = layer.weight[:, 0].numel() / layer.groups / math.prod(layer.stride)
            else:
                fan_in = layer.weight[0].numel()
            yield f"{name}weight", fan_in
            if layer.bias is not None:
                yield f"{name}bias", 1.0
