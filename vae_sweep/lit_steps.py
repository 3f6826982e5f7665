"""What LitVAE and LitPack share: Lightning hands over a stretch of batches, and they step through it."""

from collections.abc import Callable, Iterable

import pytorch_lightning as pl
from torch import Tensor


class LitSteps(pl.LightningModule):
    """Trains on every batch of a stretch. between_steps: called after every step; what it raises ends the training."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.between_steps: Callable[[], None] = lambda: None

    def training_step(self, batches: Iterable[Tensor], batch_idx: int = 0) -> None:
        for batch in batches:
            self.train_on(batch)
            self.between_steps()
            if self.trainer.should_stop:
                return

    def train_on(self, batch: Tensor) -> None:
        """One step of the optimiser."""
        raise NotImplementedError
