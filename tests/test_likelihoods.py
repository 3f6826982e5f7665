"""Likelihoods against torch.distributions, the analytic optimum of sigma and the published formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Laplace, Normal
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from vae_sweep.models.likelihoods import LIKELIHOODS, OptimalSigma, gaussian_nll, likelihood, squared_error

SHAPE = (5, 3, 4, 4)
PIXELS = 48


@pytest.fixture
def out():
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def x():
    return torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def summed(log_prob):
    return -log_prob.flatten(1).sum(1)


@pytest.mark.parametrize("learn_scale", [False, True])
@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
def test_gaussian_and_laplace_are_exact_nats(out, x, scale, learn_scale):
    for recon, family in (("gaussian", Normal), ("laplace", Laplace)):
        term = likelihood(recon, scale, learn_scale).double()(out, x)
        torch.testing.assert_close(term, summed(family(out, scale).log_prob(x)), rtol=1e-5, atol=1e-5)


def test_bernoulli_is_exact_nats_and_its_image_is_the_mean(out, x):
    binary = (x > 0.5).double()
    module = likelihood("bernoulli")
    torch.testing.assert_close(module(out, binary), summed(Bernoulli(logits=out).log_prob(binary)))
    torch.testing.assert_close(module.image(out), Bernoulli(logits=out).mean)
    assert module(torch.full(SHAPE, 1e4), torch.ones(SHAPE)).abs().max() == 0
    assert torch.isfinite(module(torch.full(SHAPE, 1e4), torch.zeros(SHAPE))).all()


def test_grey_pixels_have_a_bernoulli_term_above_zero_at_best(x):
    best = likelihood("bernoulli")(torch.logit(x), x)
    torch.testing.assert_close(best, Bernoulli(probs=x).entropy().flatten(1).sum(1))


def test_squared_error_is_a_gaussian_in_disguise(out, x):
    """SSE + beta KL = 2 sigma^2 (-ELBO) + constant with sigma^2 = beta / 2."""
    beta = 0.3
    sse = likelihood("sse")(out, x)
    nll = summed(Normal(out, math.sqrt(beta / 2)).log_prob(x))
    constant = beta * PIXELS / 2 * math.log(math.pi * beta)
    torch.testing.assert_close(beta * nll - sse, torch.full_like(sse, constant))
    torch.testing.assert_close(gaussian_nll(sse, PIXELS, torch.tensor(0.5 * math.log(beta / 2))), nll)


def test_optimal_sigma_is_no_worse_than_any_other(out, x):
    best = likelihood("optimal_sigma")(out, x).mean()
    others = [-Normal(out, sigma).log_prob(x).sum() / len(x) for sigma in torch.linspace(0.5, 2, 1501)]
    assert best.item() == pytest.approx(min(others).item(), rel=1e-5)
    mse = (x - out).pow(2).mean()
    assert best.item() == pytest.approx(PIXELS / 2 * math.log(2 * math.pi * math.e * mse), rel=1e-5)


def test_optimal_sigma_is_that_of_the_sigma_vae_code(out, x):
    log_sigma = ((x - out) ** 2).mean([0, 1, 2, 3], keepdim=True).sqrt().log()
    log_sigma = -6 + F.softplus(log_sigma + 6)
    nll = 0.5 * torch.pow((x - out) / log_sigma.exp(), 2) + log_sigma + 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(likelihood("optimal_sigma")(out, x).sum(), nll.sum())


def test_optimal_sigma_follows_the_effective_weight(out, x):
    """The gradient is that of SSE divided by 2 MSE per pixel: the weight of the KL is 2 MSE in our convention."""
    out = out.requires_grad_()
    of_nll = torch.autograd.grad(likelihood("optimal_sigma")(out, x).mean(), out)[0]
    sse = squared_error(out, x)
    of_sse = torch.autograd.grad(sse.mean(), out)[0]
    effective_beta = 2 * sse.mean().item() / PIXELS
    torch.testing.assert_close(of_nll * effective_beta, of_sse, rtol=1e-2, atol=1e-6)  # e^-6 of floor


def test_a_perfect_reconstruction_meets_the_floor_with_a_finite_gradient(x):
    out = x.clone().requires_grad_()
    term = likelihood("optimal_sigma")(out, x)
    torch.testing.assert_close(term, torch.full_like(term, PIXELS * (-6 + 0.5 * math.log(2 * math.pi))))
    assert torch.isfinite(torch.autograd.grad(term.sum(), out)[0]).all()


def test_sigma_is_never_fitted_on_what_it_scores(out, x):
    module = likelihood("optimal_sigma").double()
    module.eval()
    assert module(out, x).isnan().all()  # nothing was fitted yet
    for _ in range(3):
        module.observe(torch.tensor(0.25))
    expected = summed(Normal(out, 0.5 + math.exp(-6)).log_prob(x))
    torch.testing.assert_close(module(out, x), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(module(2 * out, x)[:2], module(2 * out[:2], x[:2]))  # no batch in it

    restored = likelihood("optimal_sigma").double()
    restored.load_state_dict(module.state_dict())
    restored.eval()
    torch.testing.assert_close(restored(out, x), expected, rtol=1e-6, atol=0)
    module.fit(torch.tensor(1.0))
    torch.testing.assert_close(module.log_scale.exp().item(), 1 + math.exp(-6))


def test_running_sigma_is_the_weighted_mean_of_its_past():
    module, errors = OptimalSigma().double(), [0.3, 0.1, 0.2, 0.4]
    for error in errors:
        module.observe(torch.tensor(error))
    weights = [0.99**age for age in range(len(errors))][::-1]
    mean = sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights)
    assert module.log_scale.exp().item() == pytest.approx(math.sqrt(mean) + math.exp(-6), rel=1e-6)


def test_stacked_sigmas_run_as_the_single_ones():
    modules = [OptimalSigma() for _ in range(3)]
    _, buffers = stack_module_state(modules)
    for step in range(4):
        mse = torch.rand(3, generator=torch.Generator().manual_seed(step))
        modules[0].observe(mse, buffers)
        for module, error in zip(modules[1:], mse[1:], strict=True):
            module.observe(error)
    for index in (1, 2):
        assert buffers["mse_average"][index] == modules[index].mse_average
        assert buffers["mse_weight"][index] == modules[index].mse_weight


@pytest.mark.parametrize(("recon", "error"), [("gaussian", lambda e: e.pow(2).mean().sqrt()),
                                              ("laplace", lambda e: e.abs().mean())])  # fmt: skip
def test_a_learned_scale_finds_its_maximum_likelihood(out, x, recon, error):
    module = likelihood(recon, learn_scale=True).double()
    optimizer = torch.optim.LBFGS(module.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = module(out, x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert module.log_scale.exp().item() == pytest.approx(error(out - x).item(), rel=1e-5)


@pytest.mark.parametrize("recon", LIKELIHOODS)
def test_bfloat16_outputs_are_summed_in_float32(recon):
    shape = (2, 3, 64, 64)
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(shape, generator=generator).bfloat16()
    x = torch.rand(shape, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        term = likelihood(recon)(out, x)
    exact = likelihood(recon).double()(out.double(), x.double())
    assert term.dtype == torch.float32
    torch.testing.assert_close(term.double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("recon", LIKELIHOODS)
def test_vmap_equals_a_loop(recon, out, x):
    modules = [likelihood(recon).double() for _ in range(3)]
    state = stack_module_state(modules)
    outs = torch.stack([out, 2 * out, -out])
    together = vmap(lambda state, out: functional_call(modules[0], state, (out, x)))(state, outs)
    torch.testing.assert_close(together, torch.stack([m(o, x) for m, o in zip(modules, outs, strict=True)]))


@given(size=st.integers(1, 5), recon=st.sampled_from(["sse", "gaussian", "laplace", "bernoulli"]))
def test_terms_do_not_depend_on_the_rest_of_the_batch(size, recon):
    generator = torch.Generator().manual_seed(0)
    out, x = torch.randn(SHAPE, generator=generator), torch.rand(SHAPE, generator=generator)
    module = likelihood(recon)
    torch.testing.assert_close(module(out, x)[:size], module(out[:size], x[:size]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mse",), "loss.recon=mse: expected one of sse, gaussian"),
        (("sse", 0.5), r"loss.scale=0.5: loss.recon=sse has no scale"),
        (("bernoulli", 1.0, True), "loss.learn_scale=true: loss.recon=bernoulli has no scale"),
        (("gaussian", 0.0), "loss.scale=0.0: expected a number above 0"),
        (("gaussian", math.nan), "loss.scale=nan"),
        (("gaussian", 0.001, True), "loss.scale=0.001: expected a number above 0.00248"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        likelihood(*arguments)
