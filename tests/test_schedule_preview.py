"""The preview draws what the schedule gives, and refuses what the schedule refuses."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from vae_sweep.schedules import cyclical
from vae_sweep.schedules.__main__ import main
from vae_sweep.schedules.preview import CONTROLLERS, SCHEDULES, curve, svg, text


def test_the_curve_is_the_schedule():
    drawn = curve("cyclical", 400, kl_weight=0.5, cycles=2)
    schedule = cyclical(400, cycles=2)
    assert list(drawn.steps) == list(range(401))
    assert list(drawn.values) == [0.5 * schedule(step) for step in range(401)]
    assert max(curve("capacity", 100, maximum=30).values) == 30


def test_a_long_run_is_thinned():
    drawn = curve("linear", 10**6)
    assert len(drawn.steps) < 1000
    assert (drawn.steps[0], drawn.steps[-1], drawn.values[-1]) == (0, 10**6, 1)


def test_the_picture_has_the_curve_to_scale():
    root = ElementTree.fromstring(svg(curve("linear", 100, warmup=0.5)))
    line = next(element for element in root.iter() if element.tag.endswith("polyline"))
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (x0, y0), (xm, ym), (x1, y1) = points[0], points[25], points[-1]
    assert (xm - x0) / (x1 - x0) == pytest.approx(0.25, abs=0.001)
    assert (ym - y0) / (y1 - y0) == pytest.approx(0.5, abs=0.001)


def test_titles_are_text():
    assert "<b>" not in svg(curve("linear", 100)._replace(title="<b>"))


def test_the_terminal_shows_rise_and_ends():
    lines = text(curve("linear", 100, warmup=0.5), width=20, height=4).splitlines()
    assert [line.count("█") for line in lines[1:5]] == sorted(line.count("█") for line in lines[1:5])
    assert lines[-1] == "KL weight: 0 at first, 1 at last"


@pytest.mark.parametrize("name", [*SCHEDULES, *CONTROLLERS])
def test_every_schedule_can_be_drawn(name, tmp_path, capsys):
    goal = {"geco": ["goal=25"], "control_vae": ["target=40"]}.get(name, [])
    assert main([name, *goal, "--steps", "50"]) == 0
    assert name in capsys.readouterr().out
    assert main([name, *goal, "--steps", "50", "--out", str(tmp_path / "curve.svg")]) == 0
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linaer"], "kl_schedule=linaer: expected one of constant, linear"),
        (["linear", "warmup=2"], "kl_schedule.warmup=2: longer than the run"),
        (["linear", "kl_schedule.warmpu=1"], "kl_schedule.warmpu: linear takes warmup, warmup_steps"),
        (["linear", "warmup"], "warmup: expected key=value"),
        (["geco"], "kl_schedule.goal: geco needs a value for it"),
        (["linear", "--out", "a.png"], "--out a.png: expected a name that ends in .svg"),
        (["linear", "--out", "/nowhere/at/all.svg"], "/nowhere/at/all.svg"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert re.search(re.escape(message), said)
    assert said.count("\n") == 1


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "vae_sweep.schedules", "linear", "warmup=0.3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1000 steps" in done.stdout
