"""What is shown while a sweep runs, with a clock of our own."""

from io import StringIO

import pytest
from rich.console import Console

from vae_sweep.engine.live import PLAIN_EVERY_S, LiveView


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def shown():
    """(view, clock, text): two members of 100 steps, no terminal."""
    out, clock = StringIO(), Clock()
    console = Console(file=out, width=120)
    view = LiveView({"a": "000 kl_weight=1", "b": "001 [red]"}, {"a": 100, "b": 100}, console, clock)
    return view, clock, out.getvalue


def step(member, number, **numbers):
    return {"event": "step", "id": member, "step": number, "total_steps": 100, **numbers}


def test_time_left_follows_the_speed(shown):
    view, clock, _ = shown
    view({"event": "running", "id": "a", "step": 20, "total_steps": 100})
    clock.now = 10
    view(step("a", 40))
    assert view.members["a"].seconds_left(10) == 30  # 2 steps a second, 60 to go
    assert view.seconds_left(10) == 80  # and 100 of the other member
    assert view.members["b"].seconds_left(10) is None


def test_time_left_is_not_said_before_it_is_known(shown):
    """A few seconds say little: what is said of them was 18 s for what took 12 minutes."""
    view, clock, _ = shown
    view(step("a", 0))
    clock.now = 9
    view(step("a", 50))
    assert view.seconds_left(9) is None
    assert "left" not in view.summary(9)
    assert view.summary(10).endswith("0 s, about 30 s of training left".replace("0 s,", "10 s,"))


def test_nothing_is_left_of_an_interrupted_sweep(shown):
    view, clock, _ = shown
    view(step("a", 0))
    clock.now = 60
    view(step("a", 50))
    for member in "ab":
        view({"event": "result", "id": member, "status": "interrupted"})
    assert view.summary(60) == "0 of 2 done, 2 interrupted; 1:00 min"


def test_evaluation_is_a_state_and_is_counted(shown):
    view, clock, text = shown
    view(step("a", 0))
    clock.now = 20
    view(step("a", 100))
    view({"event": "evaluating", "id": "a"})
    assert view.summary(20) == "0 of 2 done, 1 evaluating; 20 s, about 20 s of training left"
    clock.now = 35
    view({"event": "result", "id": "a", "status": "done"})
    view(step("b", 0))
    # 100 steps a member at 100 in 35 s since the first, and an evaluation of 15 s
    assert view.seconds_left(35) == 35 + 15
    assert view.summary(35) == "1 of 2 done, 1 running; 35 s, about 50 s left"
    assert ". 000 kl_weight=1  evaluating\n" in text()


@pytest.mark.parametrize(
    ("grace_s", "said"),
    [
        (60.0, "SIGINT: writing checkpoints, at most 1:00 min (again: kill at once)\n"),
        (None, "SIGINT: ends at its next checkpoint, or when it is done (Ctrl-C now: at once)\n"),
    ],
)
def test_who_asks_to_stop_is_told_when_it_ends(shown, grace_s, said):
    view, _, text = shown
    view({"event": "stopping", "signal": "SIGINT", "grace_s": grace_s})
    assert text() == said


def test_plain_lines_are_few(shown):
    view, clock, text = shown
    for number in range(1, 100):
        clock.now = number * PLAIN_EVERY_S / 33
        view(step("a", number, recon=1.23456, kl=None, kl_weight=0.5))
    lines = text().splitlines()
    assert len(lines) == 3
    assert lines[0] == ". 000 kl_weight=1  step 1/100  recon 1.235  kl_weight 0.5"


def test_names_and_errors_are_text_not_markup(shown):
    view, _, text = shown
    error = {"type": "ValueError", "message": "[bold] is bad", "traceback": "line 1\nline [/]2"}
    view({"event": "result", "id": "b", "status": "failed", "error": error})
    assert text() == "x 001 [red]  failed  ValueError: [bold] is bad\n    line 1\n    line [/]2\n"


def test_what_a_terminal_would_obey_is_shown_to_it(shown):
    view, _, text = shown
    error = {"type": "ValueError", "message": "\x1b]0;mine\x07", "traceback": "line 1\n\tline \x1b[2J"}
    view({"event": "result", "id": "b", "status": "failed", "error": error})
    view({"event": "note", "text": "from \x1b[31mafar"})
    assert "\x1b" not in text()
    assert "\x07" not in text()
    assert r"\x1b]0;mine\x07" in text()
    assert r"from \x1b[31mafar" in text()


def test_what_an_earlier_command_has_made_is_not_to_be_made_again():
    """Eight runs of 100 steps at 90, two at once: 80 steps to go, 2 a second."""
    ids, clock = "abcdefgh", Clock()
    view = LiveView(
        dict.fromkeys(ids, "run"), dict.fromkeys(ids, 100), Console(file=StringIO()), clock, dict.fromkeys(ids, 90)
    )
    for member in "ab":
        view({"event": "running", "id": member, "step": 80, "total_steps": 100})
    clock.now = 10
    for member in "ab":
        view(step(member, 90))
    assert view.seconds_left(10) == 40


def test_what_never_began_is_not_told_as_interrupted(shown):
    view, _, text = shown
    view({"event": "result", "id": "a", "status": "interrupted", "error": None})
    assert text() == ""


def test_summary_counts(shown):
    view, clock, _ = shown
    view(step("a", 100))
    view({"event": "result", "id": "a", "status": "done", "metrics": {"val/recon": 1.0}})
    view(step("b", 1))
    clock.now = 61
    assert view.summary(61).startswith("1 of 2 done, 1 running; 1:01 min")


def test_a_terminal_shows_a_table_of_the_running():
    out, clock = StringIO(), Clock()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    with LiveView({"a": "000 kl_weight=1"}, {"a": 100}, console, clock) as view:
        clock.now = 1
        view(step("a", 50, recon=2.5, kl=7.0, kl_weight=0.1))
        clock.now = 2
        view({"event": "tick"})
    assert (
        "run                step  recon  KL  weight  left\n000 kl_weight=1  50/100    2.5   7     0.1" in out.getvalue()
    )
