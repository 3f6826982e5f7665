"""Reconstructions while training: a few small pictures at a few steps, for the report of a sweep that still runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn import functional as F

from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.evaluation import showing
from vae_sweep.evaluation.codes import Split
from vae_sweep.runs.files import RecordError, write_arrays
from vae_sweep.runs.records import read_arrays
from vae_sweep.training.lit_vae import LitVAE

FILE = "progress.npz"
SNAPSHOTS = 12  # of a whole training
LARGEST_SIDE = 64


def snapshot_steps(validation_steps: Sequence[int]) -> frozenset[int]:
    """At most SNAPSHOTS of a training's validation steps, evenly, the first and the last among them."""
    places = np.linspace(0, len(validation_steps) - 1, min(SNAPSHOTS, len(validation_steps))).round().astype(int)
    return frozenset(validation_steps[place] for place in places)


class Snapshots(pl.Callback):
    """Adds to progress.npz of each member, after the validations at `steps`, what it makes of held-out images.

    progress.npz: steps (T,), originals (M, h, w, C) and recon_mean (T, M, h, w, C) uint8, from the mean of the code.
    The images are the first of evaluation.npz, averaged down by a whole factor until no side exceeds LARGEST_SIDE.
    A continued run drops what it will write again.
    """

    def __init__(
        self,
        members: Sequence[LitVAE],
        folders: Sequence[Path],
        data: ImageData,
        steps: frozenset[int],
        diverged: Callable[[int], bool],
    ):
        self.members, self.folders, self.data, self.steps, self.diverged = members, folders, data, steps, diverged

    def on_validation_end(self, *_: Any) -> None:
        for index, (member, folder) in enumerate(zip(self.members, self.folders, strict=True)):
            if member.step in self.steps and not self.diverged(index):
                self._add(member, folder)

    @torch.no_grad()
    def _add(self, member: LitVAE, folder: Path) -> None:
        device = next(member.parameters()).device
        x = Split(self.data, chosen(self.data.val, showing.PICTURES), device)[:].to(next(member.parameters()).dtype)
        was_training = member.training
        member.eval()
        try:
            objective = member.objective
            with member.as_judged():
                made = objective.likelihood.image(objective.vae.decode(objective.vae.encode(x).mean))
        finally:
            member.train(was_training)
        found = {"steps": np.array([member.step]), "originals": _small(x), "recon_mean": _small(made)[None]}
        before = _before(folder / FILE, member.step)
        for name in ("steps", "recon_mean") if before else ():
            found[name] = np.concatenate([before[name], found[name]])
        write_arrays(folder / FILE, found)


def _small(images: torch.Tensor) -> np.ndarray:
    """(M, C, H, W) -> (M, h, w, C) uint8."""
    factor = -(-max(images.shape[2:]) // LARGEST_SIDE)
    return showing.as_bytes(F.avg_pool2d(images.float().clamp(0, 1), factor) if factor > 1 else images.float())


def _before(path: Path, step: int) -> dict[str, np.ndarray]:
    """What was written of earlier steps; {} if there is nothing, or nothing that can be read."""
    try:
        arrays = read_arrays(path)
        kept = arrays["steps"] < step
        return {name: arrays[name][kept] for name in ("steps", "recon_mean")}
    except (RecordError, KeyError, IndexError):
        return {}
