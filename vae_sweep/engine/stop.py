"""Being told to stop: Ctrl-C, SIGTERM, a closed terminal."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class StopRequest:
    """signum: the first signal that came, None so far; count: how often somebody asked."""

    signum: int | None = None
    count: int = 0

    @property
    def exit_code(self) -> int:
        """128 + signal, as shells report it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 0 if self.signum is None else 128 + self.signum


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note signals instead of dying of them, and put the old handlers back. Outside the main thread: no signals."""
    stop = StopRequest()

    def note(signum: int, _frame: object) -> None:
        stop.signum = stop.signum or signum
        stop.count += 1

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, note) for signum in _SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
