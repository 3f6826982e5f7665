"""Sweeps that end before all is trained: failures alike, a budget, and members that are tried again."""

import importing
import pytest
from sweeping import TARGET, attempts, jobs, run, statuses

from vae_sweep.checks import seconds, time_span
from vae_sweep.engine.machine import Machine
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.ending import EarlyEnd
from vae_sweep.sweep.plan import ranks
from vae_sweep.sweep.run_sweep import continue_command


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))


def sweep(tmp_path, weights, kind=None, **changes):
    asked = jobs(tmp_path / "outputs", weights, kind, **changes)
    return run(asked, Machine("cpu", asked[0].config["launcher"], target=TARGET))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failure(member, message, cause="exception"):
    return {"event": "result", "id": member, "status": "failed", "cause": cause,
            "error": {"type": "ValueError", "message": message}}  # fmt: skip


def done(member):
    return {"event": "result", "id": member, "status": "done"}


@pytest.mark.parametrize(("text", "wanted"), [("90min", 5400), ("2h", 7200), (" 1.5 d ", 129600), ("30s", 30)])
def test_times_have_units(text, wanted):
    assert seconds(text) == wanted
    assert time_span(text) is None


@pytest.mark.parametrize("text", ["2", "h", "0h", "-1h", "2 weeks", "1h30", "nan", "", None, True])
def test_what_is_no_time_is_refused(text):
    assert time_span(text) == "a time with its unit, such as 90min, 2h or 1.5d"


def test_failures_alike_end_it_and_others_do_not():
    end = EarlyEnd(3, None, Clock())
    for event in (failure("a", "size 3 of 0x1f"), failure("b", "something else"), failure("c", "size 17 of 0x2a")):
        end.hear(event)
        assert end.verdict() is None
    end.hear(failure("d", "size 4 of 0x3b", cause="killed"))  # from outside: no fault of the member
    assert end.verdict() is None
    end.hear(failure("e", "size 5 of 0x4c"))
    assert end.verdict().at_once
    assert "ValueError: size # of #" in end.verdict().why


def test_a_member_that_gets_done_is_hope():
    end = EarlyEnd(2, None, Clock())
    for event in (failure("a", "x"), done("b"), failure("c", "x")):
        end.hear(event)
    assert end.verdict() is None


def test_a_budget_first_begins_no_more_and_then_ends():
    clock = Clock()
    end = EarlyEnd(None, "100s", clock)
    end.hear({"event": "started", "ids": ["a", "b"]})
    clock.now = 30.0
    end.hear(done("a"))
    assert end.verdict() is None
    clock.now = 71.0  # 29 s are left, and a member took 30 s
    assert not end.verdict().at_once
    clock.now = 100.0
    assert end.verdict().at_once


def test_the_ends_come_first_then_the_middles_and_one_seed_before_the_next():
    configs = {
        f"{w} {seed}": {"objective": "vae", "loss": {"kl_weight": w}, "seed": seed}
        for w in (1, 2, 4, 8, 16) for seed in (7, 3)
    }  # fmt: skip
    configs["ae"] = {"objective": "autoencoder", "loss": {"kl_weight": 1}, "seed": 7}
    found = ranks(configs)
    assert sorted(configs, key=found.__getitem__) == [
        "1 7", "ae", "16 7", "4 7", "2 7", "8 7", "1 3", "16 3", "4 3", "2 3", "8 3"
    ]  # fmt: skip


def test_a_hopeless_sweep_is_ended_and_says_why(tmp_path):
    weights = [1 / n for n in range(1, 13)]
    outcome, text = sweep(tmp_path, weights, dict.fromkeys(weights, "raises"), launcher__stop_after=2)
    assert outcome.exit_code == 1
    found = statuses(outcome)
    assert 2 <= found.count("failed") <= 4  # those that were under way when the second was heard of
    assert found.count("failed") + found.count("queued") == 12
    assert "launcher.stop_after=2: as many members failed alike (ValueError: no good)" in text
    again, _ = sweep(tmp_path, weights, dict.fromkeys(weights, "raises"))
    assert statuses(again) == ["failed"] * 12  # without it, the rest is tried
    assert {attempts(run) for run in load_sweep(again.folder).runs} == {1}


def test_a_hopeless_sweep_is_ended_in_this_process_too(tmp_path):
    weights = [1, 2, 3, 4]
    asked = jobs(tmp_path / "outputs", weights, dict.fromkeys(weights, "raises"), launcher__stop_after=2)
    outcome, text = run(asked, ThisProcess(TARGET))
    assert (statuses(outcome), outcome.exit_code, outcome.ended) == (["failed"] * 2 + ["queued"] * 2, 1, True)
    assert "launcher.stop_after=2: as many members failed alike (ValueError: no good)" in text


def test_what_does_not_fit_a_budget_is_left_queued(tmp_path):
    weights = [1 / n for n in range(1, 6)]
    outcome, text = sweep(tmp_path, weights, launcher__budget="0.001s", launcher__jobs=1)
    assert outcome.exit_code == 1
    assert set(statuses(outcome)) <= {"queued", "interrupted", "done"}
    assert "queued" in statuses(outcome)
    assert "launcher.budget" in text
    assert "continue  " in text
    again, _ = sweep(tmp_path, weights)
    assert statuses(again) == ["done"] * 5


def test_a_run_in_this_process_is_stopped_when_its_budget_is_spent(tmp_path):
    asked = jobs(tmp_path / "outputs", [1], {1: "stops"}, launcher__budget="0.5s")
    outcome, text = run(asked, ThisProcess(TARGET))
    assert statuses(outcome) == ["interrupted"]
    assert outcome.ended
    assert "launcher.budget: 0 s are spent" in text


def test_what_a_command_asks_in_several_rounds_is_on_one_budget(tmp_path):
    place = ThisProcess(TARGET)
    first, _ = run(jobs(tmp_path / "outputs", [1], launcher__budget="1h"), place)
    assert statuses(first) == ["done"]
    first.end.began -= 3600
    second, text = run(jobs(tmp_path / "outputs", [1, 0.5], launcher__budget="1h"), place, before=first)
    assert statuses(second) == ["done", "queued"]
    assert (second.ended, second.exit_code) == (True, 1)
    assert "launcher.budget: 1:00 h are spent" in text
    third, _ = run(jobs(tmp_path / "outputs", [0.5], launcher__budget="1h"), place)  # another command
    assert statuses(third) == ["done"]


def test_failed_members_are_tried_again_as_often_as_was_said(tmp_path):
    outcome, text = sweep(tmp_path, [1, 0.5], {1: "raises"}, retry=3)
    assert (statuses(outcome), outcome.exit_code) == (["done", "done"], 0)
    assert [attempts(run) for run in load_sweep(outcome.folder).runs] == [2, 1]
    assert "retry   1 of 3: 1 members" in text


def test_the_command_that_continues_keeps_the_count():
    typed = ["run.py", "-m", "retry=2", "loss.kl_weight=1"]
    assert "retry=2" in continue_command(typed, "s")
    assert continue_command(typed, "s", "failed").count("retry=") == 1
