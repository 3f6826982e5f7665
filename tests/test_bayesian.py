"""Bayesian weights against torch.distributions, copies with set weights, and Bayesian linear regression."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from vae_sweep.models import networks as models
from vae_sweep.models.bayesian import BayesianVAE
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import Diagonal

SHAPE, D, B = (3, 8, 8), 4, 5


def network(seed=0, make=models.conv, **kwargs):
    torch.manual_seed(seed)
    return make(SHAPE, D, **kwargs)


@pytest.fixture
def x():
    return torch.rand(B, *SHAPE, generator=torch.Generator().manual_seed(1))


def layers(vae):
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [layer for layer in vae.modules() if isinstance(layer, kinds)]


@pytest.mark.parametrize("make", [models.conv, models.resnet, models.mlp, models.linear])
def test_weight_kl_is_that_of_torch_distributions(make):
    vae = BayesianVAE(network(make=make), prior_scale=2.0)
    with torch.no_grad():
        vae.rho.add_(torch.randn_like(vae.rho))
    stds = F.softplus(vae.rho)
    total, place = 0.0, 0
    for layer in layers(vae):
        for name, mean in layer.named_parameters():
            fan_in = 1
            if name == "weight":
                # Inputs that reach one output: counted by sending ones through absolute ones.
                fan_in = inputs_per_output(layer)
            std = stds[place : place + mean.numel()].view_as(mean)
            place += mean.numel()
            prior = Normal(torch.zeros_like(mean), torch.full_like(mean, 2.0 / math.sqrt(fan_in)))
            total += kl_divergence(Normal(mean, std), prior).sum()
    assert place == vae.noise_dim
    torch.testing.assert_close(vae.weight_kl(), total, rtol=1e-4, atol=1e-3)


def inputs_per_output(layer):
    ones = copy.deepcopy(layer)
    nn.init.ones_(ones.weight)
    nn.init.zeros_(ones.bias)
    channels = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    side = () if isinstance(layer, nn.Linear) else (16, 16)
    return ones(torch.ones(1, channels, *side)).max().item()


@pytest.mark.parametrize("make", [models.conv, models.resnet, models.mlp, models.linear])
def test_sampled_weights_act_as_set_weights(x, make):
    plain = network(make=make)
    vae = BayesianVAE(copy.deepcopy(plain))
    weight_noise, noise = torch.randn(vae.noise_dim), torch.randn(B, D)
    start, place = 0.05, 0
    for layer in layers(plain):
        for name, weight in layer.named_parameters():
            std = start / math.sqrt(inputs_per_output(layer)) if name == "weight" else start
            offset = std * weight_noise[place : place + weight.numel()]
            place += weight.numel()
            weight.data += offset.view_as(weight)
    out, posterior, z = vae(x, noise, weight_noise)
    expected_out, expected_posterior, expected_z = plain(x, noise)
    torch.testing.assert_close(out, expected_out)
    torch.testing.assert_close(z, expected_z)
    torch.testing.assert_close(posterior.kl(), expected_posterior.kl())


def test_without_noise_it_is_the_vae_of_the_means(x):
    plain = network()
    vae, noise = BayesianVAE(copy.deepcopy(plain)), torch.randn(B, D)
    torch.testing.assert_close(vae(x, noise)[0], plain(x, noise)[0], rtol=0, atol=0)
    torch.testing.assert_close(vae(x, noise, torch.zeros(vae.noise_dim))[0], plain(x, noise)[0])
    assert vae.latent_dim == D


def test_normalisation_stays_ordinary():
    vae = BayesianVAE(network(make=models.resnet))
    norms = sum(p.numel() for m in vae.modules() if isinstance(m, nn.GroupNorm) for p in m.parameters())
    assert norms > 0
    assert vae.noise_dim == sum(p.numel() for p in vae.vae.parameters()) - norms


class Regression(nn.Module):
    """y = W u + b under the name of a VAE: the image is (y, u), of which u is "encoded" as it is."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 1)

    def encode(self, x):
        u = x.flatten(1)[:, 1:]
        return Diagonal(u, torch.zeros_like(u))

    def decode(self, z):
        return torch.cat([self.head(z), z], dim=1)[:, None, None, :]


@pytest.mark.parametrize("tempering", [1.0, 0.1])
def test_mean_field_regression_finds_its_closed_form(tempering):
    """Precision of each weight: sum_i u_i^2 / (w sigma^2) + 1 / p^2; means: ridge regression. w tempers the data."""
    n, sigma, scale = 40, 0.5, 1.5
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    y = u @ torch.tensor([[1.0], [-0.5]], dtype=torch.float64) + 0.3
    y = y + sigma * torch.randn(n, 1, dtype=torch.float64, generator=generator)
    vae = BayesianVAE(Regression(), prior_scale=scale)
    objective = Objective(
        vae, likelihood("gaussian", sigma), deterministic=True, n_train=n, weight_kl_weight=tempering
    ).double()
    images = torch.cat([y, u], dim=1)[:, None, None, :]
    # +- sqrt(3) along each axis has the second moments of the noise: exact for a loss that is quadratic in it.
    noises = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    optimizer = torch.optim.LBFGS(
        objective.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )

    def closure():
        optimizer.zero_grad()
        loss = sum(objective(images, None, 0.0, weight_noise=noise)[0] for noise in noises) / 6
        loss.backward()
        return loss

    optimizer.step(closure)
    design = torch.cat([u, torch.ones(n, 1)], dim=1)
    prior = torch.tensor([2 / scale**2, 2 / scale**2, 1 / scale**2], dtype=torch.float64)  # fan_in = 2; bias
    precision = design.T @ design / (tempering * sigma**2) + torch.diag(prior)
    mean = torch.linalg.solve(precision, design.T @ y / (tempering * sigma**2))[:, 0]
    found = torch.cat([vae.vae.head.weight.flatten(), vae.vae.head.bias])
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(F.softplus(vae.rho), precision.diagonal() ** -0.5, rtol=1e-4, atol=1e-6)


def test_the_loss_adds_the_weights_kl_per_training_image(x):
    vae = BayesianVAE(network())
    noise, weight_noise = torch.randn(B, D), torch.randn(vae.noise_dim)
    with_kl = Objective(vae, likelihood("sse"), n_train=50, weight_kl_weight=0.2)
    loss, terms = with_kl(x, noise, 2.0, weight_noise=weight_noise)
    assert terms["weight_kl"].shape == (B,)
    expected = terms["sse"].mean() + 2.0 * terms["kl"].mean() + 0.2 / 50 * vae.weight_kl()
    torch.testing.assert_close(loss, expected)


def test_a_pack_equals_its_members_each_with_its_own_weight():
    members = [
        Objective(BayesianVAE(network(seed)), likelihood("sse"), n_train=50, weight_kl_weight=weight).double()
        for seed, weight in enumerate([1.0, 0.1, 0.01])
    ]
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, B, *SHAPE, dtype=torch.float64, generator=generator)
    noise = torch.randn(3, B, D, dtype=torch.float64, generator=generator)
    weight_noise = torch.randn(3, members[0].vae.noise_dim, dtype=torch.float64, generator=generator)
    parameters, buffers = stack_module_state(members)

    def loss(parameters, buffers, x, noise, weight_noise):
        inputs = (x, noise, 1.0, weight_noise)
        return functional_call(members[0], (parameters, buffers), inputs)

    gradients, (losses, _) = vmap(grad_and_value(loss, has_aux=True))(parameters, buffers, x, noise, weight_noise)
    for index, member in enumerate(members):
        value, _ = member(x[index], noise[index], 1.0, weight_noise=weight_noise[index])
        torch.testing.assert_close(value, losses[index])
        value.backward()
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(gradients[name][index], parameter.grad)


def test_refusals():
    with pytest.raises(ValueError, match=r"loss.weight_prior_scale=0: expected a number above 0"):
        BayesianVAE(network(), prior_scale=0)
    with pytest.raises(ValueError, match="linear or convolutional"):
        BayesianVAE(nn.Identity())
