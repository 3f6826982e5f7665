"""What a sweep says at its end and keeps of its commands, and how the time of a pack is counted."""

import importing
import pytest
from sweeping import TARGET, jobs, run
from synthetic_sweep import write_sweep

from vae_sweep.analysis.answered import answer_of
from vae_sweep.engine.machine import Machine
from vae_sweep.report.__main__ import main as report
from vae_sweep.runs.files import append_row, read_rows
from vae_sweep.runs.reading import Run, Sweep, load_sweep


def test_the_time_of_a_pack_is_counted_once(tmp_path):
    """Three members that trained together for 60 s, the last evaluated last; one alone; one that never began."""
    walls = {"a": 50.0, "b": 55.0, "c": 60.0, "d": 10.0}
    runs = [Run(tmp_path / name, {"id": name, "wall_s": wall}) for name, wall in walls.items()]
    runs.append(Run(tmp_path / "e", {"id": "e"}))
    sweep = Sweep(tmp_path, {"plan": {"packs": [["a", "b", "c"], ["d"], ["e"]]}}, runs)
    assert sweep.seconds() == {"a": 20.0, "b": 20.0, "c": 20.0, "d": 10.0, "e": 0.0}
    assert sum(Sweep(tmp_path, {}, runs).seconds().values()) == sum(walls.values())  # of a sweep without a plan


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """sweep([weights]) -> (outcome, what was printed): of the fake training."""
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))

    def sweep(weights):
        asked = jobs(tmp_path / "outputs", weights)
        return run(asked, Machine("cpu", asked[0].config["launcher"], target=TARGET))

    return sweep


def test_the_end_says_where_it_is_and_the_answer_and_keeps_the_commands(sweep):
    outcome, text = sweep([1, 0.5])
    said = answer_of([outcome.folder])
    ending = [
        f"sweep     {outcome.folder}",
        f"answer    {said.headline}",
        *(f"          {p}" for p in said.sure or said.points[:1]),
    ]
    ending.append(f"report    python3 -m vae_sweep.report {outcome.folder}")
    assert text.splitlines()[-len(ending) :] == ending
    assert "roughly" not in text
    sweep([1, 0.5])  # nothing to train, but typed
    sweep([1, 0.5, 0.1])
    typed = "python3 -m vae_sweep.run -m loss.kl_weight=1,0.5"
    assert load_sweep(outcome.folder).commands() == [typed] * 3
    assert all(row["versions"]["python"] and row["cwd"] for row in read_rows(outcome.folder / "commands.jsonl"))


def test_the_report_says_its_headline_and_how_sure_it_is_and_shows_every_command(tmp_path, capsys):
    folder = write_sweep(tmp_path / "outputs" / "s")
    old = load_sweep(folder).commands()
    assert old == [" ".join(load_sweep(folder).manifest["command"])]  # of a sweep without the list
    for command in ("first 'a b'", "second"):
        append_row(folder / "commands.jsonl", {"command": command})
    assert report([str(folder), "--no-figures"]) == 0
    page = folder / "report" / "index.html"
    said = answer_of([folder])
    assert capsys.readouterr().out.splitlines() == [str(page), said.headline, *said.sure]
    assert said.sure[0].startswith("How sure: ")
    assert "first &#39;a b&#39;" in page.read_text()
    assert "second" in page.read_text()
