"""Where a training curve is heading: what a run of twice the length would gain, from its rows.

Only rows at the full learning rate tell. A falling rate quiets the noise of the gradients, and the objective with it,
whether the run has arrived or not. So the rows of the level stage are fitted by a + b t^-p or a + b exp(-k t),
whichever lies closer, and the fit is asked for the objective at the end of this run and of one twice as long, in units
of learning rate times steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vae_sweep.analysis.curves import Rows, series
from vae_sweep.schedules.learning_rate import level_steps, multiplier

FEWEST_ROWS = 6  # of a fit with three numbers
_SIGMAS = 3.0  # of a fall, or a rise, before it counts
_UNSURE = 0.05  # of the objective, by twice the length: a fall that cannot be ruled out
_POWERS = 0.05 * 1.2 ** np.arange(24)[:, None]  # up to 3.3
_RATES = 0.1 * 1.2 ** np.arange(34)[:, None]  # up to 41, in the time of the rows: from a line to a step


@dataclass(frozen=True)
class Trend:
    """Of the objective at the target weight. Shares of it:

    gain: what twice the length would take off it, 0 at rest. left: what any length would. fell: what the last doubling
    took off, between the last quarters of both halves. rise: by how much it is higher in the second half of the rows, 0
    if it is not. split: whose rows were judged, "val" where there are enough.
    """

    gain: float
    left: float
    fell: float
    rise: float
    split: str


def trend(
    rows: Rows,
    distortion: str,
    beta: float | None,
    lr_schedule: str = "constant",
    total_steps: int | None = None,
    arbitrary_zero: bool = False,
) -> Trend | None:
    """None with too few rows at the full learning rate and the final KL weight.

    distortion (a key of the rows without its split) + beta * kl, so that a schedule's moving weight does not pretend
    progress; beta None: the distortion alone. total_steps: of the run (None: it stands at its last row, at a level
    rate). arbitrary_zero: of a density in nats; shares are then of the fall since the first row.
    """
    for split in ("val", "train"):
        steps, values = objective(rows, split, distortion, beta)
        if not len(steps):
            continue
        total = int(total_steps or steps[-1])
        level = level_steps(lr_schedule, total) if total_steps else total
        level = level or total // 2  # of a cosine: its rate is over half there
        kept = (steps > level / 8) & (steps <= level)
        if kept.sum() >= FEWEST_ROWS:
            time = _lr_time(lr_schedule if total_steps else "constant", total)
            scale = values[0] - values[-1] if arbitrary_zero else abs(values[kept][-1])
            return _fitted(time(steps[kept]), values[kept], float(time(np.array(float(total)))), scale, split)
    return None


def objective(rows: Rows, split: str, distortion: str, beta: float | None) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of distortion + beta * kl (no beta: no kl), of the rows whose KL weight is the final one."""
    weights = [row["kl_weight"] for row in rows if row.get("kl_weight") is not None]
    last = weights[-1] if weights else None
    settled = [row for row in rows if last is None or abs(row.get("kl_weight", last) - last) <= 0.01 * abs(last)]
    steps, values = series(settled, f"{split}/{distortion}")
    if beta is None:
        return steps, values
    kl_steps, kl = series(settled, f"{split}/kl")
    common, here, there = np.intersect1d(steps, kl_steps, return_indices=True)
    return common, values[here] + beta * kl[there]


@lru_cache(maxsize=64)  # the runs of a sweep have mostly one length
def _lr_time(lr_schedule: str, total: int) -> Callable[[np.ndarray], np.ndarray]:
    """Steps -> learning rate times steps, in steps at the full rate."""
    grid = np.linspace(0, total, 1001)
    rates = [multiplier(lr_schedule, int(step), total) for step in grid[:-1]]
    passed = np.concatenate([[0.0], np.cumsum(rates) * total / 1000])
    return lambda steps: np.interp(steps, grid, passed)


def _fitted(time: np.ndarray, values: np.ndarray, end: float, scale: float, split: str) -> Trend | None:
    """None where the rows are too few and too noisy to rule out that much may be gained yet."""
    unit = time[-1]
    at, end = time / unit, end / unit
    slopes, errors, residuals = _lines(_shapes(at), values)
    best = int(np.argmin(residuals))
    b, of_b = float(slopes[best]), float(errors[best])
    half = values[len(values) // 2 :], values[: len(values) // 2]
    rise = float(half[0].mean() - half[1].mean())
    chance = math.sqrt(sum(float(part.var(ddof=1)) / len(part) for part in half))
    if scale <= 0:
        return Trend(0.0, 0.0, 0.0, 0.0, split)
    falls = b > _SIGMAS * of_b
    here, there = _shapes(np.array([end, 2 * end]))[best]
    if not falls and (b + _SIGMAS * of_b) * float(here - there) > _UNSURE * scale:
        return None
    gain, left = (b * float(here - there) / scale, b * float(here) / scale) if falls else (0.0, 0.0)
    risen = rise / scale if not falls and rise > _SIGMAS * chance else 0.0
    before, last = values[(at > 0.375) & (at <= 0.5)], values[at > 0.75]
    fell = float(before.mean() - last.mean()) / scale if len(before) else math.inf
    return Trend(float(gain), float(left), fell, float(risen), split)


def _shapes(t: np.ndarray) -> np.ndarray:
    """(S, T): what may be falling, a shape per row."""
    return np.concatenate([t**-_POWERS, np.exp(-_RATES * t)])


def _lines(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(b, its standard error, sum of squared residuals) of a + b x for each row of x (S, T), values (T,).

    Another number has chosen the row: three are fitted.
    """
    centred, spread = x - x.mean(1, keepdims=True), values - values.mean()
    squares = (centred**2).sum(1)
    flat = squares <= 0
    b = np.where(flat, 0.0, centred @ spread / np.where(flat, 1.0, squares))
    residuals = ((spread - b[:, None] * centred) ** 2).sum(1)
    freedom = max(1, len(values) - 3)
    return b, np.sqrt(np.where(flat, math.inf, residuals / freedom / np.where(flat, 1.0, squares))), residuals
