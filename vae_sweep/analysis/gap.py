"""The reconstruction error of a run, split into who is to blame. The four parts add up to the validation error exactly.

    capacity         D_train(autoencoder)                        what this network and latent size cannot code
    KL pressure      D_train(mean z) - D_train(autoencoder)      what the KL takes away: beta against beta -> 0
    sampling noise   D_train(sampled z) - D_train(mean z)        what the noise of the posterior adds
    generalisation   D_val(sampled z) - D_train(sampled z)       what held-out images cost more

All in summed squared error per image. A part can be negative, e.g. where the autoencoder was trained too briefly.
"""

from dataclasses import dataclass

import numpy as np

from vae_sweep.analysis.point import Point, Setting
from vae_sweep.analysis.study import Study

PARTS = ("capacity", "pressure", "sampling", "generalisation")


@dataclass(frozen=True)
class Gap:
    """`reference`: what stands for beta -> 0, "autoencoder" or, without one, the smallest weight's run."""

    capacity: float
    pressure: float
    sampling: float
    generalisation: float
    reference: str

    @property
    def total(self) -> float:
        return self.capacity + self.pressure + self.sampling + self.generalisation


def split_gap(study: Study, point: Point) -> Gap | None:
    """None if the run has no evaluation of both splits and both kinds of z."""
    if point.multi_rate:  # its own losses are of another kind: those of sharing one model
        return None
    mean, sampled, held_out = point.get("train", "sse_mean"), point.get("train", "sse"), point.get("val", "sse")
    key = ("capacity", point.family)  # the same for all runs of a family
    if key not in study.memory:
        study.memory[key] = _capacity(study, point.family)
    capacity, reference = study.memory[key]
    if mean is None or sampled is None or held_out is None or capacity is None:
        return None
    if point.autoencoder:  # deterministic: its own error is the capacity's, by definition
        return Gap(sampled, 0.0, 0.0, held_out - sampled, "autoencoder")
    return Gap(capacity, mean - capacity, sampled - mean, held_out - sampled, reference)


def _capacity(study: Study, family: tuple[Setting, ...]) -> tuple[float | None, str]:
    autoencoders = [v for p in study.autoencoders(family) if (v := p.get("train", "sse")) is not None]
    if autoencoders:
        return float(np.mean(autoencoders)), "autoencoder"
    measured = [p for p in study.families.get(family, []) if p.get("train", "sse_mean") is not None]
    if not measured:
        return None, ""
    smallest = min(measured, key=lambda p: p.weight or 0.0)
    return smallest.get("train", "sse_mean"), f"KL weight {smallest.weight:g}, the smallest tried"
