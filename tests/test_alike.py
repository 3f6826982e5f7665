"""One network that does not work is reported once, however many members have it."""

import errno
import os
from io import StringIO
from pathlib import Path

import importing
import pytest
import sweeping
from rich.console import Console

from vae_sweep.data.image_data import DataError
from vae_sweep.engine.live import LiveView
from vae_sweep.engine.machine import Machine
from vae_sweep.report import build
from vae_sweep.runs import alike
from vae_sweep.runs.writing import cause_of, error_record


def raised(number: float, line: int = 1) -> dict:
    """The record of an exception that this Python raised, on a line of a file of its own."""
    code = compile(
        "\n" * line + f"raise ValueError('weight {number} at 0x{hash(number):x} is no good')", "net.py", "exec"
    )
    try:
        exec(code)
    except ValueError as error:
        return error_record(error)
    raise AssertionError


def test_failures_are_one_kind_whatever_their_numbers_and_two_on_other_lines() -> None:
    one, other, elsewhere = raised(1.0), raised(0.25), raised(1.0, line=7)
    assert one["traceback"] != other["traceback"]
    assert alike.kind(one) == alike.kind(other) != alike.kind(elsewhere)
    assert alike.said(one) == alike.said(elsewhere)
    assert alike.grouped([("a", one), ("b", elsewhere), ("c", other), ("d", {})]) == [["a", "c"], ["b"], ["d"]]
    assert alike.kind({"type": "TypeError", "message": one["message"]}) != alike.kind({**one, "traceback": ""})


def test_a_full_disk_is_the_cause_also_of_what_was_raised_from_it() -> None:
    error = DataError("data.cache_dir: cannot write")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert cause_of(error) == "disk"
    assert error_record(error) == {"type": "DataError", "message": "data.cache_dir: cannot write", "traceback": ""}
    assert cause_of(OSError(errno.ENOENT, "no such file")) == "exception"


def test_the_terminal_shows_a_traceback_once_and_counts_the_rest() -> None:
    out = StringIO()
    names = {f"m{k}": f"{k:03d} kl_weight={k}" for k in range(11)}
    view = LiveView(names, dict.fromkeys(names, 10), Console(file=out, width=200))
    for number, member in enumerate(names):
        error = raised(float(number), line=5 if number == 10 else 1)
        view({"event": "result", "id": member, "status": "failed", "error": error})
    shown = out.getvalue()
    assert shown.count("Traceback (most recent call last)") == 2
    assert "x 009 kl_weight=9  failed  as 000 kl_weight=0\n" in shown
    assert "x 010 kl_weight=10  failed  ValueError: weight 10.0" in shown
    assert view.repeated() == ["x 000 kl_weight=0  the same in 9 other runs"]


def test_of_a_sweep_the_terminal_and_the_page_tell_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))
    weights = [1 / n for n in range(1, 5)]
    made = sweeping.jobs(tmp_path, weights, dict.fromkeys(weights, "raises"))
    outcome, said = sweeping.run(made, Machine("cpu", made[0].config["launcher"], target=sweeping.TARGET))
    assert sweeping.statuses(outcome) == ["failed"] * 4
    assert said.count("Traceback") == 1
    assert said.count("the same in 3 other runs") == 1
    page = build([outcome.folder], figures=False).read_text()
    assert page.count("Traceback (most recent call last)") == 1
    assert page.count("the same in 3 other runs") == 1
    assert page.count("ValueError: no good") >= 1
