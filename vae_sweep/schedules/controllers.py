"""KL weights that steer themselves to a goal. They have state, kept in buffers and so in the checkpoint.

Each is a weight in force (weight.py) and adds `steer`. Nothing in here waits for the device.

They have no target weight. Both begin at `kl_weight` (loss.kl_weight) and count in multiples of it. total_steps
is taken because every schedule is, and does not matter to them.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vae_sweep.traits import SCHEDULES, ScheduleTraits


class Controller(nn.Module):
    """A KL weight with feedback. One of another package declares its `traits` and has a `steer`."""

    traits: ScheduleTraits
    target: float | None = None
    weight: Tensor

    def __init__(self, kl_weight: float, low: float, high: float) -> None:
        super().__init__()
        if not 0 < kl_weight < math.inf:
            raise ValueError(f"loss.kl_weight={kl_weight}: a controller begins at a number above 0")
        if not 0 <= low <= 1 <= high < math.inf:
            raise ValueError(f"kl_schedule.low={low}, high={high}: expected multiples, 0 <= low <= 1 <= high")
        self.low, self.high = low * kl_weight, high * kl_weight
        self.register_buffer("weight", torch.tensor(float(kl_weight)))

    @property
    def kl_weight(self) -> Tensor:
        return self.weight

    def at(self, step: int) -> Tensor:
        """The weight in force: 0-dim, whatever the step."""
        return self.weight

    def update(self, terms: Mapping[str, Tensor]) -> None:
        self.steer(terms["recon"].detach().mean(), terms["kl"].detach().mean())

    def steer(self, recon: Tensor, kl: Tensor) -> None:
        """Move `weight`, in place. recon, kl: means over the batch of the plain terms of a step, 0-dim."""
        raise NotImplementedError


class Geco(Controller):
    """The weight at which the reconstruction term is at its goal. Rezende & Viola 2018, algorithm 1.

    error <- running mean of recon / goal - 1;  weight <- clip(weight * exp(-eta * error)).

    goal: in the unit of the reconstruction term (for `sse`: squared error summed over pixels), above 0. It
    can be infeasible: below what the network can do the weight falls to `low`, above the error of the mean
    image it rises to `high`. Dividing by the goal makes eta the same at every resolution; with memory 0.99
    and a recon that goes like the square root of the weight, eta = 0.01 is damped (ratio 0.7).
    """

    traits = SCHEDULES["vae_sweep.schedules.controllers.Geco"]
    recon_sum: Tensor
    recon_weight: Tensor

    def __init__(
        self,
        total_steps: int,
        goal: float,
        kl_weight: float = 1.0,
        eta: float = 0.01,
        memory: float = 0.99,
        low: float = 1e-10,
        high: float = 1e10,
    ) -> None:
        super().__init__(kl_weight, low, high)
        if not 0 < goal < math.inf:
            raise ValueError(f"kl_schedule.goal={goal}: expected a reconstruction term above 0")
        if not 0 < eta < math.inf:
            raise ValueError(f"kl_schedule.eta={eta}: expected a number above 0")
        if not 0 <= memory < 1:
            raise ValueError(f"kl_schedule.memory={memory}: expected 0 <= memory < 1")
        self.goal, self.eta, self.memory = goal, eta, memory
        self.register_buffer("recon_sum", torch.zeros(()))
        self.register_buffer("recon_weight", torch.zeros(()))  # so that the running mean starts without bias

    @torch.no_grad()
    def steer(self, recon: Tensor, kl: Tensor) -> None:
        self.recon_sum.mul_(self.memory).add_((1 - self.memory) * recon)
        self.recon_weight.mul_(self.memory).add_(1 - self.memory)
        error = self.recon_sum / self.recon_weight / self.goal - 1
        self.weight.mul_(torch.exp(-self.eta * error)).clamp_(self.low, self.high)


class ControlVAE(Controller):
    """Holds the KL at a target with a nonlinear PI controller. Shao et al. 2020, algorithm 1.

    e = target - KL;  P = kp / (1 + exp(e));  I <- I - ki e;  weight = kl_weight * clip(P + I, low, high).

    target: nats. kp and ki as published (their K_i is our -ki), I beginning at 1. The weight takes about
    weight / (ki * active units) steps to settle, and oscillates if the network needs longer than that to follow:
    1e-4 suits a hundred units near a weight of 1, few units want a larger ki. Anti-windup: the integral stands
    still while the weight is at a bound and the error pushes it further out.
    """

    traits = SCHEDULES["vae_sweep.schedules.controllers.ControlVAE"]
    integral: Tensor

    def __init__(
        self,
        total_steps: int,
        target: float,
        kl_weight: float = 1.0,
        kp: float = 0.01,
        ki: float = 1e-4,
        low: float = 1e-3,
        high: float = 1e3,
    ) -> None:
        super().__init__(kl_weight, low, high)
        if not 0 < target < math.inf:
            raise ValueError(f"kl_schedule.target={target}: expected nats, above 0")
        if not (0 <= kp < math.inf and 0 < ki < math.inf):
            raise ValueError(f"kl_schedule.kp={kp}, ki={ki}: expected kp >= 0 and ki > 0")
        self.target_kl = target
        self.kp, self.ki = kp * kl_weight, ki * kl_weight
        self.register_buffer("integral", torch.tensor(float(kl_weight)))

    @torch.no_grad()
    def steer(self, recon: Tensor, kl: Tensor) -> None:
        error = self.target_kl - kl
        proportional = self.kp * torch.sigmoid(-error)
        step = -self.ki * error
        wanted = proportional + self.integral + step
        outwards = ((wanted > self.high) & (step > 0)) | ((wanted < self.low) & (step < 0))
        self.integral.add_(torch.where(outwards, torch.zeros_like(step), step))
        self.weight.copy_((proportional + self.integral).clamp(self.low, self.high))
