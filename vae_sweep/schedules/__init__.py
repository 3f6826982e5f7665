"""KL weights over time: functions of the optimiser step, with values in [0, 1] that multiply
`loss.kl_weight`.

Each is made for a run of `total_steps` and takes t, the number of steps done (0 at the first). Lengths are
fractions of the run; their `_steps` twins count steps instead. Nothing here has state, so a resumed run
repeats its weights and validation cannot advance them. What must have state is in controllers.py.

A schedule that would not reach its target weight within the run is refused with a ValueError: the run would
silently train another weight than the one it is named after.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Schedule = Callable[[int], float]


def constant(total_steps: int) -> Schedule:
    """The target weight from the first step on."""
    _positive("total_steps", total_steps)
    return lambda step: 1.0


def linear(total_steps: int, warmup: float = 0.25, warmup_steps: int | None = None) -> Schedule:
    """min(1, t / T_w). Sonderby et al. 2016."""
    length = _length("warmup", total_steps, warmup, warmup_steps)
    return lambda step: _linear(step / length) if length else 1.0


def cosine(total_steps: int, warmup: float = 0.25, warmup_steps: int | None = None) -> Schedule:
    """(1 - cos(pi min(1, t / T_w))) / 2: linear's ends without its corners."""
    length = _length("warmup", total_steps, warmup, warmup_steps)
    return lambda step: _cosine(step / length) if length else 1.0


def logistic(
    total_steps: int,
    centre: float = 0.25,
    width: float = 0.04,
    centre_steps: int | None = None,
    width_steps: float | None = None,
) -> Schedule:
    """1 / (1 + exp(-(t - t_0) / width)). Bowman et al. 2016.

    The k = 0.0025 and t_0 = 2500 that many codes run it with are centre_steps=2500, width_steps=400. The defaults keep
    their t_0 / width = 6.25 at a quarter of any run. Raises ValueError if the weight is below 99 % of its target at the
    end of the run.
    """
    middle = _length("centre", total_steps, centre, centre_steps)
    scale = width * total_steps if width_steps is None else width_steps
    _positive("width" if width_steps is None else "width_steps", scale)

    def schedule(step: int) -> float:
        return _sigmoid((step - middle) / scale)

    if schedule(total_steps) < 0.99:
        raise ValueError(
            f"kl_schedule: logistic reaches {schedule(total_steps):.2f} of its weight in {total_steps} steps"
            f" (centre {middle:g}, width {scale:g}): expected 0.99 or more"
        )
    return schedule


def cyclical(total_steps: int, cycles: int = 4, ramp: float = 0.5, shape: str = "linear") -> Schedule:
    """`cycles` times from 0 to 1 in the first `ramp` of a cycle, then 1 to its end. Fu et al. 2019.

    tau = mod(t, T/M) / (T/M), shape(min(1, tau / R)) with shape linear, cosine or logistic. The run ends at
    1.
    """
    _positive("total_steps", total_steps)
    if not (isinstance(cycles, int) and 1 <= cycles <= total_steps):
        raise ValueError(f"kl_schedule.cycles={cycles}: expected a whole number from 1 to the {total_steps} steps")
    if not 0 < ramp <= 1:
        raise ValueError(f"kl_schedule.ramp={ramp}: expected a fraction of a cycle, above 0 and at most 1")
    if shape not in SHAPES:
        raise ValueError(f"kl_schedule.shape={shape}: expected one of {', '.join(SHAPES)}")
    rise = SHAPES[shape]

    def schedule(step: int) -> float:
        if step >= total_steps:
            return 1.0
        tau = step * cycles % total_steps / total_steps  # whole numbers until the division: no drift over cycles
        return rise(tau / ramp)

    return schedule


def capacity(
    total_steps: int, maximum: float = 25.0, warmup: float = 0.75, warmup_steps: int | None = None
) -> Schedule:
    """Not a multiplier but a capacity in nats, C = min(C_max, C_max t / T_C). Burgess et al. 2018.

    The weight stands still, and the penalty is kl_weight * |KL - C| (models/divergences.py: Capacity). Their weight of
    1000 and C_max = 25 go with a summed Bernoulli cross-entropy on 64x64 images; beside SSE / 2 or SSE a weight means
    what SSE it may trade for a nat.
    """
    if not 0 <= maximum < math.inf:
        raise ValueError(f"kl_schedule.maximum={maximum}: expected nats, 0 or more")
    ramp = linear(total_steps, warmup, warmup_steps)
    return lambda step: maximum * ramp(step)


def same_multiplier(one: Schedule, other: Schedule, steps: int) -> bool:
    """Whether two schedules have the same values in the first so many steps."""
    return all(one(step) == other(step) for step in range(steps))


def same_weight(named: Mapping[str, Any], one: int, other: int, steps: int) -> bool:
    """Whether runs of two lengths have the same weight in the first so many steps. named: a config's kl_schedule.

    Controllers heed no length. Of schedules of other packages nothing is known here: their process compares them.
    """
    module, _, name = str(named["_target_"]).rpartition(".")
    if module != __name__:
        return True
    settings = {key: value for key, value in named.items() if key != "_target_"}
    make = globals()[name]
    return same_multiplier(make(total_steps=one, **settings), make(total_steps=other, **settings), steps)


def _linear(progress: float) -> float:
    return min(1.0, progress)


def _cosine(progress: float) -> float:
    return 0.5 * (1 - math.cos(math.pi * min(1.0, progress)))


def _logistic(progress: float) -> float:
    """Bowman's curve, 6.25 widths to both sides of its centre, and 1 from the end of the ramp on."""
    return _sigmoid(6.25 * (2 * progress - 1)) if progress < 1 else 1.0


SHAPES: dict[str, Callable[[float], float]] = {"linear": _linear, "cosine": _cosine, "logistic": _logistic}


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0  # exp overflows beyond


def _positive(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"kl_schedule.{key}={value}: expected a number above 0")


def _length(key: str, total_steps: int, fraction: float, steps: int | None) -> float:
    """A length in steps, given as a fraction of the run or in steps. ValueError if it does not fit."""
    _positive("total_steps", total_steps)
    given = f"kl_schedule.{key}={fraction}" if steps is None else f"kl_schedule.{key}_steps={steps}"
    length = fraction * total_steps if steps is None else steps
    if not 0 <= length < math.inf:
        raise ValueError(f"{given}: expected a length, 0 or more")
    if length > total_steps:
        raise ValueError(f"{given}: longer than the run of {total_steps} steps, which would end at a smaller weight")
    return length
