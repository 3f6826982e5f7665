"""How far something long has come: a bar where stderr is a terminal, else a line now and then."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("vae_sweep")

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Gives a function to be called once per finished item."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
        return

    done, last = 0, time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            log.info("%s: %d of %d", what, done, total)

    yield advance
