"""Objectives on the linear VAE, whose optimum is known (SCIENCE section 2; Lucas et al. 2019).

The loss of a linear decoder is quadratic in the noise, so its expectation over N(0, I) is exact over the points
+- sqrt(d) along each axis: the optimum is found by L-BFGS to many digits, without Monte Carlo.
"""

import math

import pytest
import torch
from marks import slow

from vae_sweep.models import networks as models
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.schedules.controllers import ControlVAE, Geco

PIXELS, D, N = 10, 4, 60
SHAPE = (1, 2, 5)
VARIANCES = torch.tensor([4.0, 2.0, 1.0, 0.6, 0.3, 0.2, 0.15, 0.1, 0.1, 0.05])


def images():
    """N images whose covariance (1/N) has exactly the eigenvalues VARIANCES."""
    generator = torch.Generator().manual_seed(0)
    white, _ = torch.linalg.qr(torch.randn(N, PIXELS + 1, dtype=torch.float64, generator=generator))
    white = white - white.mean(0)
    white, _ = torch.linalg.qr(white[:, :PIXELS])  # orthonormal, and orthogonal to the constant
    turn, _ = torch.linalg.qr(torch.randn(PIXELS, PIXELS, dtype=torch.float64, generator=generator))
    return (0.5 + math.sqrt(N) * white * VARIANCES.double().sqrt() @ turn.T).reshape(N, *SHAPE)


def optimum(recon="sse", posterior="diagonal", kl_weight=1.0, learn_scale=False, **options):
    """(loss, mean terms, objective) at the optimum from a random start."""
    torch.manual_seed(1)
    vae = models.linear(SHAPE, D, posterior)
    objective = Objective(vae, likelihood(recon, learn_scale=learn_scale), **options).double()
    axes = math.sqrt(D) * torch.cat([torch.eye(D), -torch.eye(D)]).double()
    x, noise = images().repeat(2 * D, 1, 1, 1), axes.repeat_interleave(N, dim=0)
    solver = torch.optim.LBFGS(
        objective.parameters(), max_iter=3000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        loss, _ = objective(x, noise, kl_weight)
        loss.backward()
        return loss

    solver.step(closure)
    loss, terms = objective(x, noise, kl_weight)
    return loss.item(), {name: term.mean().item() for name, term in terms.items()}, objective


def closed_form(beta):
    """(SSE, KL per unit) of the diagonal posterior."""
    s2, kept = beta / 2, VARIANCES[:D]
    sse = torch.minimum(kept, torch.tensor(s2)).sum() + VARIANCES[D:].sum()
    return sse.item(), 0.5 * torch.log(kept / s2).clamp(min=0)


def test_the_images_have_their_covariance():
    flat = images().flatten(1)
    centred = flat - flat.mean(0)
    found = torch.linalg.eigvalsh(centred.T @ centred / N).flip(0)
    torch.testing.assert_close(found, VARIANCES.double())


@pytest.mark.parametrize(
    ("beta", "posterior"),
    [(0.2, "diagonal"), (3.0, "full"), *slow((1.0, "diagonal"), (3.0, "diagonal"), (0.2, "full"), (1.0, "full"))],
)
def test_rate_and_distortion_are_the_closed_form(beta, posterior):
    _, terms, objective = optimum(posterior=posterior, kl_weight=beta)
    sse, kl = closed_form(beta)
    assert terms["sse"] == pytest.approx(sse, rel=1e-4)
    assert terms["kl"] == pytest.approx(kl.sum().item(), rel=1e-4)
    q = objective.vae.encode(images())
    second_moments = (q.mean**2 + q.variance).mean(0)
    torch.testing.assert_close(second_moments, torch.ones(D).double(), rtol=1e-3, atol=0)
    if posterior == "diagonal":
        torch.testing.assert_close(q.kl_per_unit().mean(0).sort(descending=True)[0].float(), kl, rtol=1e-3, atol=1e-4)


def test_above_the_threshold_nothing_is_coded():
    """beta > 2 lambda_max: the collapsed solution is the optimum."""
    _, terms, _ = optimum(kl_weight=8.2)
    assert terms["kl"] == pytest.approx(0, abs=1e-5)
    assert terms["sse"] == pytest.approx(VARIANCES.sum().item(), rel=1e-5)


@pytest.mark.slow
def test_one_shared_scale_costs_more_than_a_scale_per_unit():
    shared, _, _ = optimum(posterior="shared_scale")
    free, _, _ = optimum()
    assert shared > free + 0.01


@pytest.mark.parametrize("reduction", ["mean_pixels", *slow("half_sum", "normalised")])
def test_a_reduction_moves_the_weight_not_the_optimum(reduction):
    weight = {"half_sum": 0.5, "mean_pixels": 1 / PIXELS, "normalised": D / PIXELS}[reduction]
    _, terms, _ = optimum(kl_weight=weight, reduction=reduction)
    sse, kl = closed_form(1.0)
    assert (terms["sse"], terms["kl"]) == (pytest.approx(sse, rel=1e-4), pytest.approx(kl.sum().item(), rel=1e-4))


@pytest.mark.slow
@pytest.mark.parametrize(("recon", "learn_scale"), [("optimal_sigma", False), *slow(("gaussian", True))])
def test_a_fitted_sigma_is_that_of_probabilistic_pca(recon, learn_scale):
    """sigma^2 = mean of the discarded eigenvalues (Tipping & Bishop 1999), and the loss is then -ln p(x)."""
    loss, terms, objective = optimum(recon, learn_scale=learn_scale)
    s2 = VARIANCES[D:].mean()
    assert terms["mse"] == pytest.approx(s2.item(), rel=0.02)  # the floor adds e^-6 to the sigma of optimal_sigma
    if learn_scale:
        assert objective.likelihood.log_scale.exp().item() == pytest.approx(s2.sqrt().item(), rel=1e-4)
    covariance = torch.cat([VARIANCES[:D], s2.expand(PIXELS - D)])
    nll = 0.5 * (PIXELS * math.log(2 * math.pi) + covariance.log().sum() + (VARIANCES / covariance).sum())
    assert loss == pytest.approx(nll.item(), abs=0.01)


@pytest.mark.slow
def test_weighted_by_twice_its_mse_the_squared_error_has_the_optimum_of_a_fitted_sigma():
    _, fitted, _ = optimum("gaussian", learn_scale=True)
    _, weighted, _ = optimum(kl_weight=2 * fitted["mse"])
    assert weighted["sse"] == pytest.approx(fitted["sse"], rel=1e-3)
    assert weighted["kl"] == pytest.approx(fitted["kl"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["geco", "control_vae"])
def test_a_controller_trains_to_its_goal_and_the_linear_weight(name):
    """Adam with sampled z: SSE = 2 at beta = 0.55, or KL = 3 at beta = 0.660 (`closed_form` at both)."""
    steps = 3000
    controller = Geco(steps, goal=2.0) if name == "geco" else ControlVAE(steps, target=3.0, ki=3e-3)
    torch.manual_seed(0)
    objective, x = Objective(models.linear(SHAPE, D), likelihood("sse")), images().float()
    optimizer = torch.optim.Adam(objective.parameters())
    generator, last = torch.Generator().manual_seed(1), []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * step / steps))
        loss, terms = objective(x, torch.randn(N, D, generator=generator), controller.kl_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.update(terms)
        last.append((terms["recon"].mean().item(), terms["kl"].mean().item()))
    recon, kl = torch.tensor(last[-500:]).mean(0).tolist()
    weight = controller.kl_weight.item()
    if name == "geco":
        assert (recon, weight) == (pytest.approx(2.0, rel=0.02), pytest.approx(0.55, rel=0.02))
        assert closed_form(0.55)[0] == pytest.approx(2.0)
    else:
        assert (kl, weight) == (pytest.approx(3.0, rel=0.02), pytest.approx(0.660, rel=0.02))
        assert closed_form(0.660)[1].sum().item() == pytest.approx(3.0, rel=1e-3)
