"""The one verdict on convergence, on curves and run folders whose truth is known."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweep import write_sweep

from vae_sweep.analysis import study
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.convergence import FALLING, convergence
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.trend import trend
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.reading import load_sweep
from vae_sweep.schedules.learning_rate import NAMES, level_steps, multiplier, same_until

STEPS = 2000


def curve(objective, noise=0.01, validations=20, steps=STEPS, held_out=None):
    """Rows of a run: training ones with the noise of batches, held-out ones with a third of it."""
    rng = np.random.default_rng(0)
    known = {step: {"step": step} for step in range(10, steps + 1, 10)}
    for step, row in known.items():
        row["train/sse"] = float(objective(step) * (1 + noise * rng.standard_normal()))
    for number in range(1, validations + 1):
        step = round(number * steps / validations)
        value = (held_out or objective)(step) * (1 + noise / 3 * rng.standard_normal())
        known.setdefault(step, {"step": step})["val/sse"] = float(value)
    return list(known.values())


def power(step, end=100.0, part=100.0):
    return end + part * (step / STEPS) ** -0.5


def at_rest(step):
    return 100.0 + 900 * np.exp(-step / 40)


def annealed(lr_schedule, share=0.1):
    """At rest, but for the noise of the gradients, which holds it above as the learning rate has it."""
    return lambda step: at_rest(step) * (1 + share * multiplier(lr_schedule, step, STEPS))


@pytest.mark.parametrize("lr_schedule", NAMES)
@pytest.mark.parametrize("other", [700, 4000])
def test_a_longer_run_has_the_same_learning_rates_as_far_as_is_said(lr_schedule, other):
    shared = same_until(lr_schedule, STEPS, other)
    rates = [[multiplier(lr_schedule, step, total) for step in range(min(STEPS, other))] for total in (STEPS, other)]
    differ = [step for step, (one, two) in enumerate(zip(*rates, strict=True)) if one != two]
    assert shared <= (differ[0] if differ else max(STEPS, other))
    if lr_schedule in ("wsd", "constant"):
        assert shared >= level_steps(lr_schedule, min(STEPS, other))
    if lr_schedule == "plateau":  # 28 and 80 steps of rising, and 80 and 100
        assert shared == 0
        assert same_until("plateau", 2700, 5400) == 1350


@pytest.mark.parametrize("lr_schedule", NAMES)
def test_a_learning_rate_rises_to_one_and_ends_near_zero_or_stays(lr_schedule):
    rates = [multiplier(lr_schedule, step, STEPS) for step in range(STEPS)]
    assert max(rates) == 1
    assert rates[level_steps(lr_schedule, STEPS) - 1] == 1 or lr_schedule == "cosine"
    assert rates[-1] < 0.05 or lr_schedule == "constant"


@pytest.mark.parametrize(
    "law",
    [power, lambda t: 100 + 10 * (t / STEPS) ** -1.0, lambda t: 100 + 200 * np.exp(-3 * t / STEPS)],
    ids=["slow", "quick", "exponential"],
)
def test_what_twice_the_length_gains_is_foretold(law):
    """At a constant rate the truth is the law itself."""
    gain = (law(STEPS) - law(2 * STEPS)) / law(STEPS)
    found = trend(curve(law, noise=0.003), "sse", None, "constant", STEPS)
    assert found.split == "val"
    assert gain / 1.5 < found.gain < gain * 1.5


@pytest.mark.parametrize("lr_schedule", NAMES)
def test_what_falls_with_the_learning_rate_alone_is_no_progress(lr_schedule):
    found = trend(curve(annealed(lr_schedule)), "sse", None, lr_schedule, STEPS)
    assert found.gain < FALLING
    assert trend(curve(power), "sse", None, lr_schedule, STEPS).gain > FALLING


def test_progress_is_judged_at_the_target_weight():
    """A swap of error for nats at the price of the weight is no progress."""
    steps = np.arange(1, 101) * 20
    rows = [
        {"step": int(s), "train/sse": 120 - s / 100, "train/kl": 10 + s / 50, "kl_weight": 0.5} for s in steps
    ]  # 20 less error for 40 nats
    assert trend(rows, "sse", 0.5, "constant", STEPS).gain == 0
    assert trend(rows, "sse", 0.1, "constant", STEPS).gain > FALLING
    for row in rows[:50]:
        row |= {"train/sse": 1000.0, "kl_weight": 0.1}  # under a warm-up: another objective
    assert trend(rows, "sse", 0.5, "constant", STEPS).gain == 0


def test_few_rows_tell_nothing():
    assert trend(curve(power, validations=4)[:5], "sse", None, "plateau", STEPS) is None
    assert trend([], "sse", None) is None


# --- run folders -----------------------------------------------------------------------------------------------------


def judged(folder, rows, lr_schedule="plateau"):
    """The study of a sweep whose run 0 has these rows, all of them this learning rate."""
    for path in folder.glob("00*/result.json"):
        result = json.loads(path.read_text())
        result["config"]["optimizer"]["lr_schedule"] = lr_schedule
        result["total_steps"] = result["steps"] = STEPS
        path.write_text(json.dumps(result))
        (path.parent / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = study.read([load_sweep(folder)])
    return found, [convergence(point, survey(found)) for point in found.points]


def with_kl(rows):
    """At beta 1 the objective stays what it was."""
    return [row | {key.replace("sse", "kl"): 10.0 for key in row if "sse" in key} | {"kl_weight": 1.0} for row in rows]


@pytest.fixture
def one(tmp_path):
    return write_sweep(tmp_path / "s", weights=(1.0,), autoencoder=False)


@pytest.mark.parametrize("lr_schedule", NAMES)
def test_a_run_at_rest_has_converged_whatever_its_learning_rate_does(one, lr_schedule):
    found, [known] = judged(one, with_kl(curve(annealed(lr_schedule))), lr_schedule)
    assert known.word == "converged"
    assert [finding.words for finding in judge(found)[found.points[0].id]][-1].endswith(
        "converged"
    ) or known.doubts == {}


def test_a_run_that_still_falls_is_unfinished(one):
    found, [known] = judged(one, with_kl(curve(power)))
    assert known.word == "unfinished"
    assert list(known.doubts) == ["falling"]
    [foretold] = re.findall(r"about ([\d.]+)\s*%", known.doubts["falling"][0])
    law = (power(STEPS) - power(2 * STEPS)) / (power(STEPS) + 10)
    assert law / 1.5 < float(foretold) / 100 < law * 1.5
    assert recommend(found, judge(found)).unconverged.keys() == {1.0}


def test_a_noisy_run_at_a_constant_rate_has_converged(one):
    _, [known] = judged(one, with_kl(curve(at_rest, noise=0.05)), "constant")
    assert known.word == "converged"


def test_overfitting_is_not_mended_by_more_training(one):
    rows = curve(power, held_out=lambda step: 150 + 30 * abs(step / STEPS - 0.1))
    found, [known] = judged(one, with_kl(rows))
    assert known.word == "overfitting"
    assert not recommend(found, judge(found)).in_doubt


def test_where_rows_are_few_a_run_is_only_balanced(one):
    _, [known] = judged(one, with_kl(curve(power)[::100]))
    assert known.word == "balanced"
    for path in one.glob("00*/evaluation.json"):
        path.unlink()
    _, [known] = judged(one, with_kl(curve(power)[::100]))
    assert known.word == "unknown"


@pytest.mark.parametrize(("law", "word"), [(at_rest, "stuck"), (power, "unfinished")])
def test_a_run_that_is_beaten_is_stuck_if_it_is_at_rest(tmp_path, law, word):
    folder = write_sweep(tmp_path / "s", weights=(3.0, 1.0, 0.5, 0.3), latent_dims=(64,), undertrained=(2,))
    rows = [row | {"kl_weight": 0.5} for row in with_kl(curve(law))]
    found, known = judged(folder, rows)
    assert known[2].word == word
    assert "beaten" in known[2].doubts
    if word == "stuck":
        assert [one.word for one in known] == ["converged", "converged", "stuck", "converged", "converged"]
        said = recommend(found, judge(found))
        assert (said.unconverged.keys(), said.stuck) == ({0.5}, {0.5})


def test_stuck_runs_are_begun_otherwise_and_unfinished_ones_go_on(tmp_path):
    folder = write_sweep(
        tmp_path / "s", weights=(1.0, 0.5, 0.3), latent_dims=(64,), undertrained=(1,), autoencoder=False
    )
    for law, what in ((at_rest, "some runs are stuck, try other seeds"), (power, "train longer")):
        found, _ = judged(folder, with_kl(curve(law)))
        verdicts = judge(found)
        said = answer(found, recommend(found, verdicts), verdicts)
        assert said.headline.endswith(f"; {what} to be sure.")
        assert ("seed=1,2" in said.next.command) == (law is at_rest)


@pytest.mark.parametrize(("gain", "factor"), [pytest.param(0.0, 3, id="another check fails"), (0.07, 2), (0.3, 4)])
def test_how_much_longer_is_foretold_by_the_runs_of_the_answer(tmp_path, gain, factor):
    """And not by an autoencoder beside them, which falls by half with every doubling."""
    folder = write_sweep(tmp_path / "s", weights=(1.0,))
    judged(folder, with_kl(curve(at_rest)))
    path = next(folder.glob("000-*/evaluation.json"))
    evaluation = json.loads(path.read_text())
    evaluation["train"]["beta_hat"] = 9.0  # its gradients do not balance
    path.write_text(json.dumps(evaluation))
    found = study.read([load_sweep(folder)])
    said = recommend(found, judge(found))
    [vae, autoencoder] = found.points
    for point, share in ((vae, gain), (autoencoder, 0.5)):
        known = said.convergence[point.id]
        said.convergence[point.id] = replace(known, trend=replace(known.trend, gain=share))
    assert f" trainer.max_steps={400 * factor} " in answer(found, said, judge(found)).next.command


def test_codes_out_of_scale_are_named_where_scaling_is_free(one):
    path = next(one.glob("000-*/evaluation.json"))
    data = json.loads(path.read_text())
    data["train"]["moment_second"] = 1.7
    path.write_text(json.dumps(data))
    _, [known] = judged(one, with_kl(curve(at_rest)))
    assert (known.word, list(known.doubts)) == ("unfinished", ["moments"])
    result = next(one.glob("000-*/result.json"))
    grid = json.loads(result.read_text())
    grid["config"]["model"] |= {"_target_": "vae_sweep.models.conv", "linear_path": True, "latent_grid": 8}
    result.write_text(json.dumps(grid))
    _, [known] = judged(one, with_kl(curve(at_rest)))
    assert known.word == "converged"
