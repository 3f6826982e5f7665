"""The rules: each a check that returns words and evidence or None, a grade, and a sentence with its threshold.

The gravest come first. A threshold stands once, here, and again in the sentence that the page shows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vae_sweep.analysis.convergence import (
    BEATEN,
    BETA_HAT,
    FALLING,
    MOMENT,
    SLOPE_FACTOR,
    Evidence,
    convergence,
)
from vae_sweep.analysis.multi_rate import DEARER, behind_separate
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.survey import Context, linear_objective
from vae_sweep.analysis.words import figure, percent
from vae_sweep.theory.linear import ACTIVE

DEAD_RATE = 0.01  # nats
CONSTANT_RATE = 0.1  # nats that no active unit explains: a constant code away from the prior
BEHIND_LINEAR = 0.1
OVERFIT = 0.25
MMD_FACTOR = 3.0
HOLE_FACTOR = 2.0
FEW_UNITS = 0.1

Check = Callable[[Point, Context], tuple[str, Evidence] | None]


@dataclass(frozen=True)
class Rule:
    """`title`: what it is called over all the runs it hits; `because`: the rule itself, threshold included."""

    name: str
    grade: str
    title: str
    check: Check
    because: str


def _failed(point: Point, _: Context) -> tuple[str, Evidence] | None:
    if point.status != "failed":
        return None
    error = point.run.error or {}
    return f"failed: {error.get('type', 'error unknown')}", (("message", str(error.get("message", ""))),)


def _unfinished(point: Point, _: Context) -> tuple[str, Evidence] | None:
    if point.status in ("done", "failed"):
        return None
    steps, total = point.run.result.get("steps"), point.run.result.get("total_steps")
    done = f"{percent(steps / total)} of its steps" if steps and total else "no step yet"
    return f"{point.status}: {done}", (("steps", f"{steps or 0} of {total or 'unknown'}"),)


def _diverged(point: Point, context: Context) -> tuple[str, Evidence] | None:
    known = point.distortion("train"), point.distortion("val")
    if any(value is not None for value in known):
        return None
    return "no finite result", (("train/recon", "missing or not finite"), ("val/recon", "missing or not finite"))


def _constant(point: Point, context: Context) -> tuple[str, Evidence] | None:
    """No unit says anything of its image, and yet nats are paid: every image has the same code, away from the prior."""
    rate, active = point.rate(context.study.split), active_units(point)
    if rate is None or active != 0 or rate < CONSTANT_RATE:
        return None
    evidence = (("rate", f"{figure(rate)} nats"), ("active units", f"0 of {point.latent_dim}"))
    return f"nothing learned yet: {figure(rate)} nats for a constant code", evidence


def _collapsed(point: Point, context: Context) -> tuple[str, Evidence] | None:
    rate, active = point.rate(context.study.split), active_units(point)
    if rate is None or not (active == 0 or rate < DEAD_RATE) or rate >= CONSTANT_RATE:
        return None
    evidence = [("rate", f"{figure(rate)} nats")]
    words = "collapsed: the code is ignored"
    if active is not None:
        evidence.append(("active units", f"{active:.0f} of {point.latent_dim}"))
        words = f"collapsed: {active:.0f}/{point.latent_dim} units active"
    threshold = context.study.forecast(point).get("collapse_threshold")
    if threshold and point.beta and point.distortion_key == "sse":
        side = "above" if point.beta > threshold else "below"
        evidence.append(("beta", f"{figure(point.beta)}, {side} the data's collapse threshold {figure(threshold)}"))
    return words, tuple(evidence)


def _doubted(name: str) -> Check:
    """What speaks against the run's convergence under that name."""

    def check(point: Point, context: Context) -> tuple[str, Evidence] | None:
        return convergence(point, context).doubts.get(name)

    return check


def _behind_linear(point: Point, context: Context) -> tuple[str, Evidence] | None:
    """D + beta R against the linear VAE's at the same weight and latent size, on training and on held-out images.

    A linear model of many latents and few images overfits: whoever beats it held out is not behind it.
    """
    evidence: list[tuple[str, str]] = []
    shares = []
    for split, words in (("train", "training"), ("val", "held out")):
        distortion, rate, beta = point.distortion(split), point.rate(split), point.beta
        linear = linear_objective(context.study, point, split)
        if distortion is None or rate is None or beta is None or not linear:  # 0: a single image, known by its mean
            continue
        own = distortion + beta * rate
        shares.append(own / linear - 1)
        evidence += [(f"objective, this run, {words}", figure(own)), (f"linear model, {words}", figure(linear))]
    if not shares or min(shares) <= BEHIND_LINEAR:
        return None
    return f"behind a linear model: objective {percent(shares[-1])} higher", tuple(evidence)


def _overfit(point: Point, _: Context) -> tuple[str, Evidence] | None:
    train, held_out = point.get("train", "sse"), point.get("val", "sse")
    if not train or held_out is None or held_out / train - 1 < OVERFIT:
        return None
    evidence = (("sse, training", figure(train)), ("sse, held out", figure(held_out)))
    return f"overfits: held-out error {percent(held_out / train - 1)} higher", evidence


def _like_autoencoder(point: Point, _: Context) -> tuple[str, Evidence] | None:
    mmd, high = point.get("val", "mmd2"), point.get("val", "mmd2_null_high")
    hole, codes = point.get("val", "hole_cycle_error"), point.get("val", "hole_cycle_error_codes")
    if point.autoencoder or mmd is None or not high or mmd <= MMD_FACTOR * high:
        return None
    evidence = [("MMD² to the prior", f"{figure(mmd)}; chance stays below {figure(high)}")]
    if hole is not None and codes is not None:
        if hole < HOLE_FACTOR * codes:
            return None
        evidence.append(
            ("lost on the way to a picture and back", f"{percent(hole)} of a prior draw, {percent(codes)} of a code")
        )
    return "AE-like: prior samples unreliable", tuple(evidence)


def _no_prior(point: Point, _: Context) -> tuple[str, Evidence] | None:
    return ("autoencoder: reconstructs, cannot sample", (("KL", "none"),)) if point.autoencoder else None


def _few_units(point: Point, context: Context) -> tuple[str, Evidence] | None:
    active = active_units(point)
    if not active or not point.latent_dim or active > FEW_UNITS * point.latent_dim:
        return None
    return f"mostly unused: {active:.0f}/{point.latent_dim} units active", (("active units", f"{active:.0f}"),)


def _full(point: Point, context: Context) -> tuple[str, Evidence] | None:
    active, d, values = active_units(point), point.latent_dim, context.study.forecast(point).get("eigenvalues") or []
    if active is None or not d or active < d or len(values) <= d or not point.beta or point.distortion_key != "sse":
        return None
    if 2 * values[d] <= point.beta:
        return None
    evidence = (
        ("active units", f"{active:.0f} of {d}"),
        (f"2 λ of the data's direction {d + 1}", f"{figure(2 * values[d])} > beta {figure(point.beta)}"),
    )
    return f"latent full: {active:.0f}/{d} units active", evidence


def active_units(point: Point) -> float | None:
    active = point.get("val", "active_units")
    return point.get("train", "active_units") if active is None else active


RULES = (
    Rule("failed", "bad", "failed", _failed, "The run ended with an error."),
    Rule("unfinished", "status", "not finished", _unfinished, "The run has not ended; its numbers are of the moment."),
    Rule("diverged", "bad", "no finite result", _diverged, "No finite reconstruction term was recorded."),
    Rule(
        "collapsed",
        "bad",
        "collapsed: the code is ignored",
        _collapsed,
        f"No unit is active (variance of its mean over images above {ACTIVE:g}) at under {CONSTANT_RATE:g} nats, or "
        f"the rate is below {DEAD_RATE} nats.",
    ),
    Rule(
        "constant",
        "bad",
        "nothing learned yet: a constant code",
        _constant,
        f"No unit is active, yet the rate is {CONSTANT_RATE:g} nats or more: every image has the same code, away from "
        "the prior. Collapse costs no nats; these buy nothing.",
    ),
    Rule(
        "beaten",
        "bad",
        "not converged: beaten at its own objective",
        _doubted("beaten"),
        f"Another run of the same network has an objective over {percent(BEATEN)} lower at this run's own beta, and "
        "further below than seeds may differ, or, for an autoencoder, a lower error; an optimum is beaten by nobody.",
    ),
    Rule(
        "slope",
        "warn",
        "not converged: off its curve",
        _doubted("slope"),
        "Between optima the slope -dD/dR lies between their two betas; here it misses them by more than a factor of "
        f"{SLOPE_FACTOR:g}, and this run lies above the hull.",
    ),
    Rule(
        "stationary",
        "warn",
        "not converged: the gradients do not balance",
        _doubted("stationary"),
        "At a stationary point the encoder's two gradients balance at beta_hat = beta; here they differ by more "
        f"than a factor of {BETA_HAT:g}.",
    ),
    Rule(
        "moments",
        "warn",
        "not converged: codes out of scale",
        _doubted("moments"),
        "Where the code enters and leaves by affine maps, E[mu² + sigma²] is 1 at every stationary point; here the "
        f"mean over the units is off by more than a factor of {MOMENT:g}.",
    ),
    Rule(
        "falling",
        "warn",
        "not converged: a longer run would be better",
        _doubted("falling"),
        "The objective at the target weight (held out, or in training where too few rows are held out), fitted over "
        f"the steps at the full learning rate, would be over {percent(FALLING)} lower at the end of a run of twice the "
        "length. What falls with the learning rate alone does not count.",
    ),
    Rule(
        "behind-separate",
        "warn",
        "one model for all weights, behind separate runs",
        behind_separate,
        f"At a weight that was trained separately too, its held-out objective is over {percent(DEARER)} above that "
        "run's: sharing one network costs there.",
    ),
    Rule(
        "behind-linear",
        "warn",
        "behind a linear model",
        _behind_linear,
        f"The objective is over {percent(BEHIND_LINEAR)} above the linear model's at the same weight and latent size, "
        "on training images and on held-out ones, computed from the training images before any training: more "
        "training, or a stronger network, would change more than the weight does.",
    ),
    Rule(
        "overfits",
        "warn",
        "overfits",
        _overfit,
        f"The held-out error is over {percent(OVERFIT)} above the training error.",
    ),
    Rule(
        "ae-like",
        "warn",
        "AE-like: prior samples unreliable",
        _like_autoencoder,
        f"The codes' MMD² to the prior is over {MMD_FACTOR:g} times the upper end of its null band, and a draw of the "
        f"prior, decoded and encoded again, comes back at least {HOLE_FACTOR:g} times worse than a code of an image: "
        "it fell where no image lies.",
    ),
    Rule(
        "few-units",
        "info",
        "mostly unused latent",
        _few_units,
        f"At most {percent(FEW_UNITS)} of the units are active.",
    ),
    Rule(
        "full",
        "info",
        "latent full",
        _full,
        "Every unit is active and the data's next eigenvalue still pays at this beta (2 lambda > beta): "
        "a larger latent would be used.",
    ),
    Rule(
        "no-prior",
        "info",
        "autoencoder: reconstructs, cannot sample",
        _no_prior,
        "No KL, hence no prior to sample from: the anchor of the comparison.",
    ),
)
