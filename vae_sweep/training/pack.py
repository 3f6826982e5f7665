"""The training of a pack: members with their images, their checkpoints and Lightning's Trainer around them."""

import logging
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from vae_sweep.data.batches import Images, Order, Stretches, TrainBatches, ValBatches
from vae_sweep.data.image_data import ImageData
from vae_sweep.evaluation import curve, curve_pictures, curve_weights, evaluate, write_curve
from vae_sweep.evaluation.sheet import reconstruction_sheet
from vae_sweep.runs.files import write_bytes
from vae_sweep.runs.writing import RunFiles
from vae_sweep.schedules.learning_rate import level_steps
from vae_sweep.training import ddp as ranks
from vae_sweep.training import device as hardware
from vae_sweep.training.build import RunSettings
from vae_sweep.training.callbacks import AtRest, Checkpoints
from vae_sweep.training.checkpoints import checkpoint_of, common_checkpoints, save_best, save_checkpoints, save_level
from vae_sweep.training.lengths import fits, is_at_rest
from vae_sweep.training.lit_pack import LitPack
from vae_sweep.training.lit_vae import Best, Diverged, LitVAE
from vae_sweep.training.snapshots import Snapshots, snapshot_steps


def quiet_lightning() -> None:
    """Silence what Lightning says of every Trainer: devices that are not there, tips, its own deprecations."""
    chatty = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero")
    for name in (*chatty, "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
    # Our loaders read memory, not files: they need no worker processes.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


def gain_of_best(best: Best, last: Mapping[str, float]) -> dict[str, float]:
    """Which validation was kept, and by how much its objective is below that of the last."""
    return {"val/best_step": best["step"], "val/best_gain": last["val/loss"] - best["val"]["val/loss"]}


class Training:
    """One or more members on one device, from their checkpoints to their last step.

    settings: of every member; all but the metrics are the same in a pack. configs: as written, for the checkpoints.
    forecast: what the training images said before (theory/forecast.py).
    """

    def __init__(
        self,
        configs: Sequence[Mapping[str, Any]],
        settings: Sequence[RunSettings],
        members: Sequence[LitVAE],
        files: Sequence[RunFiles],
        data: ImageData,
        device: str,
        should_stop: Callable[[], bool],
        forecast: Mapping[str, Any],
    ):
        self.forecast = forecast
        self.configs, self.settings, self.members, self.files, self.data = configs, settings, members, files, data
        self.device = device
        self.should_stop = should_stop
        self.module = members[0] if len(members) == 1 else LitPack(members)
        self._best_on_disk: dict[int, int | None] = {}  # the step that best.ckpt of a member is of
        self.precision = hardware.precision(settings[0].precision, device, members[0])

    def restore(self) -> None:
        """Continue where the checkpoints stand, if there are any."""
        images = len(self.data.train)

        def note(line: str) -> None:
            self.files[0].report({"event": "note", "text": line})

        found = common_checkpoints(
            [file.folder for file in self.files],
            lambda index, checkpoint: fits(checkpoint, self.configs[index], images),
            note,
        )
        if found is not None:
            for member, checkpoint in zip(self.members, found, strict=True):
                member.restore(checkpoint)
            if isinstance(self.module, LitPack):
                diverged = {index: checkpoint["failed"] for index, checkpoint in enumerate(found)}
                self.module.failed = {index: Diverged(how) for index, how in diverged.items() if how}
                self.module.gather_means()
        for member, file in zip(self.members, self.files, strict=True):
            member.row_loggers = [file]
            file.converged_at = member.rest
            file.begin(member.step, member.total_steps)

    def train(self) -> Mapping[int, Exception]:
        """Returns the errors of members that diverged. Raises Interrupted."""
        while True:
            try:
                return self._train()
            except AtRest:  # as if it had been known how long it is
                self.files[0].total_steps, self.files[0].converged_at = self.members[0].total_steps, self.step

    def _train(self) -> Mapping[int, Exception]:
        members, settings, module = self.members, self.settings[0], self.module
        step = self.step
        stops = [stop for stop in self._validation_steps() if stop > step]
        if stops:
            dtype = torch.float64 if self.precision == "64-true" else torch.float32
            train = Images(self.data, self.data.train, dtype, self.place)
            val = Images(self.data, self.data.val, dtype, self.place)
            batch_size, processes = settings.batch_size, settings.devices
            orders = [Order(len(train), batch_size, member.seed) for member in members]
            batches = TrainBatches(train, orders, stops, step, ranks.rank(), processes, settings.augment)
            checkpoints = Checkpoints(
                save=self._save,
                step=lambda: self.step,
                validation_steps=stops,
                every_s=settings.checkpoint_every_s,
                should_stop=self.should_stop,
                level=min(
                    level_steps(members[0].optimizer_settings.lr_schedule, members[0].total_steps), stops[-1] - 1
                ),
                save_level=lambda: self._save(save_level),
                at_rest=self._at_rest,
            )
            module.between_steps = checkpoints.between_steps
            snapshots = Snapshots(
                members,
                [file.folder for file in self.files],
                self.data,
                snapshot_steps(self._validation_steps()) if self._draws else frozenset(),
                diverged=lambda index: isinstance(module, LitPack) and index in module.failed,
            )
            trainer = pl.Trainer(
                max_epochs=len(stops),  # to Lightning, an epoch lasts from one validation to the next
                accelerator=self.device,
                devices=processes,
                strategy="ddp" if processes > 1 else "auto",
                plugins=LightningEnvironment(),  # ddp.py starts processes, whatever cluster this is
                precision=self.precision,  # type: ignore[arg-type]
                callbacks=[snapshots, checkpoints],  # the second may raise Interrupted
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
            )
            # Of several processes every step goes through DDP's forward, which prepares one backward.
            given = batches if processes > 1 else Stretches(batches)
            trainer.fit(module, given, ValBatches(val, batch_size))
        return module.failed if isinstance(module, LitPack) else {}

    @property
    def place(self) -> torch.device:
        return torch.device(self.device, ranks.rank()) if self.device == "cuda" else torch.device(self.device)

    @property
    def _draws(self) -> bool:
        return self.settings[0].evaluate and self.files[0].writes

    @property
    def step(self) -> int:
        """Of the members that still train."""
        return max(member.step for member in self.members)

    def evaluate(self, index: int, weights: Collection[float]) -> dict[str, float]:
        """Measure a trained member, write what the report draws, return its metrics on both splits.

        With trainer.keep=best it is measured, and left, at its best validation; two metrics say which.
        weights: of the whole sweep, at which a multi-rate model is measured too.
        """
        member, file, settings = self.members[index], self.files[index], self.settings[index]
        last, step = member.last_val, member.take_kept()
        which = {} if member.best is None else gain_of_best(member.best, last)
        if not (settings.evaluate and file.writes):
            return (last if member.best is None else member.best["val"]) | which
        file.report({"event": "evaluating", "id": file.entry["id"]})
        weight, batch_size = float(member.settled_weight), settings.batch_size
        objective = member.to(self.place).float().objective  # also of one that was trained in float64
        found = evaluate(objective, weight, step, self.data, batch_size, metrics=settings.metrics)
        found.write(file.folder)
        if objective.multi_rate:
            at = curve_weights(objective.vae, weights)
            rates = curve(objective, step, self.data, at, batch_size)
            write_curve(file.folder, rates, curve_pictures(objective, self.data, at))
        write_bytes(file.folder / "images" / "reconstructions.png", reconstruction_sheet(found.arrays))
        splits = {split: found.values[split] for split in ("train", "val")}
        return {f"{split}/{name}": value for split, values in splits.items() for name, value in values.items()} | which

    def _at_rest(self) -> bool:
        """Asked of a run that ends by itself, which trains alone."""
        [member, *others] = self.members
        if others or not member.until_rest or member.rest is not None or not self._settled:
            return False
        if not is_at_rest(member, self.files[0], self.data, self.forecast):
            return False
        member.ends_at_rest()
        return True

    @property
    def _settled(self) -> bool:
        """Whether the KL weight is the one that it stays at; a controller's is as good as any."""
        [member] = self.members
        target = member.kl_schedule.target
        ahead = range(member.step, member.total_steps + 1, max(1, member.total_steps // 200))
        return target is None or all(member.kl_schedule.at(step) == target for step in ahead)

    def _save(self, write: Callable[[Sequence[tuple[Path, dict[str, Any]]]], None] = save_checkpoints) -> None:
        failed = {}
        if isinstance(self.module, LitPack):
            self.module.share_means()
            failed = {index: str(error) for index, error in self.module.failed.items()}
        if ranks.rank() > 0:
            return
        written = []
        for index, (member, file) in enumerate(zip(self.members, self.files, strict=True)):
            known = {
                "config": dict(self.configs[index]),
                "image_shape": list(self.data.shape),
                "images": len(self.data.train),
            }
            written.append((file.folder, checkpoint_of(member, self.step, failed.get(index), known)))
        for index, (folder, checkpoint) in enumerate(written):  # first, so that no ended run lacks its best
            step = (checkpoint.get("best") or {}).get("step")
            if self.members[index].keep_best and self._best_on_disk.get(index, -1) != step:
                save_best(folder, checkpoint)
                self._best_on_disk[index] = step
        write(written)

    def _validation_steps(self) -> list[int]:
        settings, last = self.settings[0], self.members[0].total_steps
        every = max(1.0, settings.val_every_n_epochs * len(self.data.train) / settings.batch_size)
        return [*sorted({max(1, round(k * every)) for k in range(1, math.ceil(last / every))} - {last}), last]
