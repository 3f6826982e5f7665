"""When to write a checkpoint, and when to stop."""

import signal
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import Strategy


class Interrupted(Exception):
    """Somebody asked the training to stop; its checkpoint is written."""


class AtRest(Exception):
    """The run has found that it is done: from here on its learning rate falls. Its checkpoint is written."""


class Checkpoints(pl.Callback):
    """Saves every `every_s` seconds, at the end, and when `should_stop` says so; then raises Interrupted.

    save_level: called after the step `level`, the last whose numbers do not hang on the run's length. at_rest: asked
    after every validation up to there; if it says so, what it has changed is saved, and AtRest is raised.

    After a step that a validation follows, it waits for that, so that a continued run writes the same rows.
    """

    def __init__(
        self,
        save: Callable[[], None],
        step: Callable[[], int],
        validation_steps: Collection[int],
        every_s: float,
        should_stop: Callable[[], bool],
        level: int = 0,
        save_level: Callable[[], None] = lambda: None,
        at_rest: Callable[[], bool] = lambda: False,
    ):
        self.level, self.save_level, self.at_rest = level, save_level, at_rest
        self.save = save
        self.step = step
        self.validation_steps = frozenset(validation_steps)
        self.last = max(validation_steps)
        self.every_s = every_s
        self.should_stop = should_stop
        self._due = time.monotonic() + every_s
        self._strategy: Strategy | None = None  # of several processes
        self._on_sigterm = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._strategy = trainer.strategy if trainer.world_size > 1 else None
        # The Trainer has put its own handler in front, which would end the process with exit code 0.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def between_steps(self) -> None:
        """To be called by the module after every step."""
        if self.step() not in self.validation_steps:
            self._save_or_stop()

    def on_validation_end(self, *_: Any) -> None:
        if self.step() <= self.level and self.at_rest():
            self.save_level()
            self.save()
            raise AtRest
        self._save_or_stop()

    def _save_or_stop(self) -> None:
        if self.step() == self.level:
            self.save_level()
        ended, stop = self.step() == self.last, self.should_stop()
        if self._strategy is not None:  # one process is asked, all must know
            stop = self._strategy.reduce_boolean_decision(stop, all=False)
        if ended or stop or time.monotonic() >= self._due:
            self.save()
            self._due = time.monotonic() + self.every_s
        if stop and not ended:
            raise Interrupted
