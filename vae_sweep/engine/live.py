"""What a person sees while a sweep runs: a table that moves in a terminal, plain lines everywhere else."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vae_sweep.runs import alike
from vae_sweep.text import inert
from vae_sweep.text import lines as inert_lines

Event = Mapping[str, Any]
Clock = Callable[[], float]

PLAIN_EVERY_S = 30.0  # between two lines of a run where nothing can be redrawn
_REDRAW_S = 0.5
_ROWS = 24  # running members that are shown at once
_ESTIMATE_AFTER_S = 10.0  # of measured steps; before that, what is left is not said

_MARK = {"done": ("+", "green"), "failed": ("x", "red"), "interrupted": ("-", "yellow")}


@dataclass
class Progress:
    """One member's. first_step and began: where and when this attempt started, for its speed."""

    name: str
    total_steps: int
    step: int = 0
    first_step: int | None = None
    began: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)
    status: str = "queued"  # running, evaluating, done, failed, interrupted
    evaluated_from: float | None = None

    def take(self, event: Event, now: float) -> None:
        self.step = event["step"] or 0
        self.total_steps = event.get("total_steps") or self.total_steps
        self.last |= {key: event[key] for key in ("recon", "kl", "kl_weight", "loss") if event.get(key) is not None}
        if self.first_step is None:
            self.first_step, self.began = self.step, now
        self.status = "running"

    def seconds_left(self, now: float) -> float | None:
        """Of its training, at the speed of this attempt, and so under the load there is; None before that is known."""
        if (
            self.first_step is None
            or not self.first_step < self.step < self.total_steps
            or now - self.began < _ESTIMATE_AFTER_S
        ):
            return None
        return (self.total_steps - self.step) * (now - self.began) / (self.step - self.first_step)


class LiveView:
    """Shows events. names and steps: of every member that is to be trained now, by id; begun: those of its steps that
    an earlier command has made.

    `with LiveView(...) as view: view(event); view.line("...")`
    """

    def __init__(
        self,
        names: Mapping[str, str],
        steps: Mapping[str, int],
        console: Console,
        clock: Clock = time.monotonic,
        begun: Mapping[str, int] | None = None,
    ):
        self.members = {
            member: Progress(inert(name), steps[member], min(steps[member], (begun or {}).get(member, 0)))
            for member, name in names.items()
        }
        self.console = console
        self.clock = clock
        self.began = clock()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._drawn = 0.0
        self._next_line: dict[str, float] = {}
        self._noted: set[str] = set()
        self._evaluations: list[float] = []  # seconds that each took
        self._failures: dict[Any, list[str]] = {}  # kind of failure -> the names of the members, first first

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        kind, now = event["event"], self.clock()
        if kind in ("running", "step"):
            self.members[event["id"]].take(event, now)
            if kind == "step" and self._live is None:
                self._plain_progress(event["id"], now)
        elif kind == "evaluating":
            self._evaluating(event["id"], now)
        elif kind == "result":
            self._result(event, now)
        elif kind == "started" and self._live is None:
            for member in event["ids"]:
                self.line(f"> {self.members[member].name}  starts on {', '.join(event['slots'])}")
        elif kind == "note" and event["text"] not in self._noted:
            self._noted.add(event["text"])
            self.line(f"! {event['text']}", "yellow")
        elif kind == "split":
            sizes = " and ".join(str(len(part)) for part in event["into"])
            self.line(f"! out of memory: the pack goes on as packs of {sizes}", "yellow")
        elif kind == "stopping":
            if (grace_s := event["grace_s"]) is None:
                said = "ends at its next checkpoint, or when it is done (Ctrl-C now: at once)"
            else:
                said = f"writing checkpoints, at most {duration(grace_s)} (again: kill at once)"
            self.line(f"{event['signal']}: {said}", "yellow")
        if self._live and now - self._drawn > _REDRAW_S:
            self._drawn = now
            self._live.update(self.table(now), refresh=True)

    def line(self, text: str, style: str = "") -> None:
        """A line that stays, above the table. Never read as markup, nor obeyed by a terminal."""
        self.console.print(Text(inert_lines(text), style), soft_wrap=True, highlight=False)

    def table(self, now: float) -> Group:
        running = [member for member in self.members.values() if member.status in ("running", "evaluating")]
        table = Table(box=None, pad_edge=False)
        table.add_column("run", no_wrap=True, overflow="ellipsis")
        for title in ("step", "recon", "KL", "weight", "left"):
            table.add_column(title, justify="right", no_wrap=True)
        for member in running[:_ROWS]:
            left = member.seconds_left(now)
            table.add_row(
                Text(member.name),
                f"{member.step}/{member.total_steps}",
                *(_number(member.last.get(key)) for key in ("recon", "kl", "kl_weight")),
                "evaluating" if member.status == "evaluating" else "" if left is None else duration(left),
            )
        more = [Text(f"and {len(running) - _ROWS} more")] if len(running) > _ROWS else []
        return Group(table, *more, Text(self.summary(now), "dim"))

    def summary(self, now: float) -> str:
        """3 of 18 done, 1 failed, 2 running; 12:30 min, about 50:00 min left

        "of training left" as long as no evaluation has shown what it takes.
        """
        counts = {status: self._count(status) for status in ("failed", "interrupted", "running", "evaluating")}
        told = [f"{self._count('done')} of {len(self.members)} done"]
        told += [f"{count} {status}" for status, count in counts.items() if count]
        left = self.seconds_left(now)
        of = "" if self._evaluations else " of training"
        rest = "" if left is None else f", about {duration(left)}{of} left"
        return f"{', '.join(told)}; {duration(now - self.began)}{rest}"

    def seconds_left(self, now: float) -> float | None:
        """Of the whole sweep: steps to go at the rate so far of all slots together, and evaluations like those so far.

        None before that is known, and when nothing is to come.
        """
        started = [member for member in self.members.values() if member.first_step is not None]
        made = sum(member.step - (member.first_step or 0) for member in started)
        waiting = [member for member in self.members.values() if member.status in ("queued", "running", "evaluating")]
        if not made or not waiting:
            return None
        elapsed = now - min(member.began for member in started)
        if elapsed < _ESTIMATE_AFTER_S:
            return None
        to_go = sum(member.total_steps - member.step for member in waiting if member.status != "evaluating")
        at_once = max(1, self._count("running") + self._count("evaluating"))
        evaluation = sum(self._evaluations) / len(self._evaluations) if self._evaluations else 0.0
        return to_go * elapsed / made + evaluation * len(waiting) / at_once

    def _count(self, status: str) -> int:
        return sum(member.status == status for member in self.members.values())

    def _plain_progress(self, member_id: str, now: float) -> None:
        if now < self._next_line.setdefault(member_id, now):
            return
        self._next_line[member_id] = now + PLAIN_EVERY_S
        member = self.members[member_id]
        left = member.seconds_left(now)
        numbers = [f"{key} {_number(member.last[key])}" for key in ("recon", "kl", "kl_weight") if key in member.last]
        eta = [] if left is None else [f"{duration(left)} left"]
        self.line("  ".join([f". {member.name}", f"step {member.step}/{member.total_steps}", *numbers, *eta]))

    def _evaluating(self, member_id: str, now: float) -> None:
        member = self.members[member_id]
        member.status, member.evaluated_from = "evaluating", now
        if self._live is None:
            self.line(f". {member.name}  evaluating")

    def _result(self, event: Event, now: float) -> None:
        member = self.members[event["id"]]
        if member.evaluated_from is not None:
            self._evaluations.append(now - member.evaluated_from)
        begun, member.status = member.first_step is not None, event["status"]
        if event["status"] == "interrupted" and not begun:
            return
        mark, style = _MARK[event["status"]]
        metrics = event.get("metrics") or {}
        told = [f"{mark} {member.name}", event["status"]]
        told += [f"{key} {_number(metrics[key])}" for key in ("val/recon", "val/kl") if metrics.get(key) is not None]
        error = event.get("error")
        if error:
            told.append(f"{error['type']}: {error['message']}")
            alike_so_far = self._failures.setdefault(alike.kind(error), [])
            alike_so_far.append(member.name)
            if len(alike_so_far) > 1:
                told[2:] = [f"as {alike_so_far[0]}"]
        self.line("  ".join(told), style)
        if error and error.get("traceback") and len(alike_so_far) == 1:
            self.line(_indented(error["traceback"]), "dim")

    def repeated(self) -> list[str]:
        """A line for each failure that several members had, which was shown of the first alone."""
        return [f"x {first}  {alike.in_others(len(others))}" for first, *others in self._failures.values() if others]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


def _number(value: Any) -> str:
    """Four significant digits; empty for what there is not (the KL of an autoencoder)."""
    return "" if value is None else f"{value:.4g}"


def duration(seconds: float) -> str:
    """90 -> "1:30 min"; 12.2 -> "12 s"; 5400 -> "1:30 h" """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"


def console() -> Console:
    return Console(highlight=False)


def print_lines(lines: Sequence[str], to: Console) -> None:
    for line in filter(None, lines):
        to.print(Text(inert_lines(line)), soft_wrap=True, highlight=False)
