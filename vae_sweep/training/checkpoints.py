"""A member's checkpoint: weights, optimiser, progress and config, in plain containers. Opened without executing code.

A pack writes one for each member. A kill may fall between two of them, so every run keeps the one before as well, and
`common_checkpoints` finds the step that all members have.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vae_sweep.runs.files import RecordError, atomic_file
from vae_sweep.runs.schema import SCHEMA
from vae_sweep.training.lit_vae import LitVAE

LAST = Path("checkpoints/last.ckpt")
PREVIOUS = Path("checkpoints/previous.ckpt")
LEVEL = Path("checkpoints/level.ckpt")  # of the last step whose numbers do not hang on the run's length


def checkpoint_of(
    member: LitVAE, step: int, failed: str | None, hyper_parameters: dict[str, Any], wall_s: float
) -> dict[str, Any]:
    """step: of the pack; a member that diverged (`failed`: how) stands still at an earlier one.

    hyper_parameters: what `train.build` needs to make the module again.
    """
    return {
        "schema": SCHEMA,
        "pytorch-lightning_version": pl.__version__,
        **member.state(),
        "step": step,
        "failed": failed,
        "wall_s": wall_s,
        "hyper_parameters": hyper_parameters,
    }


def save_level(runs: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Write level.ckpt of every (run folder, checkpoint): what a longer run goes on from."""
    for folder, checkpoint in runs:
        with atomic_file(folder / LEVEL) as file:
            torch.save(checkpoint, file)


def save_checkpoints(runs: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Write last.ckpt of every (run folder, checkpoint), keeping the one before as previous.ckpt."""
    for folder, checkpoint in runs:
        last, previous = folder / LAST, folder / PREVIOUS
        incoming = last.with_suffix(".incoming")
        with atomic_file(incoming) as file:
            torch.save(checkpoint, file)
        if last.exists():
            os.replace(last, previous)
        os.replace(incoming, last)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises RecordError for a file that is missing or no checkpoint of ours."""
    if not path.exists():
        raise RecordError(f"no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RecordError(f"{path} cannot be read as a checkpoint: {error}") from None
    if checkpoint.get("schema") != SCHEMA:
        raise RecordError(f"{path} has schema {checkpoint.get('schema')}, expected {SCHEMA}")
    return checkpoint


def common_checkpoints(
    folders: Sequence[Path], fits: Callable[[int, Mapping[str, Any]], int] = lambda index, checkpoint: 2
) -> list[dict[str, Any]] | None:
    """The checkpoints of the latest step that all runs have; None if there is no such step.

    fits: how well the checkpoint of a run, by its index, suits the way that it is to go; 0: not at all. Those that suit
    best come before those that are latest.
    """
    by_step = []
    suits: dict[int, int] = {}
    for index, folder in enumerate(folders):
        found = [load_checkpoint(folder / name) for name in (LEVEL, PREVIOUS, LAST) if (folder / name).exists()]
        by_step.append({checkpoint["step"]: checkpoint for checkpoint in found if fits(index, checkpoint)})
        for step, checkpoint in by_step[-1].items():
            suits[step] = min(suits.get(step, 2), fits(index, checkpoint))
    common = set.intersection(*(set(steps) for steps in by_step))
    if not common:
        return None
    step = max(common, key=lambda step: (suits[step], step))
    return [steps[step] for steps in by_step]


def began_without_start(folders: Iterable[Path]) -> bool:
    """Whether runs have checkpoints of a network that was told nothing of its data, as in older folders."""
    return any(
        not starts_from_data(load_checkpoint(folder / name))
        for folder in folders
        for name in (PREVIOUS, LAST)
        if (folder / name).exists()
    )


def starts_from_data(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the network was told of its data (models/start.py)."""
    return any(name.endswith("frame.mean") for name in checkpoint["state_dict"])
