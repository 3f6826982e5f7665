"""Being told to stop: Ctrl-C, SIGTERM, a closed terminal; or by who watches, for a reason of the sweep's own."""

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vae_sweep.runs.schema import Event

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ending:
    """What `watch` may answer to a `tick`: end, and why. at_once: what trains is stopped, too, after its checkpoint."""

    why: str
    at_once: bool


@dataclass
class StopRequest:
    """signum: the first signal that came, None so far; count: how often somebody asked; ending: the watcher's."""

    signum: int | None = None
    count: int = 0
    ending: Ending | None = None

    def heed(self, answer: object) -> bool:
        """Take in the answer to a tick. Returns whether it asks for something that was not asked for before."""
        if not isinstance(answer, Ending) or (self.ending and self.ending.at_once >= answer.at_once):
            return False
        self.ending = answer
        return True

    def announce(self, watch: Callable[[Event], object], grace_s: float | None = None) -> None:
        """Tell who watches that a signal has come, and how long what trains has to write its checkpoints [s].

        None: as long as it takes.
        """
        if self.signum is not None:
            watch({"event": "stopping", "signal": signal.Signals(self.signum).name, "grace_s": grace_s})

    @property
    def asked(self) -> bool:
        """Whether what trains is to stop."""
        return self.signum is not None or (self.ending is not None and self.ending.at_once)

    @property
    def over(self) -> bool:
        """Whether nothing more is to begin."""
        return self.signum is not None or self.ending is not None

    @property
    def exit_code(self) -> int:
        """128 + signal, as shells report it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 0 if self.signum is None else 128 + self.signum


@contextlib.contextmanager
def stop_request(here: Callable[[StopRequest], object] | None = None) -> Iterator[StopRequest]:
    """Note signals instead of dying of them, and put the old handlers back. Outside the main thread: no signals.

    here: for a process that trains, and may not look at the request for long. It is called in another thread when the
    first signal has come; a Ctrl-C after that is a KeyboardInterrupt. Other signals are not: a terminal that is closed,
    and `timeout`, send theirs twice.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with contextlib.nullcontext() if here is None else _in_another_thread(lambda: here(stop)) as tell:

        def note(signum: int, _frame: object) -> None:
            stop.signum = stop.signum or signum
            stop.count += 1
            if tell and stop.count == 1:
                tell()
            elif tell and signum == signal.SIGINT:
                raise KeyboardInterrupt

        before = {signum: signal.signal(signum, note) for signum in _SIGNALS}
        try:
            yield stop
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


@contextlib.contextmanager
def _in_another_thread(call: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """What makes a thread that waits here `call` once, and may itself be called from a signal handler."""
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def wait() -> None:
        if asked.get():
            call()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield lambda: asked.put(True)
    finally:
        asked.put(False)
        thread.join()
