"""A schedule as a picture, before anything is trained: as text for the terminal, as SVG for the eye. Stdlib only."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from vae_sweep import schedules
from vae_sweep.traits import SCHEDULES as SCHEDULE_TRAITS

_SCHEDULES, _CONTROLLERS = "vae_sweep.schedules.", "vae_sweep.schedules.controllers."
SCHEDULES: dict[str, Callable[..., Any]] = {
    traits.name: getattr(schedules, traits.name)
    for target, traits in SCHEDULE_TRAITS.items()
    if target == _SCHEDULES + traits.name
}
CONTROLLERS = {
    traits.name: target.removeprefix(_CONTROLLERS)
    for target, traits in SCHEDULE_TRAITS.items()
    if target.startswith(_CONTROLLERS)
}
POINTS = 512  # of a curve
REQUIRED = inspect.Parameter.empty  # in the place of a default

# What a controller steers here: the optimum of a linear VAE with eigenvalues 20 / j, approached with a lag.
EIGENVALUES = [20 / j for j in range(1, 65)]
LAG = 50  # steps


class Curve(NamedTuple):
    """What is drawn: `values` in `unit` over `steps`."""

    title: str
    unit: str
    steps: Sequence[float]
    values: Sequence[float]


def curve(name: str, total_steps: int, kl_weight: float = 1.0, **arguments: Any) -> Curve:
    """The KL weight over a run (for capacity: C in nats). Raises ValueError for what the schedule refuses."""
    if name not in {**SCHEDULES, **CONTROLLERS}:
        raise ValueError(f"kl_schedule={name}: expected one of {', '.join({**SCHEDULES, **CONTROLLERS})}")
    make = SCHEDULES[name] if name in SCHEDULES else _controller(name)
    accepted = parameters(make)
    if unknown := set(arguments) - set(accepted):
        raise ValueError(f"kl_schedule.{min(unknown)}: {name} takes {', '.join(accepted) or 'no settings'}")
    if missing := [key for key in accepted if accepted[key] is REQUIRED and key not in arguments]:
        raise ValueError(f"kl_schedule.{missing[0]}: {name} needs a value for it")
    title = " ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
    steps = sorted({round(total_steps * point / POINTS) for point in range(POINTS + 1)})
    if name in CONTROLLERS:
        weights = list(_steered(make(total_steps, kl_weight=kl_weight, **arguments), total_steps))
        return Curve(f"{title}, on a linear model", "KL weight", steps, [weights[step] for step in steps])
    schedule = make(total_steps, **arguments)
    if SCHEDULE_TRAITS[_SCHEDULES + name].capacity:
        return Curve(title, "capacity C (nats)", steps, [schedule(step) for step in steps])
    return Curve(title, "KL weight", steps, [kl_weight * schedule(step) for step in steps])


def parameters(make: Callable[..., Any]) -> dict[str, Any]:
    """Settings of a schedule and their defaults (REQUIRED where there is none)."""
    of_run = ("total_steps", "kl_weight")
    signature = inspect.signature(make).parameters
    return {name: entry.default for name, entry in signature.items() if name not in of_run}


def _controller(name: str) -> Callable[..., Any]:
    from vae_sweep.schedules import controllers  # torch, which the others do without

    return getattr(controllers, CONTROLLERS[name])


def _steered(controller: Any, total_steps: int) -> Iterator[float]:
    """The weights of a controller at steps 0 to T."""
    import torch

    recon, kl = sum(EIGENVALUES), 0.0
    for _ in range(total_steps + 1):
        weight = float(controller.kl_weight)
        yield weight
        recon += (sum(min(weight / 2, value) for value in EIGENVALUES) - recon) / LAG
        kl += (sum(max(0.0, 0.5 * math.log(2 * value / weight)) for value in EIGENVALUES) - kl) / LAG
        controller.steer(torch.tensor(recon), torch.tensor(kl))


def text(drawn: Curve, width: int = 64, height: int = 12) -> str:
    """The curve in block characters, `width` by `height` of them."""
    top = _top(drawn)
    columns = [_at(drawn, (column + 0.5) / width) / top * height * 8 for column in range(width)]
    rows = []
    for row in reversed(range(height)):
        cells = "".join(" ▁▂▃▄▅▆▇█"[round(min(8, max(0, column - 8 * row)))] for column in columns)
        label = f"{top:.4g}" if row == height - 1 else "0" if row == 0 else ""
        rows.append(f"{label:>9} │{cells}")
    end = f"{drawn.steps[-1]:g} steps"
    axis = [f"{'':9} └{'─' * width}", f"{'':10} 0{end:>{width - 1}}"]
    last = f"{drawn.unit}: {drawn.values[0]:.4g} at first, {drawn.values[-1]:.4g} at last"
    return "\n".join([drawn.title, *rows, *axis, last])


def svg(drawn: Curve, width: int = 640, height: int = 320) -> str:
    """The curve as a stand-alone SVG file."""
    left, right, above, below = 64, 28, 36, 44
    top, end = _top(drawn), drawn.steps[-1]

    def x(step: float) -> float:
        return left + (width - left - right) * step / end

    def y(value: float) -> float:
        return height - below - (height - above - below) * value / top

    line = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(drawn.steps, drawn.values, strict=True))
    grid = [
        f'<line x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>' for value in _quarters(top)
    ]
    labels = [
        f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>' for value in _quarters(top)
    ] + [
        f'<text x="{x(step):.1f}" y="{height - below + 18}" text-anchor="middle">{step:.6g}</text>'
        for step in _quarters(end)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' font-family="sans-serif" font-size="12">',
            f"<title>{escape(drawn.title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<g stroke="#ddd">{"".join(grid)}</g>',
            f'<polyline points="{line}" fill="none" stroke="#2b5fad" stroke-width="2"/>',
            f'<g fill="#333">{"".join(labels)}',
            f'<text x="{left}" y="20" font-size="14">{escape(drawn.title)}: {escape(drawn.unit)}</text>',
            f'<text x="{width - right}" y="{height - 8}" text-anchor="end">optimiser steps</text></g>',
            "</svg>\n",
        ]
    )


def _top(drawn: Curve) -> float:
    return max(*drawn.values, 0.0) or 1.0


def _at(drawn: Curve, fraction: float) -> float:
    return drawn.values[round(fraction * (len(drawn.values) - 1))]


def _quarters(top: float) -> list[float]:
    return [top * quarter / 4 for quarter in range(5)]
