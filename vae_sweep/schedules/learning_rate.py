"""Learning rates over time, as functions of the step and the run's length; and what of them hangs on that length.

    multiplier("wsd", step, total_steps)      of optimizer.lr, in [0, 1]

    constant   1
    cosine     falls to zero along half a cosine
    plateau    rises over the first 4 % of the steps, at most 100; level until the half; then half a cosine to zero
    wsd        rises over 50 steps; level; falls to zero in the last fifth: warm-up, stable, decay

While a rate is level, a run cannot know how long it will be. So a longer run has the same numbers up to there, and a
run that has ended can go on from there (`same_until`). The fall of `wsd` is 1 - sqrt, as in Haegele et al. 2024.
"""

import math

WSD_RISE = 50  # [steps] fixed, so that it does not hang on the run's length
_LEVEL = {"constant": 1.0, "cosine": 0.0, "plateau": 0.5, "wsd": 0.8}  # share of the run before the rate falls
NAMES = tuple(_LEVEL)


def multiplier(name: str, step: int, total_steps: int) -> float:
    """Of the step after `step` others. Raises KeyError for an unknown name."""
    level = _LEVEL[name]
    if name == "constant":
        return 1.0
    done = step / total_steps
    if step < (rising := _rise(name, total_steps)) and done <= level:
        return (step + 1) / rising
    falling = max(0.0, (done - level) / (1 - level))
    if name == "wsd":
        return 1 - math.sqrt(min(1.0, falling))
    return 0.5 * (1 + math.cos(math.pi * falling))


def level_steps(name: str, total_steps: int) -> int:
    """How many steps are made before the rate begins to fall."""
    return int(_LEVEL[name] * total_steps)


def length_at_rest(name: str, step: int) -> int:
    """The total of a run whose rate begins to fall after `step`."""
    return math.ceil(step / _LEVEL[name])


def same_until(name: str, one: int, other: int) -> int:
    """The first so many steps have the same rate in runs of both lengths."""
    if one == other or name == "constant":
        return max(one, other)
    if _rise(name, one) != _rise(name, other):
        return 0
    return level_steps(name, min(one, other))


def _rise(name: str, total_steps: int) -> int:
    return {"plateau": min(100, math.ceil(0.04 * total_steps)), "wsd": WSD_RISE}.get(name, 0)
