"""What would make a comparison of the runs unfair: named, so that nobody reads a training accident as an effect."""

from vae_sweep.analysis.chance import FEW_IMAGES, FEW_SAMPLES
from vae_sweep.analysis.point import SEED, Point, name_of
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.analysis.words import count, listed, percent
from vae_sweep.commands import command

ESS = ("ess", "ess_calibrated")
_UNEVEN = 0.01  # fraction by which the steps may differ


def confounds(study: Study, verdicts: dict[str, list[Finding]]) -> list[str]:
    """Sentences, the gravest first; none if the comparison is clean."""
    found = (
        _missing(study), _unequal_training(study), _behind_linear(study, verdicts), _overfitting(study, verdicts),
        _unevaluated(study), _one_seed(study), _few_images(study), _few_samples(study),
    )  # fmt: skip
    return [sentence for sentence in (*found, _no_autoencoder(study)) if sentence]


def _missing(study: Study) -> str | None:
    states: dict[str, int] = {}
    for point in study.points:
        if not point.done:
            states[point.status] = states.get(point.status, 0) + 1
    if not states:
        return None
    which = listed([f"{number} {status}" for status, number in states.items()])
    return f"{count(len(study.done), 'run')} of {len(study.points)} finished ({which}): the answer may still change."


def _unequal_training(study: Study) -> str | None:
    steps = {p.id: p.run.result.get("steps") for p in study.done}
    known = [s for s in steps.values() if s]
    if known and max(known) > min(known) * (1 + _UNEVEN):
        return f"Unequal training: from {min(known):,} to {max(known):,} optimiser steps."
    return None


def _behind_linear(study: Study, verdicts: dict[str, list[Finding]]) -> str | None:
    behind = [p for p in study.vaes if any(f.rule == "behind-linear" for f in verdicts.get(p.id, []))]
    if not behind:
        return None
    return (
        f"{len(behind)} of {count(len(study.vaes), 'VAE')} {'is' if len(behind) == 1 else 'are'} behind a linear model "
        "of the same latent size (dotted in the plane below): training longer, or another network, may change more "
        "than the weight does."
    )


def _overfitting(study: Study, verdicts: dict[str, list[Finding]]) -> str | None:
    hit = [p for p in study.done if any(f.rule == "overfits" for f in verdicts.get(p.id, []))]
    if not hit:
        return None
    worst = max(hit, key=_generalisation)
    return (
        f"{count(len(hit), 'run overfits', 'runs overfit')}: held-out error up to "
        f"{percent(_generalisation(worst))} above training ({worst.label}). A smaller weight, or an autoencoder, "
        "looks better on training images than it is."
    )


def _generalisation(point: Point) -> float:
    train, held_out = point.get("train", "sse"), point.get("val", "sse")
    return held_out / train - 1 if train and held_out is not None else 0.0


def _unevaluated(study: Study) -> str | None:
    """Their PSNR is of sampled codes alone, which does not compare with that of decoded means."""
    left_out = [p for p in study.vaes if p.get("val", "psnr_mean") is None]
    if not left_out or len(left_out) == len(study.vaes):
        return None
    which = listed([p.label for p in left_out[:3]]) + (" and others" if len(left_out) > 3 else "")
    return (
        f"{count(len(left_out), 'run has', 'runs have')} not been evaluated ({which}), and what reconstructs is judged"
        f" without them: {command('evaluate', str(left_out[0].run.folder))} measures the first."
    )


def _one_seed(study: Study) -> str | None:
    seeds = {p.seed for p in study.done}
    if len(seeds) == 1 and len(study.vaes) > 1:
        return f"One {name_of(SEED)} only: how much of a difference is chance is unknown."
    return None


def _few_images(study: Study) -> str | None:
    if study.held_out is None or study.held_out >= FEW_IMAGES or not study.vaes:
        return None
    return f"{count(study.held_out, 'image')} held out: so few say little about other images."


def _few_samples(study: Study) -> str | None:
    """An importance-weighted bound whose weights rest on a few samples is no estimate, whatever its standard error."""
    low = [p for p in study.vaes if any((ess := p.get("val", k)) is not None and ess < FEW_SAMPLES for k in ESS)]
    if not low:
        return None
    return (
        f"The importance-weighted bounds (nll) of {count(len(low), 'run')} are unreliable: their effective sample size "
        f"is below {FEW_SAMPLES}, which their standard errors do not show."
    )


def _no_autoencoder(study: Study) -> str | None:
    if study.vaes and not any(p.autoencoder for p in study.points):
        return (
            "No autoencoder to compare with: what the network can do without a KL is unknown "
            "(add objective=vae,autoencoder)."
        )
    return None
