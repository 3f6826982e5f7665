"""Controllers on plants whose answer is known: a convex problem under descent, and the linear VAE's closed form."""

import math
import re

import pytest
import torch
from marks import slow

from vae_sweep.schedules.controllers import ControlVAE, Geco

EIGENVALUES = 20.0 / torch.arange(1, 65)  # of paintings, roughly: SSE 95 at rate zero


class LinearVAE:
    """The optimum of a linear VAE at weight beta (SCIENCE: SSE = sum min(beta/2, lambda_j)), reached with a lag."""

    def __init__(self, lag=30):
        self.lag = lag
        self.recon, self.kl = EIGENVALUES.sum(), torch.zeros(())

    def step(self, beta):
        recon = torch.minimum(EIGENVALUES, beta / 2).sum()
        kl = 0.5 * torch.log(2 * EIGENVALUES / beta).clamp(min=0).sum()
        self.recon = self.recon + (recon - self.recon) / self.lag
        self.kl = self.kl + (kl - self.kl) / self.lag
        return self.recon, self.kl


def run(controller, plant, steps):
    for _ in range(steps):
        controller.steer(*plant.step(controller.kl_weight))
    return plant


@pytest.mark.parametrize(("goal", "start"), [(60.0, 0.05), *slow((10.0, 30.0), (25.0, 1.0), (25.0, 0.05))])
def test_geco_reaches_its_goal_and_the_linear_weight(goal, start):
    controller, plant = Geco(6000, goal, kl_weight=start), LinearVAE()
    run(controller, plant, 6000)
    assert plant.recon.item() == pytest.approx(goal, rel=0.02)
    # beta = 2 theta with sum min(theta, lambda_j) = goal, solved by bisection
    low, high = 0.0, EIGENVALUES.max().item()
    for _ in range(60):
        theta = (low + high) / 2
        below = torch.minimum(EIGENVALUES, torch.tensor(theta)).sum() < goal
        low, high = (theta, high) if below else (low, theta)
    assert controller.kl_weight.item() == pytest.approx(2 * theta, rel=0.02)


@pytest.mark.parametrize(
    ("target", "start"),
    [(40.0, 0.3), *slow((20.0, 3.0), (40.0, 3.0), (60.0, 1.0))],
)
def test_control_vae_holds_its_target(target, start):
    controller, plant = ControlVAE(6000, target, kl_weight=start), LinearVAE()
    run(controller, plant, 6000)
    assert plant.kl.item() == pytest.approx(target, rel=0.02)
    _, kl = LinearVAE(lag=1).step(controller.kl_weight)
    assert kl.item() == pytest.approx(target, rel=0.02)


@pytest.mark.parametrize("name", ["geco", "control_vae"])
def test_they_steer_gradient_descent_on_a_convex_problem(name):
    """min over w of (w - 2)^2 + beta w^2, recon and "kl" its two terms: w = 2 / (1 + beta)."""
    if name == "geco":
        controller = Geco(4000, goal=0.25, kl_weight=1.0)  # w = 1.5, beta = 1/3
    else:
        controller = ControlVAE(4000, target=2.25, kl_weight=1.0, ki=2e-3)
    w = torch.zeros(())
    for _ in range(4000):
        recon, kl = (w - 2) ** 2, w**2
        w = w - 0.02 * (2 * (w - 2) + controller.kl_weight * 2 * w)
        controller.steer(recon, kl)
    assert w.item() == pytest.approx(1.5, rel=0.01)
    assert controller.kl_weight.item() == pytest.approx(1 / 3, rel=0.02)


def test_one_update_is_the_published_formula():
    geco = Geco(100, goal=10.0, kl_weight=2.0, eta=0.5, memory=0.9)
    geco.steer(torch.tensor(15.0), torch.tensor(0.0))
    geco.steer(torch.tensor(5.0), torch.tensor(0.0))
    mean = (0.9 * 15 + 5) / 1.9
    expected = 2.0 * math.exp(0.5 * (10 - 15) / 10) * math.exp(0.5 * (10 - mean) / 10)
    assert geco.kl_weight.item() == pytest.approx(expected, rel=1e-6)

    control = ControlVAE(100, target=20.0, kl_weight=1.0, kp=0.01, ki=0.001)
    control.steer(torch.tensor(0.0), torch.tensor(25.0))
    expected = 0.01 / (1 + math.exp(20 - 25)) + 1.0 + 0.001 * (25 - 20)
    assert control.kl_weight.item() == pytest.approx(expected, rel=1e-6)
    control.steer(torch.tensor(0.0), torch.tensor(1e6))
    assert torch.isfinite(control.kl_weight)


def test_gains_are_multiples_of_the_first_weight():
    small, large = ControlVAE(100, 5.0, kl_weight=0.01), ControlVAE(100, 5.0, kl_weight=10.0)
    for kl in (8.0, 3.0, 40.0):
        small.steer(torch.zeros(()), torch.tensor(kl))
        large.steer(torch.zeros(()), torch.tensor(kl))
    assert large.kl_weight.item() == pytest.approx(1000 * small.kl_weight.item(), rel=1e-5)


def test_the_integral_does_not_wind_up():
    """A KL that cannot be raised to its target for 3,000 steps: the weight leaves the bound at once afterwards."""
    controller = ControlVAE(100, target=50.0, kl_weight=1.0, kp=0.0, ki=1e-2, low=0.1, high=10)
    for _ in range(3000):
        controller.steer(torch.zeros(()), torch.tensor(1.0))  # far below the target: weight to its lower bound
    assert controller.kl_weight.item() == pytest.approx(0.1, abs=0.5)
    controller.steer(torch.zeros(()), torch.tensor(60.0))
    assert controller.kl_weight.item() > 0.15

    for _ in range(3000):
        controller.steer(torch.zeros(()), torch.tensor(80.0))
    assert controller.kl_weight.item() == pytest.approx(10, abs=0.5)
    controller.steer(torch.zeros(()), torch.tensor(20.0))
    assert controller.kl_weight.item() < 9.8


@pytest.mark.parametrize("make", [lambda: Geco(100, 4.0), lambda: ControlVAE(100, 5.0)])
def test_they_hear_the_means_of_the_terms_and_have_no_target(make):
    one, other = make(), make()
    one.update({"recon": torch.tensor([3.0, 7.0]), "kl": torch.tensor([1.0, 5.0]), "sse": torch.zeros(2)})
    other.steer(torch.tensor(5.0), torch.tensor(3.0))
    assert one.at(step=7).item() == other.kl_weight.item() != 1.0
    assert one.target is None


@pytest.mark.parametrize(("goal", "bound"), [(1e-3, 0.01), (1e4, 100.0)])
def test_an_infeasible_goal_ends_at_a_bound(goal, bound):
    controller = Geco(100, goal, low=0.01, high=100.0)
    run(controller, LinearVAE(), 2000)
    assert controller.kl_weight.item() == pytest.approx(bound)


@pytest.mark.parametrize("make", [lambda: Geco(100, 4.0), lambda: ControlVAE(100, 5.0)])
def test_a_resumed_controller_repeats_its_weights(make):
    whole, first, plant = make(), make(), LinearVAE()
    seen = [plant.step(torch.tensor(1.0)) for _ in range(100)]
    for terms in seen[:40]:
        first.steer(*terms)
    second = make()
    second.load_state_dict(first.state_dict())
    for terms in seen:
        whole.steer(*terms)
    for terms in seen[40:]:
        second.steer(*terms)
    assert torch.equal(second.kl_weight, whole.kl_weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Geco(1, goal=0.0), "kl_schedule.goal=0.0: expected a reconstruction term above 0"),
        (lambda: Geco(1, goal=1.0, eta=0.0), "kl_schedule.eta=0.0"),
        (lambda: Geco(1, goal=1.0, memory=1.0), "kl_schedule.memory=1.0: expected 0 <= memory < 1"),
        (lambda: Geco(1, goal=1.0, kl_weight=0.0), "loss.kl_weight=0.0"),
        (lambda: ControlVAE(1, target=-1.0), "kl_schedule.target=-1.0: expected nats"),
        (lambda: ControlVAE(1, target=1.0, ki=0.0), "ki=0.0"),
        (lambda: ControlVAE(1, target=1.0, low=2.0), "kl_schedule.low=2.0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
