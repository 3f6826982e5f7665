"""The KL weight in force: what training asks at every step, whoever decides it. Stdlib only."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

NEAR = 0.01  # of its target: a schedule may end so far from it


class WeightInForce(Protocol):
    """A KL weight over time. A controller (controllers.py) is one; `Scheduled` makes one of a schedule.

    target: the weight that training heads for, at which validation is judged; None where there is none.
    """

    target: float | None

    def at(self, step: int) -> Any:
        """The weight of the step after `step` others: a float, or a 0-dim tensor that nobody waits for."""

    def update(self, terms: Mapping[str, Any]) -> None:
        """After every training step, never in validation: its plain terms `recon` and `kl`, (B,) each."""


class Scheduled:
    """`target` times a multiplier that is a function of the step. It has no state.

    Raises ValueError for a schedule that is not at its target at the end of the run: it would silently train another
    weight than the one that the run is named after.
    """

    def __init__(self, target: float, schedule: Callable[[int], float], total_steps: int) -> None:
        end = schedule(total_steps)
        if not (isinstance(end, (int, float)) and math.isclose(end, 1, abs_tol=NEAR)):
            raise ValueError(f"kl_schedule: ends at {end} times loss.kl_weight, expected 1 within a hundredth")
        self.target: float | None = target
        self.kl_weight = target
        self.schedule = schedule

    def at(self, step: int) -> float:
        return self.kl_weight * self.schedule(step)

    def update(self, terms: Mapping[str, Any]) -> None:
        """A schedule does not listen."""


def is_at_target(weight: WeightInForce, step: int) -> bool:
    """Whether the weight after so many steps is the one that training heads for; that of a controller never is."""
    return weight.target is not None and math.isclose(weight.at(step), weight.target, rel_tol=NEAR * (1 + 1e-6))


def in_force(kl_weight: float, schedule: Any, total_steps: int) -> WeightInForce:
    """schedule: a function step -> multiplier of kl_weight; or a weight in force already, which is returned."""
    return schedule if hasattr(schedule, "at") else Scheduled(kl_weight, schedule, total_steps)
