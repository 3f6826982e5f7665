"""What LitVAE and LitPack share: Lightning hands over a batch, or a whole stretch of them to step through."""

from collections.abc import Callable, Iterable

import pytorch_lightning as pl
from torch import Tensor


class LitSteps(pl.LightningModule):
    """Trains on every batch it is given. between_steps: called after every step; what it raises ends the training."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.between_steps: Callable[[], None] = lambda: None

    def training_step(self, batches: Tensor | Iterable[Tensor], batch_idx: int = 0) -> None:
        """One batch, as any loader of yours gives it, or an iterable of batches (batches.Stretches)."""
        if isinstance(batches, Tensor):
            self._counted_by_lightning()
            batches = (batches,)
        for batch in batches:
            self.train_on(batch)
            self.between_steps()
            if self.trainer.should_stop:
                return

    def _counted_by_lightning(self) -> None:
        """For a Trainer of somebody's own, whose `max_steps`, checkpoints and callbacks go by `trainer.global_step`: it
        counts the steps of optimisers that Lightning has wrapped, and this module's is not."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def train_on(self, batch: Tensor) -> None:
        """One step of the optimiser."""
        raise NotImplementedError
