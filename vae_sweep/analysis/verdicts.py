"""A verdict per run: what the rules say of it, the gravest first."""

from dataclasses import dataclass

from vae_sweep.analysis.convergence import Convergence, convergence
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.rules import RULES, Evidence, active_units
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import Context, survey
from vae_sweep.analysis.words import figure, percent


@dataclass(frozen=True)
class Finding:
    """What one rule says of one run. `grade`: bad, warn, info or good."""

    rule: str
    grade: str
    words: str
    evidence: Evidence
    because: str


def judge(study: Study) -> dict[str, list[Finding]]:
    """Run id -> findings, gravest first, never empty: a finished run with nothing against it is healthy."""
    context = survey(study)
    return {point.id: findings(point, context) for point in study.points}


def findings(point: Point, context: Context) -> list[Finding]:
    found = []
    for rule in RULES:
        if result := rule.check(point, context):
            found.append(Finding(rule.name, rule.grade, *result, rule.because))
            if not point.done:  # an unfinished run is not judged further
                break
    return found or [_healthy(point, convergence(point, context))]


def _healthy(point: Point, known: Convergence) -> Finding:
    active, beta_hat = active_units(point), point.get("train", "beta_hat")
    evidence = [("rate", f"{figure(point.rate('train') or point.rate('val'))} nats")]
    if active is not None:
        evidence.append(("active units", f"{active:.0f} of {point.latent_dim}"))
    if beta_hat is not None and point.beta:
        evidence.append(("beta_hat / beta", figure(beta_hat / point.beta)))
    if known.trend is not None:
        evidence.append(("twice the length would gain", percent(known.trend.gain)))
    word = "" if known.word == "unknown" else f": {known.word}"
    return Finding(
        "healthy", "good", f"healthy{word}", tuple(evidence), f"No rule speaks against it. {_SAYS[known.word]}"
    )


_SAYS = {
    "converged": "Its objective is at rest at the full learning rate, its gradients balance, no neighbour is better.",
    "at rest": "Its objective is at rest at the full learning rate; no gradients were measured.",
    "balanced": "Its gradients balance, no neighbour is better; its rows are too few to tell whether it is at rest.",
    "overfitting": "Its held-out objective rises: longer training makes it worse. trainer.keep=best keeps the best.",
    "unknown": "Nothing was measured that tells whether it has converged.",
}
