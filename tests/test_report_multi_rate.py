"""A model of all weights in the report: beside the separate runs, never among them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_sweep import write_sweep

from vae_sweep import report
from vae_sweep.analysis import multi_rate, study
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.one_model import taken_apart
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report import payload, plots
from vae_sweep.runs.reading import Run, load_sweep

WEIGHTS = (3.0, 1.0, 0.3, 0.1, 0.03)


def read(folder: Path) -> Study:
    return study.read([load_sweep(folder)])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("outputs") / "both", weights=WEIGHTS, multi_rate=0.02)


def test_objectives_are_compared_at_equal_weight(sweep: Path) -> None:
    (found,) = multi_rate.comparisons(read(sweep))
    assert [row.weight for row in found.rows] == list(WEIGHTS)
    for row in found.rows:
        assert row.difference == pytest.approx(0.02, abs=0.015)  # the separate runs' distortion is jittered by 0.4 %
        assert row.one_model == pytest.approx(row.separate * (1 + row.difference))
    assert "measured at 19 weights" in found.words  # 16 and three of WEIGHTS; 0.1 and 1 are among the 16
    assert "5 below took" in found.words


def test_it_is_no_run_of_one_weight(sweep: Path, tmp_path: Path) -> None:
    both, alone = read(sweep), read(write_sweep(tmp_path / "alone", weights=WEIGHTS))
    (one,) = both.multi_rate
    assert one.weight is None
    assert one.label.startswith("all weights")
    assert one.id not in {p.id for curve in spots(both).values() for s in curve for p in s.points}
    assert recommend(both, judge(both)).weight == recommend(alone, judge(alone)).weight
    assert len(both.families) == len(alone.families) == 1
    assert {f.rule for f in judge(both)[one.id]} <= {"healthy", "few-units", "overfits", "ae-like"}


def test_it_has_its_own_verdict_at_the_weights_of_the_separate_runs(tmp_path: Path) -> None:
    worse = read(write_sweep(tmp_path / "worse", weights=WEIGHTS, multi_rate=0.2))
    (one,) = worse.multi_rate
    (finding,) = (f for f in judge(worse)[one.id] if f.rule == "behind-separate")
    assert finding.grade == "warn"
    assert [name for name, _ in finding.evidence] == [f"objective at {weight:g}" for weight in WEIGHTS]
    assert all(re.search(r"(19|20|21)% above", value) for _, value in finding.evidence)
    assert not any(f.rule == "behind-separate" for p in worse.points if not p.multi_rate for f in judge(worse)[p.id])


def test_the_plane_has_its_curve(sweep: Path) -> None:
    both = read(sweep)
    verdicts = judge(both)
    data = payload.build(both, verdicts, survey(both), recommend(both, verdicts)).data
    for split in ("train", "val"):
        (curve,) = data["planes"][split]["multiRate"]
        weights, rates, distortions = zip(*curve["points"], strict=True)
        assert list(weights) == sorted(weights)
        assert list(rates) == sorted(rates, reverse=True)
        assert list(distortions) == sorted(distortions)
    assert plots.plot_rate_distortion(both) is not None


def test_the_page_shows_the_table(sweep: Path) -> None:
    page = report.build([sweep], figures=False).read_text()
    text = re.sub(r"<[^>]+>|\s+", " ", page)
    assert "One model for all weights" in text
    assert re.search(r"0\.03 +[\d.,]+ +[\d.,]+ +\+\d\.\d %", text)


def test_alone_it_answers_by_the_rules_of_separate_runs(tmp_path: Path) -> None:
    """The same closed forms, once as runs of their own and once as one model: the same weights for every purpose."""
    grid = tuple(sorted({*(float(f"{w:.3g}") for w in np.geomspace(0.01, 10, 16))}, reverse=True))
    apart = read(write_sweep(tmp_path / "apart", weights=grid, latent_dims=(64,)))
    folder = write_sweep(tmp_path / "only", weights=(1.0,), latent_dims=(64,), multi_rate=0.0, failed=(0,))
    only = read(folder)
    (compared,) = multi_rate.comparisons(only)
    assert not compared.rows
    assert "train some of them separately" in compared.words
    ours, theirs = recommend(only, judge(only)), recommend(apart, judge(apart))
    assert ours.one_model
    assert not theirs.one_model
    for name in ("reconstruct", "likelihood", "code"):
        assert ours.purposes[name].kl_weight == pytest.approx(theirs.purposes[name].kl_weight, rel=0.03), name
        assert ours.purposes[name].beyond == theirs.purposes[name].beyond
    said = answer(only, ours, judge(only))
    assert said.headline == f"To reconstruct, take KL weight {ours.weight:g}."
    assert said.lead.startswith("By the curve of one model for all weights")
    assert " model.multi_rate=true,false " in said.next.command
    report.build([folder], figures=False)


def test_the_curve_of_each_of_several_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = read(write_sweep(tmp_path / "both", weights=WEIGHTS, multi_rate=0.2))
    (point,) = one.multi_rate
    twins = [replace(point, run=replace(point.run, result={**point.run.result, "id": f"twin{k}"})) for k in range(3)]
    several, read_of = replace(one, points=[*one.points, *twins]), []
    monkeypatch.setattr(Run, "curve", lambda run, own=Run.curve: read_of.append(run.id) or own(run))
    verdicts = judge(several)
    found = multi_rate.comparisons(several)
    assert [c.point.id for c in found] == [p.id for p in several.multi_rate]
    assert all([row.weight for row in c.rows] == list(WEIGHTS) for c in found)
    assert len(found) == sum("behind-separate" in [f.rule for f in own] for own in verdicts.values()) == 4
    assert sorted(read_of) == sorted(p.id for p in several.multi_rate)


def test_two_weights_that_are_the_same_to_a_per_cent_are_no_two_seeds(tmp_path: Path) -> None:
    """As in folders where an even weight stands beside one of the sweep's: 0.3981 and 10 ** -0.4."""
    folder = write_sweep(tmp_path / "only", weights=(10**-0.4, 0.3981, 0.4), multi_rate=0.0, running=(0, 1, 2))
    (curve,) = spots(taken_apart(read(folder))).values()
    assert all(len(spot.points) == 1 for spot in curve)
    weights = np.array([spot.weight for spot in curve])
    assert len(weights) == 16
    assert (weights[:-1] / weights[1:]).min() > 1.01
    only = read(folder)
    lead = answer(only, recommend(only, judge(only)), judge(only)).lead
    assert "1 seed," in lead
    assert "seeds" not in lead


def test_without_a_curve_it_names_no_weight(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "only", weights=(1.0,), autoencoder=False, multi_rate=0.0, failed=(0,))
    (path,) = folder.glob("*/curve.json")
    path.write_text("{}")
    only = read(folder)
    assert answer(only, recommend(only, judge(only)), judge(only)).headline == "One model for all weights has finished."


def test_a_broken_curve_is_a_problem_of_its_run_alone(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "broken", multi_rate=0.0)
    (path,) = folder.glob("*/curve.json")
    path.write_text("{")
    found = read(folder)
    assert not multi_rate.comparisons(found)
    assert any("curve.json" in problem for p in found.points for problem in p.problems)
    report.build([folder], figures=False)
