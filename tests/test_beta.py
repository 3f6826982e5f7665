"""beta: one convention for all. The same runs, written as somebody else would write them, are judged the same."""

import copy
import dataclasses
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from configs import member_config
from marks import slow
from synthetic_sweep import write_sweep

from vae_sweep.analysis import study
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.compare import latent_sizes
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.verdicts import judge
from vae_sweep.evaluation.noise import beta_in_force
from vae_sweep.runs.reading import load_sweep
from vae_sweep.theory.beta import beta, sizes_of
from vae_sweep.tracking import content
from vae_sweep.training.build import build

SHAPE = (3, 24, 24)
N, BATCH = 3 * 24 * 24, 64
WEIGHTS = (73.13, 1.371, 0.5313, 0.1173)  # the first collapses; no other number on the page looks like them
SIGMA = 0.31

# The weight w' of a * SSE + w' * b * KL with the optimum of SSE + w KL is w a / b. Written out, not taken from theory/.
TYPED = {
    "sum": lambda w, d: w,
    "half_sum": lambda w, d: w / 2,
    "mean_pixels": lambda w, d: w / N,
    "mean_pixels_latents": lambda w, d: w * d / N,
    "mean_pixels_batch": lambda w, d: w / (N * BATCH),
    "normalised": lambda w, d: w * d / N,
}
WRITTEN = [(recon, reduction) for recon in ("sse", "gaussian") for reduction in TYPED]
QUICK = (("sse", "half_sum"), ("gaussian", "mean_pixels_batch"))


def rewrite(folder: Path, recon: str, reduction: str, older: bool = False, learned: bool = False) -> Path:
    """Write the runs of a sweep (SSE + w KL) as those of another convention; learned: the gaussian's sigma is.

    older: as folders were before beta was kept, and the gradients were those of the reconstruction term.
    """
    per_nat = 2 * SIGMA**2 if recon == "gaussian" else 1.0  # squared error
    manifest = json.loads((folder / "sweep.json").read_text())
    for entry in manifest["members"]:
        loss, was = entry["config"]["loss"], entry["config"]["loss"]["kl_weight"]
        latents = entry["config"]["model"]["latent_dim"]
        loss |= {"recon": recon, "reduction": reduction, "kl_weight": TYPED[reduction](was, latents) / per_nat}
        loss |= {"scale": 1.0 if recon != "gaussian" or learned else SIGMA, "learn_scale": learned}
        if not older:
            entry["beta"] = beta(entry["config"], sizes_of(entry["config"], SHAPE))
        run = folder / entry["folder"]
        edit(run / "result.json", lambda result, entry=entry: _as_typed(result, entry))
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for row in rows:
            _in_recon(row, was, loss["kl_weight"], per_nat if recon == "gaussian" else None)
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
        if not (run / "evaluation.json").exists():
            continue
        edit(run / "evaluation.json", lambda found, was=was, entry=entry: _evaluated(found, was, entry, per_nat, older))
    (folder / "sweep.json").write_text(json.dumps(manifest))
    return folder


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def _as_typed(result, entry):
    result["config"] = entry["config"]
    if "beta" in entry:
        result["beta"] = entry["beta"]


def _in_recon(row, was, weight, per_nat):
    """The logged weight as typed; the reconstruction term in the Gaussian's nats."""
    if "kl_weight" in row:
        row["kl_weight"] *= weight / was
    for split in ("train", "val"):
        if per_nat is not None and f"{split}/recon" in row:
            row[f"{split}/recon"] = row[f"{split}/sse"] / per_nat + N / 2 * math.log(math.pi * per_nat)
            row[f"{split}/loss"] = row[f"{split}/recon"] + weight * row.get(f"{split}/kl", 0.0)


def _evaluated(found, was, entry, per_nat, older):
    variational = entry["config"]["objective"] == "vae"
    if not older:
        found["beta"] = was if variational else None
    for split in ("train", "val"):
        values = found[split]
        if entry["config"]["loss"]["recon"] == "gaussian":
            values["recon"] = values["sse"] / per_nat + N / 2 * math.log(math.pi * per_nat)
        elif entry["config"]["loss"]["recon"] != "sse":
            values.pop("implied_sigma", None)
        if older and variational and split == "train":
            values["beta_hat"] /= per_nat
            values["grad_norm_recon"] /= per_nat


def judged(folder: Path) -> tuple[dict, str, float | None]:
    """(verdicts, all that is said with weights as letters, the likeliest beta) of a sweep."""
    found = study.read([load_sweep(folder)])
    verdicts = judge(found)
    recommended = recommend(found, verdicts)
    said = answer(found, recommended, verdicts)
    facts = [fact for fact in said.facts if "likelihood" not in fact.title]
    told_of = {"headline": said.headline, "lead": said.lead, "elsewhere": said.next.elsewhere}
    told_of |= {"facts": facts, "questions": said.questions}
    sizes = latent_sizes(found)
    told = json.dumps([told_of, [row.words for row in sizes.rows] if sizes else []], default=dataclasses.asdict)
    rules = {
        p.run.number: [(f.rule, f.grade, _lettered(f.words + str(f.evidence), found)) for f in verdicts[p.id]]
        for p in found.points
    }
    likeliest = recommended.purposes["likelihood"]
    return rules, _lettered(told, found), likeliest.beta


def _lettered(text: str, found: study.Study) -> str:
    """Weights as the user typed them -> A, B, C, D, by the runs' places in the sweep."""
    letters = {f"{p.weight:g}": "ABCD"[p.run.number % len(WEIGHTS)] for p in found.points if p.weight is not None}
    typed = "|".join(map(re.escape, sorted(letters, key=len, reverse=True)))
    return re.sub(rf"(?<![\d.e-])({typed})(?!\.?\d)", lambda weight: f"<{letters[weight[0]]}>", text)


@pytest.fixture(scope="module", params=[True, False], ids=["evaluated", "not evaluated"])
def sweep(request, tmp_path_factory):
    """(folder, what is said of it): of runs at four weights and two latent sizes, one of them not converged."""
    folder = tmp_path_factory.mktemp("sum") / "s"
    left_out = () if request.param else tuple(range(10))
    write_sweep(folder, weights=WEIGHTS, latent_dims=(4, 16), undertrained=(2,), without_evaluation=left_out)
    kept = tmp_path_factory.mktemp("as written") / "s"
    _copy(folder, kept)
    return folder, judged(rewrite(kept, "sse", "sum"))


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


@pytest.mark.parametrize(
    ("recon", "reduction", "older"),
    [
        ("sse", "half_sum", False),
        ("sse", "normalised", True),
        ("gaussian", "mean_pixels_batch", False),
        ("gaussian", "mean_pixels", True),
        *slow(*((*written, False) for written in WRITTEN if written not in QUICK)),
    ],
)
def test_the_same_runs_in_any_convention_are_judged_the_same(sweep, tmp_path, recon, reduction, older):
    folder, (rules, told, likeliest) = sweep
    again = judged(rewrite(_copy(folder, tmp_path / "s"), recon, reduction, older))
    assert again[0] == rules
    assert again[1] == told
    assert again[2] == pytest.approx(likeliest, rel=1e-6)
    assert {rule for found in rules.values() for rule, *_ in found} >= {"collapsed", "beaten"}, "something to judge"


@pytest.mark.parametrize("older", [False, True], ids=["", "older"])
def test_a_learned_sigma_is_judged_at_the_beta_that_it_has_come_to(sweep, tmp_path, older):
    folder, said = sweep
    if not (folder / load_sweep(folder).runs[0].folder.name / "evaluation.json").exists():
        return  # without an evaluation nobody knows it
    again = judged(rewrite(_copy(folder, tmp_path / "s"), "gaussian", "mean_pixels", older, learned=True))
    assert again == (*said[:2], pytest.approx(said[2]))


@pytest.mark.parametrize(
    ("recon", "reduction"),
    [("bernoulli", "mean_pixels_batch"), ("bernoulli", "normalised"), ("laplace", "mean_pixels")],
)
def test_other_likelihoods_are_judged_in_their_own_nats_under_any_reduction(sweep, tmp_path, recon, reduction):
    folder, _ = sweep
    rules, told, likeliest = judged(rewrite(_copy(folder, tmp_path / "sum"), recon, "sum"))
    again = judged(rewrite(_copy(folder, tmp_path / "s"), recon, reduction))
    assert again == (rules, told, likeliest and pytest.approx(likeliest))


def test_the_linear_model_that_wandb_is_told_of_is_that_of_beta(tmp_path):
    folder = write_sweep(tmp_path / "s", weights=WEIGHTS)
    told = []
    for recon, reduction in WRITTEN:
        manifest = load_sweep(rewrite(_copy(folder, tmp_path / f"{recon} {reduction}"), recon, reduction)).manifest
        told.append(content.config(manifest["members"][2], manifest)["forecast"])
    assert "linear_rate" in told[0]
    for other in told[1:]:
        assert other == pytest.approx(told[0])


CONFIGS = [
    *([f"loss.recon=sse,loss.reduction={reduction}".split(",") for reduction in TYPED]),
    *([["loss.recon=gaussian", "loss.scale=0.2", f"loss.reduction={reduction}"] for reduction in TYPED]),
    ["loss.recon=bernoulli", "loss.reduction=mean_pixels_latents"],
    ["loss.recon=laplace", "loss.scale=0.2", "loss.reduction=normalised"],
    ["loss.recon=laplace", "loss.learn_scale=true", "loss.reduction=half_sum"],
    ["loss.recon=sse", "kl_schedule=cosine"],
]


def gradients(config, beta_of) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the training loss of a built member, and of distortion + beta KL, scaled to its length.

    beta_of: (module, sizes, root mean squared error) -> beta.
    """
    lit = build(config, (2, 3, 3), 40).double().train()
    torch.manual_seed(0)
    x = torch.rand(4, 2, 3, 3, dtype=torch.float64)
    loss, terms = lit.objective(x, torch.randn(4, 3, dtype=torch.float64), lit.settled_weight)
    own = "recon" if config["loss"]["recon"] in ("bernoulli", "laplace") else "sse"
    found = beta_of(lit, sizes_of(config, (2, 3, 3)), float(terms["mse"].detach().mean().sqrt()))
    network = list(lit.objective.vae.parameters())
    of_loss, of_both = (
        torch.cat([g.flatten() for g in torch.autograd.grad(value, network, retain_graph=True)])
        for value in (loss, (terms[own] + found * terms["kl"]).mean())
    )
    return of_loss, of_both * of_loss.norm() / of_both.norm()


def small(*overrides):
    return member_config("model=mlp", "model.hidden=[5]", "model.latent_dim=3", "data.batch_size=4",
                         "loss.kl_weight=0.37", *overrides)  # fmt: skip


@pytest.mark.parametrize("overrides", CONFIGS, ids=" ".join)
def test_training_follows_the_gradient_of_distortion_plus_beta_kl(overrides):
    config = small(*overrides)
    of_loss, of_both = gradients(config, lambda lit, sizes, rmse: beta(config, sizes))
    assert float((of_loss - of_both).norm()) < 1e-5 * float(of_loss.norm())


@pytest.mark.parametrize(
    ("overrides", "rtol"),
    [
        (["loss.recon=gaussian", "loss.learn_scale=true", "loss.scale=0.3", "loss.reduction=mean_pixels"], 1e-5),
        (["loss.recon=optimal_sigma", "loss.reduction=half_sum"], 0.02),  # the sigma in force has a soft floor
        (["kl_schedule=geco", "kl_schedule.goal=3", "loss.reduction=normalised"], 1e-5),
    ],
    ids=str,
)
def test_training_follows_the_beta_that_evaluation_finds(overrides, rtol):
    of_loss, of_both = gradients(
        small(*overrides),
        lambda lit, sizes, error: beta_in_force(lit.objective, float(lit.settled_weight), sizes, error),
    )
    assert float((of_loss - of_both).norm()) < rtol * float(of_loss.norm())


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=autoencoder"], ["loss.divergence=tc"], ["loss.divergence=reverse_kl"], ["loss.free_bits=0.5"],
        ["loss.recon=optimal_sigma"], ["loss.recon=gaussian", "loss.learn_scale=true"], ["model.multi_rate=true"],
        ["kl_schedule=geco", "kl_schedule.goal=3"], ["kl_schedule=control_vae", "kl_schedule.target=3"],
        ["kl_schedule=capacity"], ["kl_schedule._target_=somebody.elses"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_nothing_is_said_where_the_configuration_fixes_no_beta(overrides):
    config = member_config(*overrides)
    assert beta(config, sizes_of(config, SHAPE)) is None


def test_keys_that_older_configurations_lack_have_their_defaults():
    config = member_config("loss.kl_weight=0.3")
    bare = copy.deepcopy(config)
    bare["loss"] = {"kl_weight": 0.3}
    del bare["kl_schedule"], bare["model"]["multi_rate"]
    assert beta(bare, sizes_of(bare, SHAPE)) == beta(config, sizes_of(config, SHAPE)) == 0.3
