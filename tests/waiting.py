"""Waiting for what other processes do. Not a test.

No test asks how long something takes: one that waits, waits for an event, and gives up only where nothing can come any
more, however busy the machine is.
"""

import time
from collections.abc import Callable

PATIENCE_S = 300.0


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.01)
