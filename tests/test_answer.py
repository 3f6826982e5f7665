"""Verdicts, recommendation, words, comparisons: from sweeps whose truth is known."""

import csv
import io
import json

import numpy as np
import pytest
from marks import slow
from scipy import stats
from synthetic_sweep import write_sweep

from vae_sweep.analysis import compare, study
from vae_sweep.analysis.answer import Answer, answer
from vae_sweep.analysis.confounds import confounds
from vae_sweep.analysis.gap import split_gap
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.purposes import at_twice_the_length, quality, reconstructs_the_same
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import linear_objective
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.analysis.words import figure
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import load_sweep
from vae_sweep.theory.conventions import Sizes, from_sum

WEIGHTS = (3.0, 1.0, 0.5, 0.1, 0.03)
SPLITS = ("train", "val")


def read(folder, **options) -> Study:
    return study.read([load_sweep(write_sweep(folder, **options))])


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rules_of(found: Study) -> dict[str, list[str]]:
    verdicts = judge(found)
    return {point.label: [finding.rule for finding in verdicts[point.id]] for point in found.points}


def said_of(found: Study, purpose: str = "reconstruct") -> Answer:
    verdicts = judge(found)
    return answer(found, recommend(found, verdicts, purpose), verdicts)


def headline(found: Study) -> str:
    return said_of(found).headline


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "two-sizes"
    return read(folder, weights=WEIGHTS, latent_dims=(16, 64), seeds=(0, 1))


def test_unfinished_runs_that_cannot_change_the_weight_named_leave_no_doubt(tmp_path):
    """All of a gain off the error: 10 log10(SSE / (SSE - gain)) dB; a weight that may so come near is a doubt."""
    found = read(tmp_path / "s", weights=(10.0, 3.0, 1.0, 0.3, 0.1), latent_dims=(64,))
    [curve] = spots(found).values()
    named = recommend(found, judge(found)).weight
    larger = next(spot for spot in reversed(curve) if spot.weight > named)
    error, objective = (
        larger.mean("val", "sse_mean"),
        larger.mean("val", "sse") + larger.beta * larger.mean("val", "kl"),
    )
    for share in (0.01, 0.1):
        gained = at_twice_the_length(larger, share) - quality(larger)
        assert gained == pytest.approx(-10 * np.log10(1 - share * objective / error))
    assert reconstructs_the_same(found, curve, (), {larger.weight: 1e-4})
    as_good = error * (1 - 10 ** ((quality(larger) - quality(curve[-1])) / 10)) / objective
    assert not reconstructs_the_same(found, curve, (), {larger.weight: as_good})
    assert not reconstructs_the_same(found, curve, (), {larger.weight: np.inf})  # nobody can tell


def test_decibels_and_nats_of_one_sentence_are_of_the_same_images(tmp_path):
    found = read(tmp_path / "s", weights=(1.0, 0.3, 0.1, 0.03))
    [named] = [p for p in found.points if p.weight == recommend(found, judge(found)).weight]
    held_out, training = (named.get(split, "kl") for split in ("val", "train"))
    lead = said_of(found).lead
    assert f"at {figure(held_out)} nats per image" in lead
    assert figure(held_out) != figure(training)


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


def test_a_curve_says_which_weight_for_what_how_sure_and_what_next(sweep):
    found = recommend(sweep, judge(sweep))
    said = said_of(sweep)
    assert said.headline == f"To reconstruct, take KL weight {found.weight:g}."
    for part in (
        "on 60 held-out images",
        "short of the autoencoder",
        "as far as 2 seeds",
        "At stake between 3 and 0.03",
    ):
        assert part in said.lead
    assert [fact.title for fact in said.facts] == [
        "To reconstruct",
        "To sample",
        "By likelihood",
        "For a code to work on",
    ]
    assert said.facts[1].value == "0.5"  # where synthetic_sweep's blur and holes add up to least
    assert "Draws of the prior are nearest to held-out pictures at 0.5" in said.facts[1].in_full
    assert [fact.sure for fact in said.facts][:2] == ["between 0.1 and 0.5", "between 0.1 and 0.5"]
    assert " vae_sweep.run -m " in said.next.command
    assert said.next.command.endswith(" sweep=two-sizes")
    assert len(said.questions) == 3


def test_the_weight_to_reconstruct_is_the_closed_form_s(tmp_path):
    """Of the linear model's own held-out curve: the largest weight from which ten times less gains under 0.5 dB."""
    weights = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
    found = read(tmp_path / "s", weights=weights, latent_dims=(64,))
    decibels = {p.weight: p.get("val", "psnr_mean") for p in found.points}
    ends = [w for w in weights if w >= 0.03]
    worth = {w: decibels[w / 10 if w / 10 in decibels else min(weights, key=lambda x: abs(x - w / 10))] - decibels[w]
             for w in ends}  # fmt: skip
    largest = max(w for w in ends if all(worth[x] < 0.5 for x in ends if x <= w))
    purpose = recommend(found, judge(found)).purposes["reconstruct"]
    assert (purpose.kl_weight, purpose.beyond) == (largest, "within")
    assert purpose.low <= largest < purpose.high


def test_another_purpose_can_come_first(sweep):
    said = said_of(sweep, "likelihood")
    assert said.headline == "By likelihood, go below KL weight 0.03, the smallest you tried."
    assert said.facts[0].title == "By likelihood"
    assert said_of(sweep, "sample").headline == "To sample, take KL weight 0.5."
    with pytest.raises(ValueError, match="purpose=beauty: expected one of reconstruct"):
        recommend(sweep, judge(sweep), "beauty")


def test_the_likeliest_weight_is_that_of_ppca(tmp_path):
    """On training images the closed form's crossing is twice the mean of the discarded eigenvalues; held out, more."""
    found = read(tmp_path / "s", weights=(1.0, 0.3, 0.1, 0.03, 0.01, 0.003), latent_dims=(16,))
    values = np.array(found.forecast(found.points[0])["eigenvalues"])
    n = 24 * 24 * 3
    training = 2 * (values.sum() - values[:16].sum()) / (n - 16)
    purpose = recommend(found, judge(found)).purposes["likelihood"]
    assert purpose.beyond == "within"
    assert training < purpose.kl_weight < 1.5 * training
    assert purpose.low < purpose.kl_weight < purpose.high
    held_out = {p.weight: 2 * p.get("val", "mse") for p in found.points if p.weight}
    near = min(held_out, key=lambda w: abs(np.log(w / purpose.kl_weight)))
    assert held_out[near] == pytest.approx(purpose.kl_weight, rel=0.1)


def test_the_larger_latent_is_recommended_only_where_it_helps(tmp_path):
    """Above 2 lambda_17 of the data a latent of 16 loses nothing: near ties go to the smaller."""
    found = read(tmp_path / "s", weights=(12.0, 9.0, 7.0), latent_dims=(16, 64))
    assert recommend(found, judge(found)).curve[0].points[0].latent_dim == 16


def test_what_gains_to_the_end_says_go_below_and_obeying_it_never_leads_back_above(tmp_path):
    weights = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    ends = []
    for number in range(3, len(weights) + 1):
        folder = tmp_path / str(number)
        found = read(folder, weights=weights[:number], latent_dims=(64,), autoencoder=False)
        purpose = recommend(found, judge(found)).purposes["reconstruct"]
        ends.append((purpose.beyond, purpose.kl_weight))
    assert ends[0] == ("below", 1.0)
    assert [weight for _, weight in ends] == sorted((weight for _, weight in ends), reverse=True)
    assert ends[-1][0] == "within"


def test_a_range_worth_nothing_has_no_answer(tmp_path):
    found = read(tmp_path / "s", weights=(0.01, 0.005, 0.001), latent_dims=(16,))
    assert headline(found) == "To reconstruct, the weight does not matter here."
    assert recommend(found, judge(found)).purposes["reconstruct"].gain_db < 0.005


def test_a_collapsed_run_changes_nothing(tmp_path):
    plain = read(tmp_path / "a", weights=(3.0, 1.0, 0.3, 0.1, 0.03), latent_dims=(64,))
    with_collapsed = read(tmp_path / "b", weights=(300.0, 60.0, 3.0, 1.0, 0.3, 0.1, 0.03), latent_dims=(64,))
    one, other = (recommend(found, judge(found)) for found in (plain, with_collapsed))
    assert [s.weight for s in other.idle] == [300, 60]
    for name in ("reconstruct", "likelihood", "code"):
        a, b = one.purposes[name], other.purposes[name]
        assert a.kl_weight == pytest.approx(b.kl_weight, rel=0.01)  # the runs' invented jitter
        assert a.beyond == b.beyond
    assert "Left out, for their code carries nothing: 300 and 60." in said_of(with_collapsed).lead


def test_all_collapsed_recommends_nothing(tmp_path):
    found = read(tmp_path / "s", weights=(100.0, 60.0))
    said = said_of(found)
    assert said.headline == "Nothing was learned: every code is ignored."
    assert said.facts == []
    threshold = found.forecast(found.points[0])["collapse_threshold"]
    assert f"stable solution above {threshold:.3g}" in said.lead
    tried = [float(w) for w in said.next.command.partition("loss.kl_weight=")[2].split()[0].split(",")]
    assert max(tried) < threshold


def test_a_constant_code_is_not_collapse_and_recommends_nothing(tmp_path):
    """CASES.md: every image has the same code away from the prior, KL of 7 to 17 nats, no unit active."""
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1, 0.01), autoencoder=False)
    for run, nats in zip(sorted(folder.glob("00*")), (0.7, 7.4, 14.5), strict=True):
        constant = {"kl": nats, "active_units": 0, "mi_leave_in": 0.0, "mi_leave_one_out": 0.0}
        edit(run / "evaluation.json", lambda e, c=constant: [e[split].update(c) for split in ("train", "val")])
    found = study.read([load_sweep(folder)])
    assert {rules[0] for rules in rules_of(found).values()} == {"constant"}
    said = said_of(found)
    assert said.headline == "Nothing was learned yet: every code is constant."
    assert "0.7 to 14.5 nats" in said.lead
    assert "trainer.max_steps=1200" in said.next.command


def test_a_useless_run_among_good_ones_is_left_out(tmp_path):
    weights = (3.0, 1.0, 0.3, 0.1, 0.03)
    folder = write_sweep(tmp_path / "s", weights=weights, latent_dims=(64,))
    before = recommend(found := study.read([load_sweep(folder)]), judge(found)).purposes["reconstruct"]
    useless = {"kl": 9.0, "active_units": 0, "psnr_mean": 8.0, "psnr": 8.0, "sse": 300.0}
    edit(next(folder.glob("004-*")) / "evaluation.json", lambda e: [e[s].update(useless) for s in ("train", "val")])
    found = study.read([load_sweep(folder)])
    after = recommend(found, judge(found))
    assert [s.weight for s in after.idle] == [0.03]
    assert after.purposes["reconstruct"].kl_weight == before.kl_weight


def test_runs_behind_the_linear_model_reach_the_lead(tmp_path):
    found = read(tmp_path / "s", weights=(3.0, 1.0, 0.3), latent_dims=(16,), undertrained=(0, 1, 2))
    assert "All weights are behind a linear model" in said_of(found).lead


def test_interrupted_runs_go_on_before_anything_else_is_advised(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(3.0, 1.0, 0.3, 0.1), latent_dims=(64,), autoencoder=False)
    assert headline(study.read([load_sweep(folder)])).endswith("go below KL weight 0.1, the smallest you tried.")
    for run in folder.glob("003-*"):
        edit(run / "result.json", lambda result: result.update(status="interrupted"))
    said = said_of(study.read([load_sweep(folder)]))
    assert said.headline == "To reconstruct, go below KL weight 0.3, the smallest that has finished."
    assert said.next.command.endswith(" vae_sweep.run -m loss.kl_weight=3,1,0.3,0.1 sweep=s")  # as it was typed


def test_unconverged_runs_say_train_longer(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,))
    for run in folder.glob("00[0-3]*"):
        edit(run / "evaluation.json", lambda e: e["train"].update(beta_hat=100.0))
    said = said_of(study.read([load_sweep(folder)]))
    assert said.headline.startswith("So far: to reconstruct, ")
    assert said.headline.endswith("; train longer to be sure.")
    assert "4 of 5 weights have not converged" in said.lead
    assert said.next.command.endswith("loss.kl_weight=3,1,0.5,0.1,0.03 trainer.max_steps=1200 sweep=s")
    assert "begin again" in said.next.words  # a cosine
    for run in folder.glob("00*/result.json"):
        edit(run, lambda r: r["config"]["optimizer"].update(lr_schedule="wsd"))
    assert "go on from step 320" in said_of(study.read([load_sweep(folder)])).next.words


def test_controllers_have_no_weight_to_choose(tmp_path):
    folder = write_sweep(tmp_path / "s", autoencoder=False)
    for run in folder.glob("00*"):
        edit(
            run / "result.json", lambda r: r["config"].update(kl_schedule={"_target_": "vae_sweep.schedules.capacity"})
        )
    said = said_of(study.read([load_sweep(folder)]))
    assert said.headline == "No weight to choose: a target is given instead."
    assert "capacity" in said.lead


def test_a_controller_that_is_done_is_no_answer_while_weights_train(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1, 0.01), autoencoder=False, running=(1, 2))
    [run] = folder.glob("000-*")
    edit(
        run / "result.json",
        lambda r: r["config"].update(kl_schedule={"_target_": "vae_sweep.schedules.controllers.Geco"}),
    )
    assert said_of(study.read([load_sweep(folder)])).headline == "No answer yet."


def test_a_network_with_one_finished_run_does_not_take_the_answer(tmp_path):
    options = {"weights": (1.0, 0.3, 0.1, 0.03, 0.01), "autoencoder": False}
    alone = read(tmp_path / "alone", latent_dims=(8,), **options)
    begun = read(tmp_path / "begun", latent_dims=(8, 32), running=(5, 6, 7, 8), **options)
    assert headline(begun) == headline(alone)
    one_each = read(tmp_path / "one", latent_dims=(8, 32), running=(0, 1, 2, 3, 5, 6, 7, 8), **options)
    assert headline(one_each) == "No network has finished more than one KL weight; the best one 0.01."


def test_sampled_codes_are_not_compared_with_decoded_means(tmp_path):
    """The PSNR of a run that was not evaluated is of sampled codes: at large weights decibels below its means'."""
    without = read(tmp_path / "without", weights=(4.0, 1.0, 0.3, 0.1, 0.03), without_evaluation=(1,))
    untried = read(tmp_path / "untried", weights=(4.0, 0.3, 0.1, 0.03))
    found, expected = (recommend(s, judge(s)).purposes["reconstruct"] for s in (without, untried))
    assert (found.kl_weight, found.high) == (expected.kl_weight, expected.high)
    assert found.high == 4
    assert any("not been evaluated (kl_weight 1)" in said for said in confounds(without, judge(without)))
    assert not any("evaluated" in said for said in confounds(untried, judge(untried)))


@pytest.mark.parametrize("apart", [0.01, 0.03, 0.2])
def test_seeds_at_some_weights_alone_have_an_interval(tmp_path, apart):
    """One degree of freedom: the sd may be many times what was seen, and no squared error is below zero for it."""
    folder = write_sweep(
        tmp_path / "s", weights=(1.0, 0.1, 0.01), seeds=(0, 1), failed=(3, 5), steps=60, autoencoder=False
    )
    for path in folder.glob("*/evaluation.json"):
        if json.loads((path.parent / "result.json").read_text())["config"]["seed"] == 1:
            edit(path, lambda e: [e[s].update({k: e[s][k] * (1 + apart) for k in ("sse", "mse")}) for s in SPLITS])
    found = study.read([load_sweep(folder)])
    likelihood = recommend(found, judge(found)).purposes["likelihood"]
    ends = [end for end in (likelihood.low, likelihood.high) if end is not None]
    assert np.isfinite(ends).all()
    assert all(end > 0 for end in ends)


def test_of_a_controller_and_weights_the_weights_are_judged(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, schedules=("constant", "geco"), latent_dims=(64,))
    found = study.read([load_sweep(folder)])
    assert all(p.schedule == "constant" for s in recommend(found, judge(found)).curve for p in s.points)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": (), "autoencoder": False}, "Nothing has been trained yet."),
        ({"failed": (0, 1, 2, 3)}, "All 4 runs failed."),
        ({"weights": (1.0,), "autoencoder": False, "failed": (0,)}, "The run failed."),
        ({"running": (0, 1, 2, 3)}, "No answer yet."),
        ({"without_result": (0, 1, 2, 3)}, "No answer yet."),
        ({"weights": ()}, "No weight to choose."),
        ({"weights": (0.5,)}, "Only KL weight 0.5 has finished."),
        ({"weights": (1.0, 0.5), "autoencoder": False}, "To reconstruct, KL weight 1 or less."),
    ],
)
def test_too_little_for_an_answer_is_said(tmp_path, options, said):
    assert headline(read(tmp_path / "s", **options)) == said


@pytest.mark.parametrize("reduction", ["normalised", *slow("mean_pixels", "half_sum", "mean_pixels_latents")])
def test_exact_optima_give_the_same_answer_under_every_reduction(tmp_path, reduction):
    """The linear model's optimum at beta, with the weight that stands for it: same purposes in beta, same verdicts."""
    plain = write_sweep(tmp_path / "plain", weights=WEIGHTS, latent_dims=(64,))
    other = write_sweep(tmp_path / "other", weights=WEIGHTS, latent_dims=(64,))
    sizes = Sizes(24 * 24 * 3, 64, 64)
    for run in other.glob("00*"):

        def convert(r):  # fmt: skip
            weight = from_sum(r["config"]["loss"]["kl_weight"], reduction, sizes)
            r["config"]["loss"].update(kl_weight=weight, reduction=reduction)

        edit(run / "result.json", convert)  # fmt: skip
    found = [study.read([load_sweep(folder)]) for folder in (plain, other)]
    one, two = (recommend(f, judge(f)) for f in found)
    for name in ("reconstruct", "likelihood", "code"):
        a, b = one.purposes[name], two.purposes[name]
        assert a.beta == pytest.approx(b.beta)
        assert b.kl_weight == pytest.approx(from_sum(b.beta, reduction, sizes))
        assert a.beyond == b.beyond
    assert {tuple(r) for r in rules_of(found[0]).values()} == {tuple(r) for r in rules_of(found[1]).values()}
    assert not {"stationary", "beaten", "slope"} & {rule for rules in rules_of(found[1]).values() for rule in rules}


@pytest.mark.parametrize("recon", ["bernoulli", *slow("gaussian", "optimal_sigma", "laplace")])
def test_exact_optima_are_called_converged_under_every_likelihood(tmp_path, recon):
    """In nats the encoder's gradients balance at the weight itself, whatever the noise is."""
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,))
    plain = study.read([load_sweep(write_sweep(tmp_path / "plain", weights=WEIGHTS, latent_dims=(64,)))])
    n = 24 * 24 * 3
    for run in folder.glob("00*"):
        own = json.loads((run / "result.json").read_text())["config"]["loss"]["kl_weight"]
        sigma2 = 0.02 if recon == "gaussian" else own / 2
        weight = own / (2 * sigma2)  # nats of code per nat of error

        def convert(r, weight=weight):
            r["config"]["loss"].update(recon=recon, kl_weight=weight, scale=0.02**0.5)

        def in_nats(e, own=own, sigma2=sigma2, weight=weight):
            for split in ("train", "val"):
                nats = e[split]["sse"] / (2 * sigma2) + n / 2 * np.log(2 * np.pi * sigma2)
                e[split].update(recon=nats)
                if "beta_hat" in e[split]:
                    e[split].update(beta_hat=e[split]["beta_hat"] / own * weight, implied_sigma=(own / 2) ** 0.5)

        if recon in ("gaussian", "optimal_sigma"):
            edit(run / "result.json", convert)
            edit(run / "evaluation.json", in_nats)
        else:  # the same curve, its distortion in nats: of a density shifted below zero
            shift = -9000.0 if recon == "laplace" else 500.0
            edit(run / "result.json", lambda r: r["config"]["loss"].update(recon=recon))
            edit(
                run / "evaluation.json",
                lambda e, s=shift: [e[x].update(recon=s + e[x]["sse"]) for x in ("train", "val")],
            )
    found = study.read([load_sweep(folder)])
    said = {rule for rules in rules_of(found).values() for rule in rules}
    assert not said & {"stationary", "beaten", "slope", "falling"}
    if recon == "optimal_sigma":  # every run has weight 1: one weight, several noises
        return
    one, two = (recommend(f, judge(f)).purposes["reconstruct"] for f in (plain, found))
    assert (one.beyond, one.gain_db) == (two.beyond, two.gain_db)
    assert one.spot.distortion == pytest.approx(two.spot.mean("train", "sse"))


def test_results_without_evaluation_are_enough_for_an_answer(tmp_path):
    found = read(tmp_path / "s", weights=WEIGHTS, without_evaluation=tuple(range(6)))
    assert recommend(found, judge(found)).purposes["reconstruct"].kl_weight in WEIGHTS


def test_the_prices_of_the_third_question_are_differences_of_the_curve(sweep):
    found = recommend(sweep, judge(sweep))
    bought = said_of(sweep).questions[2]
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
    assert gap.reference == "KL weight 0.1, the smallest tried"


def test_a_larger_latent_helps_only_below_the_data_s_spectrum(sweep):
    found = compare.latent_sizes(sweep)
    assert found is not None
    assert found.values == [16, 64]
    words = {row.weight: row.words for row in found.rows}
    assert words[3.0].startswith("16 do")  # 2 lambda_17 < 3: the units beyond stay idle
    assert words[0.1].startswith("64 are worth it")


@pytest.mark.parametrize("recon", ["sse", "laplace"])
def test_a_pair_of_sizes_is_judged_by_the_spread_of_all_levels(tmp_path, recon, monkeypatch):
    """Beside a t test written out: the variance pooled over all levels, each in shares of its scale."""
    grid = {"weights": (1.0, 0.1), "latent_dims": (2, 4, 8), "seeds": (0, 1, 2)}
    folder = write_sweep(tmp_path / "s", **grid, autoencoder=False, image_size=8, steps=8)
    for path in folder.glob("*/result.json"):
        edit(path, lambda r: r["config"]["loss"].update(recon=recon))
    found, calls = study.read([load_sweep(folder)]), []
    whole = max(p.distortion("train") for p in found.done) - min(p.distortion("train") for p in found.done)
    monkeypatch.setattr(Study, "scale", lambda *given, own=Study.scale: calls.append(given) or own(*given))
    judged = compare.Judge(found, "val", compare._levels(found, "model.latent_dim", "val"))
    levels = list({id(level): level for pair in judged.pairs for level in pair}.values())
    assert (len(judged.pairs), len(levels), len(calls)) == (6, 6, 6)  # the scale of each level is asked for once
    for (a, b), p in zip(judged.pairs, judged.ps, strict=True):
        units = [whole if recon != "sse" else (a if level is b else level).loss for level in levels]
        variance = np.mean([np.var(level.losses, ddof=1) / unit**2 for level, unit in zip(levels, units, strict=True)])
        t = (b.loss - a.loss) / units[levels.index(a)] / np.sqrt(variance * 2 / 3)
        assert p == pytest.approx(2 * stats.t.sf(abs(t), 12), rel=1e-9)


def test_the_range_of_a_density_s_distortions_is_looked_for_once(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path / "s")
    for path in folder.glob("*/result.json"):
        edit(path, lambda r: r["config"]["loss"].update(recon="laplace"))
    found, calls = study.read([load_sweep(folder)]), []
    known = [p.distortion(found.split) for p in found.done]
    monkeypatch.setattr(Point, "distortion", lambda *given, own=Point.distortion: calls.append(given) or own(*given))
    assert {found.scale(p, 5.0) for p in found.points} == {max(known) - min(known)}
    assert len(calls) == len(known)


def test_spots_are_averaged_once_for_each_split(sweep):
    assert spots(sweep) is spots(sweep, sweep.split)
    assert spots(sweep, "val") is not spots(sweep, "train")


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
    assert "likelihood" in said_of(found).questions[0].words[0]
    bound = max(WEIGHTS, key=lambda w: next(p.get("val", "elbo_beta1") for p in found.points if p.weight == w))
    assert recommend(found, judge(found)).purposes["likelihood"].kl_weight == bound
