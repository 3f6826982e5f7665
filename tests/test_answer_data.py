"""The answer as data: what is written, what is read back, and that the page, the terminal and the notebook agree."""

import json
from html import unescape

import numpy as np
import pytest
from synthetic_sweep import write_sweep

import vae_sweep
from vae_sweep import report
from vae_sweep.analysis import choice, convergence, study
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.answered import answer_of
from vae_sweep.analysis.purposes import NAMES
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.survey import linear_objective
from vae_sweep.analysis.verdicts import judge
from vae_sweep.analysis.words import figure
from vae_sweep.report import plots
from vae_sweep.report.__main__ import main
from vae_sweep.report.intervals import intervals
from vae_sweep.runs.reading import load_sweep
from vae_sweep.theory import first_look

WEIGHTS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("outputs") / "s", weights=WEIGHTS, latent_dims=(64,))
    index = report.build([folder], figures=False)
    return folder, index.read_text(), json.loads((index.parent / "answer.json").read_text())


def test_the_keys_are_those_that_the_documentation_names(built):
    _, _, data = built
    keys = "schema sweep kind front headline lead points brief purposes samplers runs convergence next"
    assert set(data) == set(keys.split())
    assert set(data["purposes"]) == set(NAMES)
    keys = {"kl_weight", "beta", "low", "high", "beyond", "gain_db", "gain_nats", "why"}
    for purpose in data["purposes"].values():
        assert set(purpose) == keys
        assert purpose["beyond"] in {"below", "above", "within", "indifferent", None}
    assert set(data["next"]) == {"words", "command", "elsewhere"}


def test_what_is_read_back_is_what_the_rules_say(built):
    folder, _, data = built
    found = study.read([load_sweep(folder)])
    decibels = {p.weight: p.get("val", "psnr_mean") for p in found.points}
    anchor = decibels.pop(None)
    expected = choice.reconstruct(list(decibels), list(decibels.values()), anchor)
    purpose = data["purposes"]["reconstruct"]
    assert (purpose["kl_weight"], purpose["beyond"]) == (expected.weight, expected.beyond)
    assert purpose["gain_db"] == pytest.approx(max(decibels.values()) - min(decibels.values()))
    assert data["runs"] == [p.id for p in found.points if p.weight == expected.weight]
    # Of the synthetic runs, whose blur is 0.3 sqrt(w) and whose holes are 0.08 / sqrt(w), known to a tenth: these
    # outweigh it below 0.24. Their sum is least at 0.27.
    whole = [w for w in WEIGHTS if w > 0.24]
    nearest = min(whole, key=lambda w: 0.3 * w**0.5 + 0.08 / w**0.5)
    assert data["samplers"]["prior"]["torn"].keys() == {f"{w:g}" for w in WEIGHTS if w not in whole}
    assert data["purposes"]["sample"]["kl_weight"] == data["samplers"]["prior"]["kl_weights"][0] == nearest
    n, likeliest = 24 * 24 * 3, data["purposes"]["likelihood"]
    nearest = min(WEIGHTS, key=lambda w: abs(np.log(w / likeliest["beta"])))
    mse = next(p.get("val", "sse") for p in found.points if p.weight == nearest) / n
    assert likeliest["beta"] == pytest.approx(2 * mse, rel=0.2)


def test_page_terminal_summary_and_notebook_say_the_same(built, capsys):
    folder, page, data = built
    assert data["headline"] in page
    said = answer_of([folder])
    assert (said.headline, list(said.points)) == (data["headline"], data["points"])
    assert data["lead"] == " ".join(data["points"])
    text = " ".join(unescape(page).split())
    assert all(point in text for point in data["points"])  # shown or folded, none is lost
    assert data["headline"] in (folder / "report" / "summary.md").read_text().replace("\\", "")
    assert vae_sweep.load(folder).answer == data
    assert main([str(folder), "--no-figures", "report.purpose=likelihood"]) == 0
    other = json.loads((folder / "report" / "answer.json").read_text())
    assert other["front"] == "likelihood"
    assert other["headline"].startswith("By likelihood, ")
    assert other["headline"] in capsys.readouterr().out
    assert other["purposes"] == data["purposes"]


def test_the_weight_elsewhere_is_what_the_conventions_say(built):
    _, _, data = built
    beta, n, d = data["purposes"]["reconstruct"]["beta"], 24 * 24 * 3, 64
    elsewhere = {formula: float(w) for formula, w in data["next"]["elsewhere"].items()}
    assert elsewhere["SSE / 2 + w KL"] == pytest.approx(beta / 2, rel=0.01)
    assert elsewhere["SSE / n + w KL"] == pytest.approx(beta / n, rel=0.01)
    assert elsewhere["SSE / n + w KL / d"] == pytest.approx(beta * d / n, rel=0.01)


def with_images(folder, sd_db: float, rng: np.random.Generator) -> None:
    """PSNR of 60 held-out images per run: the images' own spread, shared by all runs, and a little of each run's."""
    shared = rng.normal(0, sd_db, 60)
    for run in folder.glob("0*"):
        values = json.loads((run / "evaluation.json").read_text())["val"]["psnr_mean"]
        own = shared - shared.mean() + rng.normal(0, 0.01, 60)
        with np.load(run / "evaluation.npz") as arrays:
            kept = dict(arrays)
        np.savez(run / "evaluation.npz", **kept, val_image_psnr_mean=(values + own).astype(np.float32))


def test_what_all_images_share_does_not_widen_the_interval(tmp_path):
    """The comparison is paired: pictures that are hard for every run say nothing of which weight is better."""
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,))
    with_images(folder, 5.0, np.random.default_rng(0))
    found = study.read([load_sweep(folder)])
    purpose = recommend(found, judge(found)).purposes["reconstruct"]
    above = min(w for w in WEIGHTS if w > purpose.kl_weight)
    assert purpose.low >= min(w for w in WEIGHTS if w >= purpose.kl_weight / 3.5)
    assert purpose.high <= min(w for w in WEIGHTS if w >= above)


def test_the_linear_model_stands_beside_the_runs(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1), latent_dims=(16,))
    found = study.read([load_sweep(folder)])
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
    arrays = {"originals": originals, "linear": np.stack([originals, originals])[None], "latent_dims": np.array([16])}
    np.savez(folder / first_look.file_name(found.points[0].data), **arrays, betas=np.array([1.0, 0.1]))
    page = report.build([folder], figures=False).read_text()
    assert "What a linear VAE makes of the same images" in page
    assert page.count('alt="1: ') + page.count('alt="0.1: ') >= 1
    (folder / first_look.file_name(found.points[0].data)).write_bytes(b"torn")
    assert "What a linear VAE makes" not in report.build([folder], figures=False).read_text()


def judged_by_samples(folder, prior: dict[float, float]) -> None:
    """What evaluation says of samples: distance of the prior's draws to pictures, per weight, with its interval."""
    for run in folder.glob("0*"):
        weight = json.loads((run / "result.json").read_text())["config"]["loss"]["kl_weight"]
        row = {"value": prior[weight], "low": prior[weight] - 0.05, "high": prior[weight] + 0.05}
        values = json.loads((run / "evaluation.json").read_text())
        values["samples"] = {"images": 60, "distances": {"random_conv": {"cubic": {"prior": row}}}}
        (run / "evaluation.json").write_text(json.dumps(values))


def test_samples_that_were_judged_fill_their_purpose(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,), autoencoder=False)
    judged_by_samples(folder, dict(zip(WEIGHTS, (0.3, 0.28, 0.6, 1.0, 2.0, 2.4), strict=True)))
    report.build([folder], figures=False)
    data = json.loads((folder / "report" / "answer.json").read_text())
    sample, reconstruct = data["purposes"]["sample"], data["purposes"]["reconstruct"]
    assert (sample["kl_weight"], sample["low"], sample["high"], sample["beyond"]) == (1.0, 0.3, 1.0, "within")
    assert reconstruct["kl_weight"] < 1
    assert (
        "No weight both reconstructs and samples: draws from the prior come nearest to pictures at 1, " in data["lead"]
    )
    judged_by_samples(folder, dict(zip(WEIGHTS, (3.0, 2.0, 1.0, 0.3, 0.31, 0.9), strict=True)))
    report.build([folder], figures=False)
    data = json.loads((folder / "report" / "answer.json").read_text())
    assert (data["purposes"]["sample"]["kl_weight"], data["purposes"]["sample"]["beyond"]) == (0.03, "within")
    assert (
        "the prior's draws, too, are as near to pictures as any run's, by textures, edges and layout." in data["lead"]
    )


def test_the_small_axes_place_every_purpose_among_the_weights_tried(built):
    """In equal ratios: 3 to 0.01 are 2.48 decades. What the sentences say lies where the bars do."""
    folder, _, data = built
    found = recommended(folder)
    drawn = intervals(found, WEIGHTS)
    assert (drawn.largest, drawn.smallest) == (3.0, min(0.01, data["purposes"]["likelihood"]["kl_weight"]))
    decades = np.log10(drawn.largest / drawn.smallest)
    for name, strip in drawn.by_purpose.items():
        purpose = data["purposes"][name]
        assert strip.ticks == pytest.approx([100 * np.log10(3 / w) / decades for w in WEIGHTS], abs=0.01)
        assert strip.dot == pytest.approx(100 * np.log10(3 / purpose["kl_weight"]) / decades, abs=0.01)
        assert strip.colour == (WEIGHTS.index(purpose["kl_weight"]) if purpose["kl_weight"] in WEIGHTS else None)
        assert strip.bar[0] <= strip.dot <= strip.bar[1]
        assert ("left" in strip.opens, "right" in strip.opens) == (purpose["high"] is None, purpose["low"] is None)
    [fact] = [fact for fact in answer_of([folder]).facts if fact.name == "likelihood"]
    assert all(figure(data["purposes"]["likelihood"][end], 2) in fact.sure for end in ("low", "high"))


# --- cases -----------------------------------------------------------------------------------------------------------


def edit(path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def recommended(folder):
    found = study.read([load_sweep(folder)])
    return recommend(found, judge(found))


def test_of_mixed_likelihoods_the_one_that_reconstructs_best_is_named(tmp_path):
    """Decibels of decoded means are one yardstick for all: the family with 3 dB more, whatever its own unit."""
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(16, 64), autoencoder=False)
    for run in sorted(folder.glob("0*"))[: len(WEIGHTS)]:  # those of 16 latents
        edit(run / "result.json", lambda r: r["config"]["loss"].update(recon="bernoulli"))
        edit(run / "evaluation.json", lambda e: [e[s].update(recon=500 + e[s]["sse"]) for s in ("train", "val")])
    found = recommended(folder)
    assert {p.latent_dim for s in found.curve for p in s.points} == {64}
    assert {p.likelihood.name for s in found.curve for p in s.points} == {"sse"}
    plain = recommended(write_sweep(tmp_path / "plain", weights=WEIGHTS, latent_dims=(64,), autoencoder=False))
    ours, theirs = found.purposes["likelihood"], plain.purposes["likelihood"]
    assert ours.kl_weight == pytest.approx(theirs.kl_weight, rel=0.02)  # twice the MSE, to the runs' invented jitter
    verdicts = judge(both := study.read([load_sweep(folder)]))
    first, _, third = answer(both, found, verdicts).questions
    assert "bound of a model with its own pixel noise" in first.words[0]
    assert [float(row[4]) for row in first.rows] == pytest.approx([(w / 2) ** 0.5 for w in WEIGHTS], rel=0.01)
    assert "how much squared error the model gives up" in third.words[0]
    assert {p.latent_dim for p in both.points if linear_objective(both, p)} == {64}


def test_of_noise_that_the_weight_sets_without_a_crossing_the_bound_of_its_own_model_decides(tmp_path):
    """Laplace pixels: the bound at weight 1 is the largest at weight 1, whatever the images are."""
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, autoencoder=False)
    own = dict(zip(WEIGHTS, (1, 2, 3, 4, 5, 4.5), strict=True))
    at_1 = dict(zip(WEIGHTS, (8, 9, 8, 7, 6, 5), strict=True))
    for run in folder.glob("0*"):
        weight = json.loads((run / "result.json").read_text())["config"]["loss"]["kl_weight"]
        edit(run / "result.json", lambda r: r["config"]["loss"].update(recon="laplace"))
        edit(run / "evaluation.json", lambda e, w=weight: e["val"].update(elbo=own[w], elbo_beta1=at_1[w]))
    purpose = recommended(folder).purposes["likelihood"]
    assert (purpose.kl_weight, purpose.beyond) == (0.03, "within")
    assert "of its own model" in purpose.why


def with_decibels(folder, decibels: dict[float, float]):
    for run in folder.glob("0*"):
        weight = json.loads((run / "result.json").read_text())["config"]["loss"]["kl_weight"]
        edit(run / "evaluation.json", lambda e, db=decibels[weight]: e["val"].update(psnr_mean=db))
    found = study.read([load_sweep(folder)])
    verdicts = judge(found)
    return answer(found, recommend(found, verdicts), verdicts)


@pytest.mark.parametrize(
    ("decibels", "named", "words"),
    [
        pytest.param({1.0: 20, 0.1: 25, 0.01: 22}, 0.1, None, id="0.01 overfits by 3 dB"),
        pytest.param(
            {10.0: 15, 1.0: 20, 0.1: 20.45, 0.01: 20.9}, 1.0, "From 0.1 to 1 the", id="0.45 dB a decade, twice"
        ),
        pytest.param(
            {10.0: 15, 1.0: 20, 0.3: 20.2, 0.1: 19.4, 0.01: 20.1}, 1.0, "From 0.3 to 1 the", id="one between is not"
        ),
    ],
)  # fmt: skip
def test_pictures_are_alike_where_their_decibels_are(tmp_path, decibels, named, words):
    folder = write_sweep(tmp_path / "s", weights=tuple(decibels), autoencoder=False)
    said = with_decibels(folder, decibels)
    assert (said.found.weight, said.found.purposes["reconstruct"].beyond) == (named, "within")
    assert words in said.lead if words else "alike" not in said.lead


def test_a_weight_that_overfits_does_not_also_reconstruct(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1, 0.01), autoencoder=False)
    judged_by_samples(folder, {1.0: 2.0, 0.1: 1.0, 0.01: 0.3})
    said = with_decibels(folder, {1.0: 20, 0.1: 25, 0.01: 22})
    assert said.found.purposes["sample"].kl_weight == 0.01
    assert "no weight does both" in said.facts[1].in_full
    assert "No weight both reconstructs and samples" in said.lead
    assert "at 0.01, where reconstructions are 3.0 dB worse" in said.lead


def test_what_counts_as_tenfold_is_not_said_of_an_autoencoder_that_there_is_not(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(9.0, 0.895, 0.1), autoencoder=False)
    said = with_decibels(folder, {9.0: 15, 0.895: 20, 0.1: 20.2})
    assert said.headline == "To reconstruct, take KL weight 0.895."
    assert "ten times less weight gains 0.2 dB" in said.facts[0].words


def test_the_interval_by_likelihood_is_no_narrower_than_twice_the_errors_beside_it(tmp_path):
    """Weights a decade apart, each with two seeds that agree: the interpolation between them is not that sure."""
    found = recommended(write_sweep(tmp_path / "s", weights=WEIGHTS[::2], seeds=(0, 1)))
    purpose = found.purposes["likelihood"]
    larger = min((s for s in found.curve if s.weight > purpose.kl_weight), key=lambda s: s.weight)
    smaller = max((s for s in found.curve if s.weight < purpose.kl_weight), key=lambda s: s.weight)
    assert purpose.low <= 2 * smaller.mean("val", "mse") < purpose.kl_weight < 2 * larger.mean("val", "mse")
    assert 2 * larger.mean("val", "mse") <= purpose.high


@pytest.mark.parametrize(
    ("distances", "weight", "beyond", "ends"),
    [
        pytest.param((0.3, 0.28, 0.3, 1.0, 2.0), 0.3, "within", (0.1, 0.3), id="down from the largest"),
        pytest.param((2.0, 1.0, 0.3, 0.28, 0.3), 0.03, "below", (None, 0.03), id="to the smallest"),
        pytest.param((2.0, 1.0, 0.3, 0.28, 1.0), 0.1, "within", (0.03, 0.1), id="neither"),
        pytest.param((0.3, 0.3, 0.3, 0.28, 0.3), 0.03, "indifferent", (None, None), id="all"),
        pytest.param((0.3, 1.0, 0.28, 1.0, 2.0), 0.3, "within", (0.1, 0.3), id="with a gap"),
    ],
)
def test_to_sample_smaller_weights_are_asked_for_and_no_larger_ones(tmp_path, distances, weight, beyond, ends):
    weights = (3.0, 1.0, 0.3, 0.1, 0.03)
    folder = write_sweep(tmp_path / "s", weights=weights, autoencoder=False)
    judged_by_samples(folder, dict(zip(weights, distances, strict=True)))
    with_decibels(folder, dict.fromkeys(weights, 20.0))  # all reconstruct alike
    verdicts = judge(found := study.read([load_sweep(folder)]))
    said = answer(found, recommend(found, verdicts, "sample"), verdicts)
    purpose = said.found.chosen
    assert (purpose.kl_weight, purpose.beyond, (purpose.low, purpose.high)) == (weight, beyond, ends)
    headlines = {
        "within": f"take KL weight {weight:g}.", "below": "go below KL weight 0.03, the smallest you tried.",
        "indifferent": "the weight does not matter here.",
    }  # fmt: skip
    assert said.headline == f"To sample, {headlines[beyond]}"
    words = said.next.command.partition("loss.kl_weight=")[2].split()
    asked = [float(w) for w in words[0].split(",")] if words else []
    assert max(asked, default=0) <= max(weight, ends[1] or 0)
    if distances[1] == 1.0 and distances[0] == 0.3:
        assert "At 3 and 0.3 the prior's draws, too, are as near" in said.lead


def test_where_the_largest_weight_alone_serves_to_sample_larger_ones_are_asked_for(tmp_path):
    weights = (3.0, 1.0, 0.3)
    folder = write_sweep(tmp_path / "s", weights=weights, autoencoder=False)
    judged_by_samples(folder, dict(zip(weights, (0.3, 1.0, 2.0), strict=True)))
    with_decibels(folder, dict.fromkeys(weights, 20.0))
    verdicts = judge(found := study.read([load_sweep(folder)]))
    said = answer(found, recommend(found, verdicts, "sample"), verdicts)
    purpose = said.found.chosen
    assert (purpose.kl_weight, purpose.beyond, purpose.low, purpose.high) == (3.0, "above", 1.0, None)
    assert said.headline == "To sample, go above KL weight 3, the largest you tried."
    assert "loss.kl_weight=9,30 " in said.next.command


def test_larger_weights_that_learned_nothing_are_not_asked_for_again(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(30.0, 3.0, 1.0, 0.3, 0.1), autoencoder=False)
    idle = {"kl": 0.0, "active_units": 0}
    edit(next(folder.glob("000-*")) / "evaluation.json", lambda e: [e[s].update(idle) for s in ("train", "val")])
    said = with_decibels(folder, {30.0: 9, 3.0: 20, 1.0: 20.2, 0.3: 20.4, 0.1: 20.6})
    assert said.headline == "To reconstruct, KL weight 3 is enough, the largest that learned something."
    assert "loss.kl_weight=9 " in said.next.command


def test_the_samples_section_speaks_of_the_weight_that_reconstructs(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1, 0.01), autoencoder=False)
    judged_by_samples(folder, {1.0: 0.3, 0.1: 1.0, 0.01: 2.0})
    with_decibels(folder, {1.0: 20, 0.1: 25, 0.01: 25.2})
    page = report.build([folder], figures=False, purpose="sample").read_text()
    assert "also reconstruct" not in page
    assert page.count("more weight than reconstructing wants: no weight does both with the prior") >= 2


def test_one_report_judges_every_run_once(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1))
    judged: list[str] = []
    judge_one = convergence._judge

    def counted(point, context):
        judged.append(point.id)
        return judge_one(point, context)

    monkeypatch.setattr(convergence, "_judge", counted)
    monkeypatch.setattr(plots, "PLOTS", {"units": plots.PLOTS["units"]})
    report.build([folder])
    assert len(judged) == len(set(judged)) == 3


def test_of_several_data_sets_one_is_judged(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(16, 64), autoencoder=False)
    for run in sorted(folder.glob("0*"))[: len(WEIGHTS)]:
        edit(run / "result.json", lambda r: r.update(data_fingerprint="0ther"))
    assert len({p.data for s in recommended(folder).curve for p in s.points}) == 1


def test_unequal_seeds_are_said(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,), seeds=(0, 1), failed=(2,))
    report.build([folder], figures=False)
    lead = json.loads((folder / "report" / "answer.json").read_text())["lead"]
    assert "1 to 2 seeds" in lead


def test_held_out_overfitting_is_seen(tmp_path):
    """Training error falls to the end; held out it turns: nothing below the turn is named."""
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS, latent_dims=(64,), autoencoder=False)
    held_out = dict(zip(WEIGHTS, (17.0, 18.5, 19.5, 19.0, 17.5, 16.0), strict=True))
    for run in folder.glob("0*"):
        weight = json.loads((run / "result.json").read_text())["config"]["loss"]["kl_weight"]
        edit(run / "evaluation.json", lambda e, db=held_out[weight]: e["val"].update(psnr_mean=db))
    assert recommended(folder).purposes["reconstruct"].kl_weight == 0.3


def test_an_exhausted_latent_is_not_told_to_go_below(tmp_path):
    """At 16 latents the error is the autoencoder's from weight 0.1 on: no smaller weight can help."""
    folder = write_sweep(tmp_path / "s", weights=(0.1, 0.05, 0.03), latent_dims=(16,))
    purpose = recommended(folder).purposes["reconstruct"]
    assert purpose.beyond == "indifferent"
    assert purpose.gain_db < 0.01
