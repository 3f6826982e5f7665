"""Verdicts, recommendation, words, comparisons: from sweeps whose truth is known."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweep import write_sweep

from vae_sweep.analysis import compare, study
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.confounds import confounds
from vae_sweep.analysis.gap import split_gap
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import linear_objective
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import load_sweep

WEIGHTS = (3.0, 1.0, 0.5, 0.1, 0.03)


def read(folder, **options) -> Study:
    return study.read([load_sweep(write_sweep(folder, **options))])


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rules_of(found: Study) -> dict[str, list[str]]:
    verdicts = judge(found)
    return {point.label: [finding.rule for finding in verdicts[point.id]] for point in found.points}


def headline(found: Study) -> str:
    return answer(found, recommend(found, judge(found))).headline


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "two-sizes"
    return read(folder, weights=WEIGHTS, latent_dims=(16, 64), seeds=(0, 1))


# --- study -----------------------------------------------------------------------------------------------------------


def test_points_come_large_weight_first_and_autoencoders_last(sweep):
    weights = [p.weight for p in sweep.points]
    known = [w for w in weights if w is not None]
    assert known == sorted(known, reverse=True)
    assert weights[-4:] == [None] * 4


def test_an_autoencoder_belongs_to_every_curve_of_its_network(tmp_path):
    found = read(tmp_path / "s", schedules=("constant", "linear"), latent_dims=(16, 64))
    assert len(found.families) == 4
    for family in found.families:
        [anchor] = found.autoencoders(family)
        assert ("model.latent_dim", str(anchor.latent_dim)) in family


def test_two_sweeps_on_the_same_data_are_one_study_and_on_others_are_refused(tmp_path):
    first, second = write_sweep(tmp_path / "a"), write_sweep(tmp_path / "b", weights=(0.5, 0.03))
    both = study.read([load_sweep(first), load_sweep(second)])
    assert [p.weight for p in both.points] == [1.0, 0.5, 0.1, 0.03, None, None]
    edit(second / "sweep.json", lambda m: m["data"].update(fingerprint="other"))
    with pytest.raises(RecordError, match="different data"):
        study.read([load_sweep(first), load_sweep(second)])


def test_spots_average_the_seeds(sweep):
    spot = spots(sweep)[(("model.latent_dim", "16"),)][0]
    values = [p.get("train", "sse") for p in sweep.points if p.weight == 3 and p.latent_dim == 16]
    assert spot.distortion == pytest.approx(np.mean(values))
    assert spot.distortion_sd == pytest.approx(np.std(values, ddof=1))


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_a_weight_above_the_collapse_threshold_is_called_collapsed(tmp_path):
    found = read(tmp_path / "s", weights=(40.0, 1.0, 0.3))
    assert found.forecast(found.points[0])["collapse_threshold"] < 40
    rules = rules_of(found)
    assert rules["kl_weight 40"][0] == "collapsed"
    assert "collapsed" not in rules["kl_weight 1"]
    [finding] = [f for f in judge(found)[found.points[0].id] if f.rule == "collapsed"]
    assert finding.words == "collapsed: 0/16 units active"
    assert any("above the data's collapse threshold" in value for _, value in finding.evidence)


def test_an_undertrained_run_is_beaten_at_its_own_objective_and_its_neighbours_are_not_blamed(tmp_path):
    found = read(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,), undertrained=(2,))
    blamed = {label for label, rules in rules_of(found).items() if {"beaten", "slope"} & set(rules)}
    assert blamed == {"kl_weight 0.5"}


def test_optima_are_blamed_for_nothing_but_generalisation(sweep):
    said = {rule for rules in rules_of(sweep).values() for rule in rules}
    assert said <= {"healthy", "overfits", "full", "no-prior"}


def test_gradients_that_do_not_cancel_are_named(tmp_path):
    folder = write_sweep(tmp_path / "s")
    run = next(folder.glob("001-*"))
    edit(run / "evaluation.json", lambda e: e["train"].update(beta_hat=1.6))
    found = study.read([load_sweep(folder)])
    assert "stationary" in rules_of(found)["kl_weight 0.5"]
    [finding] = [f for f in judge(found)[found.points[1].id] if f.rule == "stationary"]
    assert finding.words == "not converged: gradients balance at 3.2x beta"


def test_a_prior_that_misses_the_codes_is_named(tmp_path):
    folder = write_sweep(tmp_path / "s")
    edit(next(folder.glob("002-*")) / "evaluation.json", lambda e: e["val"].update(mmd2=0.1, hole_cycle_error=0.9))
    edit(next(folder.glob("001-*")) / "evaluation.json", lambda e: e["val"].update(mmd2=0.1))
    rules = rules_of(study.read([load_sweep(folder)]))
    assert "ae-like" in rules["kl_weight 0.1"]
    assert "ae-like" not in rules["kl_weight 0.5"]  # far from the prior, yet a draw of it survives as well as a code


def test_a_full_latent_is_named_where_the_spectrum_says_more_would_pay(sweep):
    rules = rules_of(sweep)
    values = sweep.forecast(sweep.points[0])["eigenvalues"]
    for point in sweep.points:
        if point.weight:
            pays = 2 * values[point.latent_dim] > point.weight
            assert ("full" in rules[point.label]) == pays


def test_failed_and_running_runs_are_judged_by_their_status_alone(tmp_path):
    rules = rules_of(read(tmp_path / "s", failed=(0,), running=(1,)))
    assert rules["kl_weight 1"] == ["failed"]
    assert rules["kl_weight 0.5"] == ["unfinished"]


def test_a_run_without_finite_numbers_diverged(tmp_path):
    folder = write_sweep(tmp_path / "s", without_evaluation=(0,))
    edit(next(folder.glob("000-*")) / "result.json", lambda r: r.update(metrics={"train/recon": None}))
    assert rules_of(study.read([load_sweep(folder)]))["kl_weight 1"] == ["diverged"]


def test_slopes_are_not_judged_where_the_objective_fixes_no_price(tmp_path):
    folder = write_sweep(tmp_path / "s", undertrained=(1,))
    for run in folder.glob("00*"):
        edit(run / "result.json", lambda r: r["config"]["loss"].update(free_bits=2.0))
    said = {rule for rules in rules_of(study.read([load_sweep(folder)])).values() for rule in rules}
    assert not said & {"beaten", "slope", "stationary"}


def test_a_run_behind_the_linear_model_is_named_and_the_linear_model_itself_is_not(tmp_path):
    found = read(tmp_path / "s", weights=(3.0, 0.5), latent_dims=(16,), undertrained=(1,))
    rules = rules_of(found)
    assert "behind-linear" not in rules["kl_weight 3"]
    assert "behind-linear" in rules["kl_weight 0.5"]
    assert "1 of 2 VAEs is behind a linear model" in " ".join(confounds(found, judge(found)))
    values, s2 = np.array(found.forecast(found.points[0])["eigenvalues"]), 1.5
    active = values[:16][values[:16] > s2]
    closed_form = s2 * len(active) + values.sum() - active.sum() + 3.0 * 0.5 * np.log(active / s2).sum()
    assert linear_objective(found, found.points[0]) == pytest.approx(closed_form, rel=0.005)
    assert linear_objective(found, found.points[-1]) is None  # an autoencoder has no weight


def test_an_autoencoder_that_loses_to_a_vae_has_not_converged(tmp_path):
    rules = rules_of(read(tmp_path / "s", undertrained=(3,)))
    assert rules["autoencoder"][0] == "beaten"


# --- recommendation and words ----------------------------------------------------------------------------------------


def test_a_bent_curve_gives_its_corner_with_the_agreement_of_the_seeds(sweep):
    found = recommend(sweep, judge(sweep))
    assert found.kind == "take"
    assert set(found.by_seed) == {0, 1}
    assert set(found.by_seed.values()) == {found.weight}
    said = answer(sweep, found)
    assert said.headline == f"Take kl_weight {found.weight:g}."
    assert " on training images (" in said.lead
    assert " dB held out)" in said.lead
    assert any(fact.value == "2/2 seeds" for fact in said.facts)
    likely = next(fact for fact in said.facts if fact.title == "Most likely pixels at")
    assert likely.words.endswith("below 0.03, the smallest you tried")
    assert len(said.questions) == 3


def test_the_larger_latent_is_recommended_only_where_it_helps(tmp_path):
    """Above 2 lambda_17 of the data a latent of 16 loses nothing: near ties go to the smaller."""
    found = read(tmp_path / "s", weights=(12.0, 9.0, 7.0), latent_dims=(16, 64))
    assert recommend(found, judge(found)).curve[0].points[0].latent_dim == 16


def test_a_curve_without_a_bend_says_go_below(tmp_path):
    assert (
        headline(read(tmp_path / "s", weights=(1.0, 0.7, 0.5), latent_dims=(64,)))
        == "Go below 0.5, the smallest you tried."
    )


def test_unconverged_runs_say_train_longer(tmp_path):
    found = read(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,), undertrained=(1, 2, 3))
    assert headline(found) == "So far kl_weight 0.03; train longer to be sure."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": (), "autoencoder": False}, "Nothing has been trained yet."),
        ({"failed": (0, 1, 2, 3)}, "All 4 runs failed."),
        ({"weights": (1.0,), "autoencoder": False, "failed": (0,)}, "The run failed."),
        ({"running": (0, 1, 2, 3)}, "No answer yet."),
        ({"without_result": (0, 1, 2, 3)}, "No answer yet."),
        ({"weights": ()}, "No weight to choose."),
        ({"weights": (0.5,)}, "Only kl_weight 0.5 has finished."),
        ({"weights": (1.0, 0.5)}, "So far 0.5 reconstructs best."),
    ],
)
def test_too_little_for_an_answer_is_said(tmp_path, options, said):
    assert headline(read(tmp_path / "s", **options)) == said


def test_results_without_evaluation_are_enough_for_an_answer(tmp_path):
    found = read(tmp_path / "s", weights=WEIGHTS, without_evaluation=tuple(range(6)))
    assert recommend(found, judge(found)).kind in ("take", "train_longer", "smaller")


def test_the_prices_of_the_third_question_are_differences_of_the_curve(sweep):
    found = recommend(sweep, judge(sweep))
    bought = answer(sweep, found).questions[2]
    a, b = found.curve[:2]
    assert bought.rows[0][0] == "3 → 1"
    assert float(bought.rows[0][3]) == pytest.approx((a.distortion - b.distortion) / (b.rate - a.rate), rel=0.01)
    assert "4 of 4" in bought.short


def test_confounds_are_named(tmp_path):
    folder = write_sweep(tmp_path / "s", autoencoder=False, failed=(0,))
    edit(next(folder.glob("001-*")) / "result.json", lambda r: r.update(steps=800))
    found = study.read([load_sweep(folder)])
    text = " ".join(confounds(found, judge(found)))
    for part in ("1 failed", "from 400 to 800", "One seed", "No autoencoder"):
        assert part in text


# --- gap, comparisons, table -----------------------------------------------------------------------------------------


def test_the_gap_adds_up_to_the_held_out_error(sweep):
    for point in sweep.points:
        found = split_gap(sweep, point)
        assert found is not None
        assert found.total == pytest.approx(point.get("val", "sse"))


def test_the_gap_of_a_linear_model_is_its_closed_form(tmp_path):
    """KL pressure: sum over active units of s2^2 / lambda, and lambda of those the weight left idle;
    sampling noise: sum over active units of s2 (1 - s2 / lambda)."""
    found = read(tmp_path / "s", weights=(3.0,), latent_dims=(16,))
    values, s2 = np.array(found.forecast(found.points[0])["eigenvalues"]), 1.5
    inside, active = values[:16], values[:16] > s2
    gap = split_gap(found, found.points[0])
    assert gap is not None
    assert gap.capacity == pytest.approx(values[16:].sum(), rel=0.02)  # 2 %: the runs' invented jitter
    pressure = (s2**2 / inside[active]).sum() + inside[~active].sum()
    assert gap.pressure == pytest.approx(pressure, abs=0.02 * values.sum())
    assert gap.sampling == pytest.approx((s2 * (1 - s2 / inside[active])).sum(), rel=0.05)


def test_without_an_autoencoder_the_smallest_weight_stands_for_it(tmp_path):
    found = read(tmp_path / "s", autoencoder=False)
    gap = split_gap(found, found.points[0])
    assert gap is not None
    assert gap.reference == "kl_weight 0.1, the smallest tried"


def test_a_larger_latent_helps_only_below_the_data_s_spectrum(sweep):
    found = compare.latent_sizes(sweep)
    assert found is not None
    assert found.values == [16, 64]
    words = {row.weight: row.words for row in found.rows}
    assert words[3.0].startswith("16 do")  # 2 lambda_17 < 3: the units beyond stay idle
    assert words[0.1].startswith("64 are worth it")


def test_schedules_that_end_alike_make_no_difference_and_one_that_does_not_is_named(tmp_path):
    options = {"weights": (1.0,), "schedules": ("constant", "linear"), "seeds": (0, 1)}
    same = compare.schedules(read(tmp_path / "same", **options))
    assert same is not None
    assert same.rows[0].words.endswith("no difference.")
    differs = compare.schedules(read(tmp_path / "differs", **options, undertrained=(1, 3)))
    assert differs is not None
    assert differs.rows[0].words.startswith("constant ends lowest, linear")


def test_the_csv_has_a_row_per_run_with_its_differing_settings_and_every_metric(sweep):
    rows = list(csv.DictReader(io.StringIO(summary_csv(sweep, judge(sweep)))))
    assert len(rows) == len(sweep.points)
    assert "optimizer.lr" not in rows[0]
    by_id = {row["id"]: row for row in rows}
    for point in sweep.points:
        for name in ("sse", "psnr_mean"):
            assert float(by_id[point.id][f"val/{name}"]) == point.get("val", name)
        assert by_id[point.id]["train/kl"] == ("" if point.autoencoder else repr(point.get("train", "kl")))


def test_a_bernoulli_sweep_is_judged_in_nats(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS)
    for run in folder.glob("0*"):
        edit(run / "result.json", lambda r: r["config"]["loss"].update(recon="bernoulli"))
        edit(run / "evaluation.json", lambda e: [e[s].update(recon=500 + e[s]["sse"]) for s in ("train", "val")])
    found = study.read([load_sweep(folder)])
    assert not found.squared_error
    assert found.mean_image_distortion(found.points[0]) is None
    assert found.points[0].distortion("train") == pytest.approx(500 + found.points[0].get("train", "sse"))
    result = recommend(found, judge(found))
    assert result.likelihood == (None, "within")
    assert "likelihood" in answer(found, replace(result)).questions[0].words[0]
