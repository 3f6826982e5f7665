"""The search for the best value of a metric: its space, its jobs, what is kept; and with Optuna itself."""

import math
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from waiting import PATIENCE_S

from vae_sweep.analysis.searched import searched
from vae_sweep.checks import SettingsError
from vae_sweep.runs.files import read_json, write_json
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.optimising import Optimising, suggested, visited
from vae_sweep.sweep.space import Between, Choice, space_of

SETTINGS = {
    "kind": "optuna", "metric": "val/x", "direction": "minimize", "runs": 6, "at_once": 2, "sampler": "tpe", "seed": 0,
}  # fmt: skip
WEIGHT = Between("loss.kl_weight", 0.001, 10.0, log=True)
MODEL = Choice("model", ("conv", "mlp"))


def space(*words):
    return space_of(OverridesParser.create().parse_overrides(list(words)))


def test_the_space_is_what_hydras_words_mean():
    assert space(
        "model=conv,mlp", "+model.depth=choice(1,2)", "a=range(8,65,8)", "b=range(0,0.5,0.25)", "c=interval(0,1)",
        "d=int(interval(2,9))", "e=tag(log, interval(0.001,10))", "f=tag(log, range(1,9))",
    ) == [
        MODEL, Choice("+model.depth", ("1", "2")), Between("a", 8, 64, 8, whole=True), Between("b", 0, 0.25, 0.25),
        Between("c", 0.0, 1.0), Between("d", 2, 9, whole=True), Between("e", 0.001, 10.0, log=True),
        Between("f", 1, 8, None, whole=True, log=True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("a=interval(2,1)", "its first number is not below"),
        ("a=tag(log, interval(0,1))", "a logarithm needs"),
        ("a=range(3,3)", "no number is in it"),
    ],
)
def test_a_space_that_is_none_is_refused(word, said):
    with pytest.raises(SettingsError, match=said):
        space(word)


def test_a_point_is_overrides_and_back():
    assert WEIGHT.word(0.123456789) == "loss.kl_weight=0.12346"
    assert WEIGHT.value("loss.kl_weight=0.12346") == 0.12346
    assert Between("a", 0.123454, 0.123456).word(0.1234545) == "a=0.123454"  # rounding does not lead out of it
    assert Between("d", 2, 9, whole=True).word(3.0) == "d=3"
    assert WEIGHT.value("loss.kl_weight=11") is None
    assert WEIGHT.value("seed=1") is None
    assert MODEL.value("model=mlp") == "mlp"
    assert MODEL.value("model=resnet") is None


def test_the_points_of_a_fine_range_are_those_of_the_range():
    (fine,) = space("loss.kl_weight=range(0.1,1,0.0123456)")
    typed = [f"loss.kl_weight={0.1 + n * 0.0123456:.9g}" for n in range(73)]
    for n, word in enumerate(typed):
        assert fine.word(fine.low + n * fine.step) == word
        assert fine.value(word) == pytest.approx(0.1 + n * 0.0123456)
    assert fine.value("loss.kl_weight=0.11235") is None  # between two of them
    assert space("a=range(1,0,-0.25)") == [Between("a", 0.25, 1.0, 0.25)]
    pytest.importorskip("optuna")
    known: dict = {}
    for _ in range(3):
        known |= dict.fromkeys(suggested([fine], known, SETTINGS, 1), 1.0)
    assert {word for (word,) in known} <= set(typed)
    assert len(known) == 3


def scripted(points):
    """A suggestion that goes through a list."""

    def suggest(space, known, settings, count):
        return [point for point in points if point not in known][:count]

    return suggest


POINTS = [(f"loss.kl_weight={weight!r}", f"model={model}") for weight in (1.0, 0.1, 0.03) for model in ("conv", "mlp")]


def value(job):
    """0.5 at weight 0.1 with conv, more elsewhere; seed 1 is 0.2 above seed 0."""
    words = dict(word.split("=") for word in job)
    away = abs(math.log10(float(words["loss.kl_weight"])) + 1) + (words["model"] == "mlp")
    return 0.5 + away + 0.2 * float(words.get("seed", 0))


def run(searching, fails=()):
    rounds = []
    while jobs := searching.next_jobs():
        rounds.append(jobs)
        searching.take(
            [{"status": "failed", "metrics": {}} if any(word in fails for word in job) else
             {"status": "done", "metrics": {"val/x": value(job)}} for job in jobs]
        )  # fmt: skip
    return rounds


def test_rounds_seeds_and_the_best():
    searching = Optimising([WEIGHT, MODEL], ["data=x"], ["seed=0", "seed=1"], SETTINGS, (), scripted(POINTS))
    rounds = run(searching)
    assert rounds[0] == [["data=x", *point, seed] for point in POINTS[:2] for seed in ("seed=0", "seed=1")]
    assert [len(jobs) for jobs in rounds] == [4, 4, 4]  # six points
    assert searching.best() == POINTS[2]
    assert searching.lines() == ["optuna    val/x is lowest at loss.kl_weight=0.1 model=conv: 0.6 (6 points)"]
    most = Optimising([WEIGHT, MODEL], [], [], SETTINGS | {"direction": "maximize"}, (), scripted(POINTS))
    run(most, fails=["model=mlp"])
    assert most.best() == POINTS[0]


def test_what_an_earlier_command_visited_comes_first_and_is_told_by_its_runs(tmp_path):
    first = Optimising([WEIGHT, MODEL], [], [], SETTINGS | {"runs": 3}, (), scripted(POINTS))
    run(first, fails=["model=mlp"])
    first.write(tmp_path)
    before = visited(tmp_path)
    assert before == POINTS[:3]
    narrower = Between("loss.kl_weight", 0.001, 0.5, log=True)
    second = Optimising([narrower, MODEL], [], [], SETTINGS | {"at_once": 4}, before, scripted(POINTS))
    rounds = run(second)
    assert rounds[0] == [list(POINTS[2])]  # the others are not in the space
    second = Optimising([WEIGHT, MODEL], [], [], SETTINGS, before, scripted(POINTS))
    assert [len(jobs) for jobs in run(second)] == [3, 2, 1]
    assert second.known[POINTS[1]] == value(POINTS[1])  # it failed before
    assert visited(tmp_path / "nowhere") == []
    write_json(tmp_path / "search.json", {"schema": 1, "kind": "target", "searches": []})
    assert visited(tmp_path) == []


def test_the_report_tells_the_order_of_the_visits(tmp_path):
    write_json(tmp_path / "sweep.json", {"schema": 1, "sweep": "s", "members": []})
    searching = Optimising([WEIGHT, MODEL], [], [], SETTINGS, (), scripted(POINTS))
    run(searching, fails=["model=mlp"])
    searching.write(tmp_path)
    (told,) = searched([load_sweep(tmp_path)])
    assert told.visits[:2] == ["loss.kl_weight=1.0 model=conv (1.5)", "loss.kl_weight=1.0 model=mlp (failed)"]
    assert told.said == "val/x is lowest at loss.kl_weight=0.1 model=conv: 0.5 (6 points)"


@pytest.mark.parametrize(
    ("settings", "dimensions", "said"),
    [
        ({"direction": "down"}, [MODEL], "hydra.sweeper.direction=down: expected"),
        ({"runs": 0}, [MODEL], "hydra.sweeper.runs=0: expected a whole number >= 1"),
        ({"sampler": "magic"}, [MODEL], "hydra.sweeper.sampler=magic: expected"),
        ({"metric": None}, [MODEL], "hydra.sweeper.metric=null: expected a name"),
        ({}, [], "nothing to look for"),
    ],
)
def test_what_cannot_be_is_refused(settings, dimensions, said):
    with pytest.raises(SettingsError, match=said):
        Optimising(dimensions, [], [], SETTINGS | settings, (), scripted([]))


def test_a_metric_that_there_is_not():
    searching = Optimising([MODEL], [], [], SETTINGS | {"metric": "val/y"}, (), scripted([("model=conv",)]))
    searching.next_jobs()
    with pytest.raises(SettingsError, match=r"metric=val/y: no such metric; there are val/x"):
        searching.take([{"status": "done", "metrics": {"val/x": 1.0}}])


# With Optuna ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna")


def test_optuna_finds_a_minimum_that_is_known(optuna):
    searching = Optimising([WEIGHT, MODEL], [], [], SETTINGS | {"runs": 40, "at_once": 4})
    run(searching)
    weight, model = searching.best()
    assert model == "model=conv"
    assert 0.07 < WEIGHT.value(weight) < 0.14
    late = [WEIGHT.value(point[0]) for point in list(searching.known)[20:]]
    assert sum(0.01 < found < 1 for found in late) > len(late) / 2  # half the range: it looks where it was good


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_where_optuna_looks_follows_from_what_is_known(optuna, sampler):
    settings = SETTINGS | {"sampler": sampler}
    known = {(WEIGHT.word(0.01 * (n + 1)), "model=conv"): abs(n - 4.0) for n in range(12)} | {POINTS[0]: None}
    four = suggested([WEIGHT, MODEL], known, settings, 4)
    assert len(set(four)) == 4
    assert suggested([WEIGHT, MODEL], known, settings, 2) == four[:2]
    assert suggested([WEIGHT, MODEL], known, settings | {"seed": 1}, 4) != four


def test_a_space_of_four_points_has_four(optuna):
    searching = Optimising([MODEL, Between("a", 1, 2, 1, whole=True)], [], [], SETTINGS)
    found = []
    while jobs := searching.next_jobs():
        found += map(tuple, jobs)
        searching.take([{"status": "done", "metrics": {"val/x": 1.0}} for _ in jobs])
    assert sorted(found) == [(f"model={model}", f"a={a}") for model in ("conv", "mlp") for a in (1, 2)]


@pytest.mark.slow
def test_from_the_command_line_and_the_same_command_again(optuna, tmp_path, images):
    command = [
        *(sys.executable, "-m", "vae_sweep.run", "-m", "+hydra.launcher.target=benchmarks.simulated:train_pack"),
        *("data=arrays", f"data.path={images}", "model.latent_grid=1", "launcher.pack=off", "trainer.accelerator=cpu"),
        *("launcher.jobs=2", "sweep=s", "hydra/sweeper=optuna", "hydra.sweeper.metric=val/psnr_mean"),
        *("hydra.sweeper.direction=maximize", "loss.kl_weight=tag(log, interval(0.01,10))", "model.latent_dim=8,32"),
    ]
    said = []
    for options in (["hydra.sweeper.runs=4"], ["hydra.sweeper.runs=6", "hydra.sweeper.at_once=3"]):
        done = subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout.splitlines()[-1])
    sweep = load_sweep(tmp_path / "outputs" / "s")
    assert [run.status for run in sweep.runs] == ["done"] * 6
    assert said[1].startswith("optuna    val/psnr_mean is highest at loss.kl_weight=")
    kept = read_json(tmp_path / "outputs" / "s" / "search.json")["searches"][0]
    assert [visit["settings"] for visit in kept["visits"]] == [run.overrides[-2:] for run in sweep.runs]
    best = max(sweep.runs, key=lambda run: run.metrics["val/psnr_mean"])
    assert kept["best"] == best.overrides[-2:]
    assert " (4 points)" in said[0]
