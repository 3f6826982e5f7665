"""A member's checkpoint: weights, optimiser, progress and config, in plain containers. Opened without executing code.

A pack writes one for each member. A kill may fall between two of them, so every run keeps the one before as well, and
`common_checkpoints` finds the step that all members have. It is also what is left where the last one is damaged: torch
compares no checksums, although its zip files have them, and would train on from flipped bits.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytorch_lightning as pl
import torch

from vae_sweep.runs.files import RecordError, atomic_file, set_aside
from vae_sweep.runs.records import Damaged, check_zip, log
from vae_sweep.runs.schema import BEST, LEVEL, SCHEMA
from vae_sweep.training.lit_vae import LitVAE

LAST = Path("checkpoints/last.ckpt")
PREVIOUS = Path("checkpoints/previous.ckpt")
_NEEDS = {"schema", "step", "state_dict", "hyper_parameters"}


def checkpoint_of(member: LitVAE, step: int, failed: str | None, hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    """step: of the pack; a member that diverged (`failed`: how) stands still at an earlier one.

    hyper_parameters: what `train.build` needs to make the module again.
    """
    return {
        "schema": SCHEMA,
        "pytorch-lightning_version": pl.__version__,
        **member.state(),
        "step": step,
        "failed": failed,
        "hyper_parameters": hyper_parameters,
    }


def save_level(runs: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Write level.ckpt of every (run folder, checkpoint): what a longer run goes on from."""
    for folder, checkpoint in runs:
        with atomic_file(folder / LEVEL) as file:
            _save(checkpoint, file)


def save_best(folder: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write the best validation that a checkpoint knows as best.ckpt; remove that where it knows none.

    For readers: training goes on from the checkpoint itself, which holds the same weights.
    """
    if checkpoint.get("best") is None:
        (folder / BEST).unlink(missing_ok=True)
        return
    with atomic_file(folder / BEST) as file:
        _save(at_best(checkpoint), file)


def at_best(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint of its best validation, without what only training needs; of one that has none, itself."""
    if checkpoint.get("best") is None:
        return dict(checkpoint)
    kept = {key: value for key, value in checkpoint.items() if key not in ("best", "optimizer_states", "progress")}
    return {**kept, **checkpoint["best"]}


def save_checkpoints(runs: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Write last.ckpt of every (run folder, checkpoint), keeping the one before as previous.ckpt."""
    for folder, checkpoint in runs:
        last, previous = folder / LAST, folder / PREVIOUS
        incoming = last.with_suffix(".incoming")
        with atomic_file(incoming) as file:
            _save(checkpoint, file)
        if last.exists():
            os.replace(last, previous)
        os.replace(incoming, last)


def _save(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """torch.save, with the file system's own word where it fails: torch's is an assertion of its zip writer."""
    refused: list[OSError] = []

    class Listening(io.RawIOBase):
        def write(self, data: Any) -> int:
            try:
                return file.write(data)
            except OSError as error:
                refused.append(error)
                raise

    try:
        torch.save(checkpoint, Listening())  # type: ignore[arg-type]
        file.flush()
    except RuntimeError:
        if refused:
            raise refused[0] from None
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises RecordError for a file that is missing or of a newer version, Damaged for one that is no checkpoint."""
    if not os.path.lexists(path):
        raise RecordError(f"no checkpoint at {path}")
    check_zip(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever the unpickler, which knows tensors and plain containers only, makes of it
        raise Damaged(f"{path} is no checkpoint of vae-sweep: it is not made of tensors and plain values") from None
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _NEEDS:
        raise Damaged(f"{path} is no checkpoint of vae-sweep")
    if checkpoint["schema"] != SCHEMA:
        raise RecordError(
            f"{path} was written by another version of vae-sweep (schema {checkpoint['schema']}, here {SCHEMA})"
        )
    return checkpoint


def whole_checkpoints(folder: Path, say: Callable[[str], None] = log.warning) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Those of a run with their files, older first, each read when it is asked for.

    What is damaged is set aside, and said: training goes on from what is left.
    """
    for name in (LEVEL, PREVIOUS, LAST):
        path = folder / name
        if not os.path.lexists(path):
            continue
        try:
            yield path, load_checkpoint(path)
        except Damaged as error:
            if (aside := set_aside(path)) is not None:
                say(f"{error}; set aside as {aside.name}")


def common_checkpoints(
    folders: Sequence[Path],
    fits: Callable[[int, Mapping[str, Any]], int] = lambda index, checkpoint: 2,
    say: Callable[[str], None] = log.warning,
) -> list[dict[str, Any]] | None:
    """The checkpoints of the latest step that all runs have; None if there is no such step.

    fits: how well the checkpoint of a run, by its index, suits the way that it is to go; 0: not at all. Those that suit
    best come before those that are latest. Of the others no more is held than one at a time: a run has up to three.
    """
    by_step: list[dict[int, Path]] = []
    suits: dict[int, int] = {}
    for index, folder in enumerate(folders):
        suit: dict[int, int] = {}
        files = {}
        for path, checkpoint in whole_checkpoints(folder, say):
            if fit := fits(index, checkpoint):
                files[checkpoint["step"]], suit[checkpoint["step"]] = path, fit
            del checkpoint  # before the next one is read
        by_step.append(files)
        suits |= {step: min(suits.get(step, 2), fit) for step, fit in suit.items()}
    common = set.intersection(*(set(steps) for steps in by_step))
    if not common:
        return None
    step = max(common, key=lambda step: (suits[step], step))
    return [load_checkpoint(files[step]) for files in by_step]


def began_without_start(folders: Iterable[Path], say: Callable[[str], None] = log.warning) -> bool:
    """Whether runs of a pack have checkpoints of a network that was told nothing of its data, as in older folders.

    The first one tells: a pack begins as one.
    """
    found = (checkpoint for folder in folders for _, checkpoint in whole_checkpoints(folder, say))
    first = next(found, None)
    return first is not None and not starts_from_data(first)


def starts_from_data(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the network was told of its data (models/start.py)."""
    return any(name.endswith("frame.mean") for name in checkpoint["state_dict"])
