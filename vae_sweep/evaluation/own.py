"""Metrics of other packages, which trainer.metrics names by their dotted paths."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from vae_sweep.checks import SettingsError
from vae_sweep.evaluation.codes import Codes, Split
from vae_sweep.models.objective import Objective

# (objective in evaluation mode, images of a split, what the network made of them) -> name -> number
Metric = Callable[[Objective, Split, Codes], Mapping[str, Any]]


@torch.no_grad()
def measured(
    metrics: Sequence[Metric], objective: Objective, split: Split, codes: Codes, taken: Collection[str]
) -> dict[str, float]:
    """What `metrics` find. Raises SettingsError, naming the metric, for no number, and for a name that is taken."""
    found: dict[str, float] = {}
    for metric in metrics:
        for name, value in metric(objective, split, codes).items():
            where = f"trainer.metrics={metric.__module__}.{metric.__qualname__}: {name}"
            if name in found or name in taken:
                raise SettingsError(f"{where} is measured already, under this name")
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise SettingsError(f"{where} is {value!r}, expected a number") from None
    return found
