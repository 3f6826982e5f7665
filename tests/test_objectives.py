"""Objectives against the formulas of published codes, written out independently, and against their own laws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from vae_sweep.models.divergences import Capacity, divergence
from vae_sweep.models.likelihoods import LIKELIHOODS, likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import POSTERIORS
from vae_sweep.theory.conventions import REDUCTIONS, Sizes, factors, to_sum

B, D, SHAPE = 5, 4, (3, 4, 4)
PIXELS = 48


class Network(nn.Module):
    """The least that an objective asks for."""

    def __init__(self, posterior="diagonal"):
        super().__init__()
        self.latent_dim = D
        self.posterior = POSTERIORS[posterior]
        self.encoder = nn.Linear(PIXELS, self.posterior.n_params(D))
        self.decoder = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, PIXELS))

    def at(self, kl_weight, weight_noise=None):
        return self

    def encode(self, x):
        return self.posterior.from_params(self.encoder(x.flatten(1)), D)

    def decode(self, z):
        return self.decoder(z).unflatten(1, SHAPE)


OF_THE_OBJECTIVE = {"reduction", "deterministic", "weight_kl_weight", "batch_size"}


def objective_of(recon="sse", posterior="diagonal", seed=0, learn_scale=False, capacity=None, **options):
    """options: config.loss, and n_train; `divergence` is its name there. capacity: C in nats, the same at all steps."""
    torch.manual_seed(seed)
    own = {key: value for key, value in options.items() if key in OF_THE_OBJECTIVE}
    of_divergence = {key: value for key, value in options.items() if key not in OF_THE_OBJECTIVE}
    penalty = divergence(of_divergence.pop("divergence", "kl"), latent_dim=D, **of_divergence)
    penalty = penalty if capacity is None else Capacity(penalty, lambda step: capacity)
    n_train = options.get("n_train")
    made = Objective(Network(posterior), likelihood(recon, learn_scale=learn_scale), penalty, n_train=n_train, **own)
    return made.double()


@pytest.fixture
def x():
    return torch.rand(B, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise():
    return torch.randn(B, D, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def parts(objective, x, noise):
    """(raw output, mean, log-variance, z) by hand."""
    mean, logvar = objective.vae.encoder(x.flatten(1)).chunk(2, dim=1)
    z = mean + noise * torch.exp(logvar / 2)
    return objective.vae.decode(z), mean, logvar, z


# ---- published codes


def test_pythae(x, noise):
    """0.5 * mse_loss(reduction="none").sum(-1) + KLD, mean over the batch (beta-VAE: beta * KLD)."""
    objective = objective_of(reduction="half_sum")
    out, mean, logvar, _ = parts(objective, x, noise)
    recon = 0.5 * F.mse_loss(out.reshape(B, -1), x.reshape(B, -1), reduction="none").sum(dim=-1)
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp(), dim=-1)
    torch.testing.assert_close(objective(x, noise, 3.0)[0], (recon + 3.0 * kld).mean(dim=0))


def test_pytorch_vae(x, noise):
    """mse_loss (mean over pixels and batch) + kld_weight * mean over the batch of the summed KL."""
    objective = objective_of(reduction="mean_pixels")
    out, mean, logvar, _ = parts(objective, x, noise)
    kld = torch.mean(-0.5 * torch.sum(1 + logvar - mean**2 - logvar.exp(), dim=1), dim=0)
    torch.testing.assert_close(objective(x, noise, 0.00025)[0], F.mse_loss(out, x) + 0.00025 * kld)


def test_lightning_bolts(x, noise):
    """mse_loss(reduction="mean") + kl_coeff * mean over latents and batch (their one-sample KL, in expectation)."""
    objective = objective_of(reduction="mean_pixels_latents")
    out, mean, logvar, _ = parts(objective, x, noise)
    p, q = Normal(torch.zeros_like(mean), torch.ones_like(mean)), Normal(mean, torch.exp(logvar / 2))
    expected = F.mse_loss(out, x, reduction="mean") + 0.1 * kl_divergence(q, p).mean()
    torch.testing.assert_close(objective(x, noise, 0.1)[0], expected)


def test_pytorch_examples(x, noise):
    """binary_cross_entropy(reduction="sum") + KLD, both summed over the batch: B times ours."""
    objective = objective_of("bernoulli")
    out, mean, logvar, _ = parts(objective, x, noise)
    bce = F.binary_cross_entropy(torch.sigmoid(out), x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    torch.testing.assert_close(B * objective(x, noise, 1.0)[0], bce + kld)


def test_mean_squared_error_beside_a_kl_summed_over_the_batch(x, noise):
    objective = objective_of(reduction="mean_pixels_batch")
    out, mean, logvar, _ = parts(objective, x, noise)
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    torch.testing.assert_close(objective(x, noise, 0.1)[0], F.mse_loss(out, x) + 0.1 * kld)


def test_a_batch_in_parts_has_the_objective_of_the_whole(x, noise):
    """As ranks share it, or validation cuts the last one."""
    objective = objective_of(reduction="mean_pixels_batch", batch_size=len(x))
    parts_of_it = [objective(x[i : i + 1], noise[i : i + 1], 0.1)[0] for i in range(len(x))]
    torch.testing.assert_close(torch.stack(parts_of_it).mean(), objective(x, noise, 0.1)[0])


def test_normalised_beta_is_a_mean_over_pixels_and_latents_times_the_pixels(x, noise):
    normalised, means = objective_of(reduction="normalised"), objective_of(reduction="mean_pixels_latents")
    torch.testing.assert_close(normalised(x, noise, 0.1)[0], PIXELS * means(x, noise, 0.1)[0])


def test_sigma_vae(x, noise):
    """Their loss: nll summed with the batch's sigma (softclip at -6) + KL summed, here per image."""
    objective = objective_of("optimal_sigma")
    out, mean, logvar, _ = parts(objective, x, noise)
    log_sigma = -6 + F.softplus(((x - out) ** 2).mean().sqrt().log() + 6)
    nll = (0.5 * torch.pow((x - out) / log_sigma.exp(), 2) + log_sigma + 0.5 * math.log(2 * math.pi)).sum()
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    torch.testing.assert_close(objective(x, noise, 1.0)[0], (nll + kld) / B)


@pytest.mark.parametrize("capacity", [0.0, 25.0])
def test_burgess(x, noise, capacity):
    """recon + gamma |KL - C|, the KL a mean over the batch: on both sides of it."""
    objective = objective_of(reduction="half_sum", capacity=capacity)
    out, mean, logvar, _ = parts(objective, x, noise)
    kld = (-0.5 * (1 + logvar - mean.pow(2) - logvar.exp())).sum(1).mean(0, True)
    recon = F.mse_loss(out, x, reduction="sum").div(B) / 2
    expected = recon + 1000.0 * (kld - capacity).abs()
    torch.testing.assert_close(objective(x, noise, 1000.0)[0], expected[0])


def test_beta_tcvae(x, noise):
    """Chen et al. 2018: -log p(x|z) + (ln q(z|x) - ln q(z)) + beta (ln q(z) - sum ln q(z_j)) + (... - ln p(z))."""
    n = 1000
    objective = objective_of(divergence="tc", tc_weight=6.0, tc_estimator="weighted", n_train=n)
    out, mean, logvar, z = parts(objective, x, noise)
    log_q = Normal(mean, torch.exp(logvar / 2)).log_prob(z[:, None])  # (B, B, D)
    log_qz_x = Normal(mean, torch.exp(logvar / 2)).log_prob(z).sum(1)
    log_qz = torch.logsumexp(log_q.sum(2), dim=1) - math.log(B * n)
    log_prod = (torch.logsumexp(log_q, dim=1) - math.log(B * n)).sum(1)
    log_pz = Normal(0.0, 1.0).log_prob(z).sum(1)
    sse = (x - out).pow(2).flatten(1).sum(1)
    expected = sse + 0.5 * ((log_qz_x - log_qz) + 6.0 * (log_qz - log_prod) + (log_prod - log_pz))
    loss, terms = objective(x, noise, 0.5)
    torch.testing.assert_close(loss, expected.mean())
    torch.testing.assert_close(terms["tc"], log_qz - log_prod)


def test_no_free_bits_are_the_plain_kl():
    assert objective_of(free_bits=0.0).is_elbo
    assert not objective_of(free_bits=0.1).is_elbo


def test_kingma_free_bits(x, noise):
    objective = objective_of(free_bits=0.1)
    out, mean, logvar, _ = parts(objective, x, noise)
    kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp())
    expected = (x - out).pow(2).sum() / B + 2.0 * kl.mean(0).clamp(min=0.1).sum()
    torch.testing.assert_close(objective(x, noise, 2.0)[0], expected, rtol=1e-6, atol=0)


# ---- laws


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_converted_weight_has_the_same_stationary_points(x, noise, reduction):
    """Gradients are those of the summed objective at the converted weight, times the factor of recon."""
    weight, sizes = 0.1, Sizes(PIXELS, D, B)
    theirs, ours = objective_of(reduction=reduction), objective_of()
    loss = theirs(x, noise, weight)[0]
    same = ours(x, noise, to_sum(weight, reduction, sizes))[0] * factors(reduction, sizes)[0]
    for a, b in zip(
        torch.autograd.grad(loss, theirs.parameters()),
        torch.autograd.grad(same, ours.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


OPTIONS = [
    {},
    {"divergence": "reverse_kl"},
    {"divergence": "tc", "n_train": 100, "tc_weight": 6.0},
    {"free_bits": 0.5},
    {"free_bits": 0.5, "free_bits_groups": 2},
    {"reduction": "mean_pixels_latents"},
]
BY_OPTION = pytest.mark.parametrize("options", OPTIONS, ids=str)


@BY_OPTION
@pytest.mark.parametrize("posterior", POSTERIORS)
@fewer
@given(weight=st.floats(0, 1e3), capacity=st.none() | st.floats(0, 30))
def test_terms_are_plain_whatever_is_minimised(options, posterior, weight, capacity):
    x, noise = torch.rand(B, *SHAPE, dtype=torch.float64), torch.randn(B, D, dtype=torch.float64)
    plain = objective_of(posterior=posterior)
    terms = objective_of(posterior=posterior, capacity=capacity, **options)(x, noise, weight)[1]
    q = plain.vae.encode(x)
    torch.testing.assert_close(terms["kl"], q.kl())
    error = (x - plain.vae.decode(q.sample(noise))).pow(2).flatten(1)
    torch.testing.assert_close(terms["sse"], error.sum(1))
    torch.testing.assert_close(terms["recon"], error.sum(1))
    torch.testing.assert_close(terms["mse"], error.mean(1))
    assert all(term.shape == (B,) for term in terms.values())


@given(size=st.integers(1, B), recon=st.sampled_from(["sse", "bernoulli", "gaussian", "laplace"]))
@fewer
def test_terms_do_not_depend_on_the_size_of_the_batch(size, recon):
    x, noise = torch.rand(B, *SHAPE, dtype=torch.float64), torch.randn(B, D, dtype=torch.float64)
    objective = objective_of(recon)
    whole, part = objective(x, noise, 1.0)[1], objective(x[:size], noise[:size], 1.0)[1]
    for name in whole:
        torch.testing.assert_close(whole[name][:size], part[name])


@pytest.mark.parametrize("recon", LIKELIHOODS)
def test_an_autoencoder_decodes_the_mean_and_has_no_kl(x, recon):
    objective = objective_of(recon, deterministic=True)
    loss, terms = objective(x, None, 1.0)
    out = objective.vae.decode(objective.vae.encode(x).mean)
    torch.testing.assert_close(loss, objective.likelihood(out, x).mean())
    assert set(terms) == {"recon", "sse", "mse"}


def test_reverse_kl_is_what_is_minimised(x, noise):
    objective = objective_of(divergence="reverse_kl")
    q = objective.vae.encode(x)
    loss, terms = objective(x, noise, 2.0)
    torch.testing.assert_close(loss, (terms["sse"] + 2.0 * q.reverse_kl()).mean())


def test_correlation_of_latents_is_never_free(x, noise):
    """With as much free as there is, what remains of a full posterior's KL is that of its correlations."""
    objective = objective_of(posterior="full", free_bits=1e3)
    loss, terms = objective(x, noise, 1.0)
    q = objective.vae.encode(x)
    correlation = (q.kl() - q.kl_per_unit().sum(1)).mean()
    assert correlation > 0.01
    torch.testing.assert_close(loss, terms["sse"].mean() + D * 1e3 + correlation)


# ---- packs and precision


@BY_OPTION
@pytest.mark.parametrize("recon", LIKELIHOODS)
def test_a_pack_equals_its_members(options, recon):
    members = [
        objective_of(recon, "full", seed=seed, learn_scale=recon in ("gaussian", "laplace"), **options)
        for seed in range(3)
    ]
    check_pack(members)


@pytest.mark.parametrize(
    ("common", "numbers"),
    [
        ({}, {"free_bits": [0.1, 0.5, 2.0]}),
        ({"divergence": "reverse_kl"}, {"capacity": [0.5, 5.0, 50.0]}),
        ({"divergence": "tc", "n_train": 100}, {"tc_weight": [1.0, 3.0, 9.0], "mi_weight": [1.0, 0.0, 2.0]}),
    ],
)
def test_members_of_a_pack_may_differ_in_their_numbers(common, numbers):
    members = [
        objective_of(seed=index, **common, **{key: values[index] for key, values in numbers.items()})
        for index in range(3)
    ]
    check_pack(members)


def check_pack(members):
    n = len(members)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, B, *SHAPE, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, B, D, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.0, 0.1, 10.0], dtype=torch.float64)
    parameters, buffers = stack_module_state(members)

    def loss(parameters, buffers, *inputs):
        return functional_call(members[0], (parameters, buffers), inputs)

    gradients, (losses, terms) = vmap(grad_and_value(loss, has_aux=True))(parameters, buffers, x, noise, weights)
    for index, member in enumerate(members):
        value, of_member = member(x[index], noise[index], weights[index])
        torch.testing.assert_close(value, losses[index])
        for name, term in of_member.items():
            torch.testing.assert_close(term, terms[name][index])
        value.backward()
        for name, parameter in member.named_parameters():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(gradients[name][index], expected)


def test_observing_a_pack_observes_its_members(x, noise):
    members = [objective_of("optimal_sigma", seed=seed) for seed in range(2)]
    all_terms = [member(x, noise, 1.0)[1] for member in members]
    _, buffers = stack_module_state(members)
    stacked = {name: torch.stack([terms[name].detach() for terms in all_terms]) for name in all_terms[0]}
    members[0].observe(stacked, buffers)
    for index, (member, terms) in enumerate(zip(members, all_terms, strict=True)):
        member.observe({name: term.detach() for name, term in terms.items()})
        for name, buffer in member.named_buffers():
            torch.testing.assert_close(buffers[name][index], buffer)


def test_forward_leaves_no_trace(x, noise):
    objective = objective_of("optimal_sigma")
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective(x, noise, 1.0)
    objective.eval()
    objective(x, noise, 1.0)
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("recon", LIKELIHOODS)
def test_under_autocast_the_terms_are_float32(recon, posterior, x, noise):
    objective = objective_of(recon, posterior).float()
    exact = objective(x.float(), noise.float(), 1.0)[1]
    with torch.autocast("cpu", torch.bfloat16):
        loss, terms = objective(x.float(), noise.float(), 1.0)
    assert loss.dtype == torch.float32
    for name, term in terms.items():
        assert term.dtype == torch.float32
        torch.testing.assert_close(term, exact[name], rtol=0.05, atol=0.05)  # the network itself is bfloat16


# ---- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "mean"}, "loss.reduction=mean: expected one of sum"),
        ({"divergence": "js"}, "loss.divergence=js: expected one of kl, reverse_kl, tc"),
        ({"divergence": "tc", "n_train": 9, "tc_estimator": "x"}, "loss.tc_estimator=x"),
        ({"divergence": "tc"}, "n_train"),
        ({"divergence": "reverse_kl", "free_bits": 1.0}, "loss.free_bits=1.0: needs loss.divergence=kl"),
        ({"free_bits": 1.0, "free_bits_groups": 3}, "loss.free_bits_groups=3: must divide model.latent_dim=4"),
        ({"weight_kl_weight": 1.0, "n_train": 9}, "loss.weight_kl_weight=1.0: the model has no Bayesian"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        objective_of(**options)
