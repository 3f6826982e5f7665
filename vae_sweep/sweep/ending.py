"""When a sweep is ended before all is trained: it fails alike again and again, or the time that it was given is spent.

Both leave what has not begun in the queue, for the same command to go on with.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from vae_sweep.checks import seconds
from vae_sweep.engine.live import duration
from vae_sweep.engine.stop import Ending
from vae_sweep.runs import alike


class EarlyEnd:
    """Hears the events of a sweep, and says whether to end it.

    stop_after: failures alike, with no member done between them; budget: as checks.seconds reads it. None: never.
    """

    def __init__(self, stop_after: int | None, budget: str | None, clock: Callable[[], float] = time.monotonic):
        self.stop_after = stop_after
        self.budget = None if budget is None else seconds(budget)
        self.clock = clock
        self.began = clock()
        self._started: dict[str, float] = {}
        self._longest = 0.0  # seconds that a member has been on its way, its pack's others with it
        self._alike: dict[str, list[str]] = {}  # what a failure says -> who has failed so

    def hear(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "started":
            self._started |= dict.fromkeys(event["ids"], self.clock())
        elif event["event"] == "result":
            member = event["id"]
            if event["status"] == "done":
                self._alike.clear()
                self._longest = max(self._longest, self.clock() - self._started.get(member, self.clock()))
            elif event["status"] == "failed" and event.get("cause") not in ("killed", "lost"):
                self._alike.setdefault(alike.said(event.get("error") or {}), []).append(member)

    def verdict(self) -> Ending | None:
        """How to end, and why; None to go on."""
        failed = max(self._alike.values(), key=len, default=[])
        if self.stop_after is not None and len(failed) >= self.stop_after:
            what = next(kind for kind, members in self._alike.items() if members is failed)
            return Ending(f"launcher.stop_after={self.stop_after}: as many members failed alike ({what})", at_once=True)
        if self.budget is None:
            return None
        left = self.budget - (self.clock() - self.began)
        given = duration(self.budget)
        if left <= 0:
            return Ending(f"launcher.budget: {given} are spent; what trains writes its checkpoint", at_once=True)
        if left < self._longest:
            return Ending(
                f"launcher.budget: of {given} {duration(left)} are left, and a member took {duration(self._longest)}:"
                " no more begin",
                at_once=False,
            )
        return None
