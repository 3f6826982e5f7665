"""Averaged weights (trainer.ema): what is validated, kept, shown and loaded in the place of those that are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase as Normalisation
from torch.optim.swa_utils import get_ema_multi_avg_fn


def decay_at(step: int, decay: float) -> float:
    """Of the update that follows `step` earlier ones: 0, then min(decay, (1 + step) / (10 + step)).

    The first update copies, so that the weights that training begins with are no part of the average. The ramp, which
    is that of TensorFlow's `ExponentialMovingAverage(num_updates)`, lets the average span the last ninth or so of what
    has been trained until 1 / (1 - decay) steps are less. It knows no length, so longer runs go through it alike.
    """
    return min(decay, (1 + step) / (10 + step)) if step else 0.0


class Average(nn.Module):
    """The exponential moving average of an objective's weights over its steps (Polyak & Juditsky 1992).

    Of all parameters that are trained, and of the running statistics of normalisation layers, which belong to the
    weights that they were measured under. Other buffers stay those of training. The averages are buffers here, under
    the names of the weights with / for the dots, and so lie in checkpoints and move with the module.
    """

    def __init__(self, objective: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        for name, weight in averaged(objective).items():
            self.register_buffer(name.replace(".", "/"), weight.detach().clone())
        self._pairs: tuple[list[Tensor], list[Tensor]] = ([], [])

    def follow(self, objective: nn.Module) -> None:
        """Average these tensors from here on: once they lie on their device, and where they will stay."""
        weights = averaged(objective)
        self._pairs = [self.get_buffer(name.replace(".", "/")) for name in weights], list(weights.values())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After a step of the optimiser that `step` others came before."""
        averages, weights = self._pairs
        get_ema_multi_avg_fn(decay_at(step, self.decay))(averages, weights, step)

    def tensors(self) -> dict[str, Tensor]:
        """By the names that the weights have in the objective."""
        return {name.replace("/", "."): average for name, average in self.named_buffers()}

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The averages in the weights' own place while the block runs."""
        self._change_places()
        try:
            yield
        finally:
            self._change_places()

    def _change_places(self) -> None:
        for average, weight in zip(*self._pairs, strict=True):
            average.data, weight.data = weight.data, average.data

    @torch.no_grad()
    def take_over(self, objective: nn.Module) -> None:
        """Give an objective whose training is over the averages for good."""
        weights, averages = averaged(objective), self.tensors()
        for name, weight in weights.items():
            weight.copy_(averages[name])


def averaged(objective: nn.Module) -> dict[str, Tensor]:
    """What is averaged of an objective, by name."""
    trained = {name: weight for name, weight in objective.named_parameters() if weight.requires_grad}
    layers = ((name, part) for name, part in objective.named_modules() if isinstance(part, Normalisation))
    statistics = chain.from_iterable(part.named_buffers(name, recurse=False) for name, part in layers)
    return trained | {name: buffer for name, buffer in statistics if buffer.is_floating_point()}
