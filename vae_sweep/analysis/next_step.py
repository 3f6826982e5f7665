"""What to do next: a sentence, and one command to paste."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vae_sweep.analysis.convergence import FALLING
from vae_sweep.analysis.point import LATENT, MULTI_RATE, SEED, WEIGHT, Point
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.analysis.words import duration
from vae_sweep.commands import command
from vae_sweep.schedules import same_weight
from vae_sweep.schedules.learning_rate import same_until
from vae_sweep.theory.conventions import REDUCTIONS, from_sum

_STEPS = ("trainer.max_steps", "trainer.max_epochs")  # the first decides where both are set


@dataclass(frozen=True)
class Next:
    """command: "" where there is nothing to run. elsewhere: (the objective as other libraries write it, its weight)."""

    words: str
    command: str
    elsewhere: tuple[tuple[str, str], ...] = ()


def next_step(study: Study, found: Recommendation, verdicts: dict[str, list[Finding]]) -> Next:
    if found.kind == "unfinished":
        folders = [str(sweep.folder) for sweep in study.sweeps]
        return Next("Wait; to have the page follow the runs", command("report", "--watch", *folders))
    words, values = _plan(study, found, verdicts)
    if any(p.status == "interrupted" for p in study.points):
        words, values = "Let the interrupted runs go on first, by the same command", {"sweep": study.name}
    return Next(words, _command(study, values) if values else "", tuple(_elsewhere(study, found)))


def _plan(study: Study, found: Recommendation, verdicts: dict[str, list[Finding]]) -> tuple[str, dict[str, str]]:
    """The words, and the settings of the sweep to run."""
    if found.kind == "collapsed":
        start = collapse_threshold(study, found.idle[0]) or min(s.weight for s in found.idle)
        return "Sweep below the threshold of collapse", {WEIGHT: _list(start / 3**k for k in range(1, 9, 2))}
    if found.kind == "constant" or found.train_longer:
        return _longer(study, found)
    if found.in_doubt:
        return "Begin the stuck runs from other seeds", {WEIGHT: _list(sorted(found.stuck, reverse=True)), SEED: "1,2"}
    if found.kind not in ("curve", "one_weight"):
        return ("Sweep the weight over decades", {WEIGHT: "10,1,0.1,0.01", "objective": "vae,autoencoder"})
    purpose = found.chosen or found.purposes["reconstruct"]
    weight = purpose.kl_weight or found.curve[-1].weight
    if found.kind == "one_weight":
        return "Add weights three to ten times smaller and larger", {
            WEIGHT: _list(weight * f for f in (10, 3, 0.3, 0.1))
        }
    if found.one_model:
        ends = {purpose.low or weight / 3, weight, purpose.high or weight * 3}
        return "Train separate runs at the weights that matter, beside the one model", {
            WEIGHT: _list(sorted(ends, reverse=True)), MULTI_RATE: "true,false"
        }  # fmt: skip
    if purpose.beyond == "below":
        low = min(weight, found.curve[-1].weight) if purpose.name != "reconstruct" else weight
        return "Add smaller weights to this sweep", {WEIGHT: _list(_untried(found, low, (1 / 3, 1 / 10, 1 / 30)))}
    if purpose.beyond == "above" and (larger := _untried(found, weight, (3, 10))):
        return "Add larger weights to this sweep", {WEIGHT: _list(larger)}
    if found.spot and any(f.rule == "full" for p in found.spot.points for f in verdicts.get(p.id, [])):
        d = found.spot.points[0].latent_dim or 0
        return f"Every unit is in use at {weight:g}: try a larger latent", {
            LATENT: f"{2 * d},{4 * d}",
            WEIGHT: _list([weight]),
        }
    if found.spot and len(found.spot.points) < 3:
        around = sorted({purpose.low or weight, weight, purpose.high or weight}, reverse=True)
        return "Make sure with other seeds", {WEIGHT: _list(around), SEED: "0,1,2"}
    return "Nothing: use it", {}


def collapse_threshold(study: Study, spot: Spot) -> float | None:
    """On the spot's images, in the user's own weight; None where it is not known or does not hold."""
    known = study.forecast(spot.points[0]).get("collapse_threshold")
    return known * spot.weight / spot.beta if known and spot.beta and spot.likelihood.squared_error else None


def _longer(study: Study, found: Recommendation) -> tuple[str, dict[str, str]]:
    """More steps of the same sweep, by what the runs of the answer are foretold to gain."""
    point = (found.curve or found.idle)[0].points[0]
    key = next((k for k in _STEPS if isinstance(point.flat.get(k), (int, float))), None)
    if key is None:
        return "Train longer", {}
    factor = _times_longer(found.doubling)
    before = point.run.result.get("total_steps") or 1
    start = _goes_on_from(point, before, factor * before)
    slots = (study.manifest.get("plan") or {}).get("slots") or ["one"]
    seconds = sum(study.sweeps[0].seconds().values()) / len(slots)
    about = f" (about {duration(seconds * (factor * before - start) / before)} on the machine that has trained it)"
    how = f"the runs go on from step {start:,}" if start else "their schedule hangs on the length, so they begin again"
    weights = {p.flat[WEIGHT]: None for p in study.points if not p.autoencoder and WEIGHT in p.settings}
    several = {WEIGHT: ",".join(f"{w:g}" for w in weights)} if len(study.sweeps) == 1 and weights else {}
    return f"Train longer{about if seconds else ''}: {how}", {**several, key: f"{factor * point.flat[key]:g}"}


def _times_longer(gain: float) -> int:
    """gain: the largest share of an objective that twice the length is foretold to take off."""
    if gain <= FALLING:
        return 3  # another check fails, and nothing foretells how much mends that
    return 2 if gain <= 2 * FALLING else 4


def _goes_on_from(point: Point, before: int, wanted: int) -> int:
    shared = same_until(str(point.flat.get("optimizer.lr_schedule", "constant")), before, wanted)
    steps = min(shared, before - 1)
    return steps if same_weight(point.run.config.get("kl_schedule") or {"_target_": ""}, before, wanted, steps) else 0


def _untried(found: Recommendation, weight: float, factors: Iterable[float]) -> list[float]:
    """Those times the weight that no run is near to, also none that learned nothing."""
    tried = [s.weight for s in (*found.curve, *found.idle)]
    return [weight * f for f in factors if not any(abs(math.log(weight * f / other)) < 0.1 for other in tried)]


def _list(weights: Iterable[float]) -> str:
    """'0.03,0.01': one significant digit, or two where one would be 20 % off."""
    texts = []
    for weight in weights:
        one = float(f"{weight:.1g}")
        texts.append(f"{one if abs(one / weight - 1) < 0.2 else float(f'{weight:.2g}'):g}")
    return ",".join(dict.fromkeys(texts))


def _command(study: Study, values: dict[str, str]) -> str:
    """The command of the sweep with these settings instead of its own, on the same name unless they have another.

    A list of weights is a grid, whoever chose those that there are; "" where another setting has no list of values.
    """
    typed = [str(word) for word in study.manifest.get("command") or []][1:]
    if typed[:1] == ["-m"] and typed[1:2] == ["vae_sweep.run"]:  # a Python, not sys.argv
        typed = typed[2:]
    replaced = {*values, "sweep", "retry"}
    if "sweep" not in values and not replaced & set(_STEPS):  # its autoencoder has been trained
        replaced.add("objective")
    kept = [word for word in typed if word not in ("-m", "--multirun") and word.partition("=")[0] not in replaced]
    if WEIGHT in values:
        kept = [word for word in kept if not word.startswith(("hydra/sweeper=", "hydra.sweeper."))]
        if any("interval(" in word for word in kept):
            return ""
    settings = {key: value for key, value in values.items() if key != "sweep"} | {
        "sweep": values.get("sweep", study.name)
    }
    return command("run", "-m", *kept, *(f"{key}={value}" for key, value in settings.items()))


def _elsewhere(study: Study, found: Recommendation) -> Iterable[tuple[str, str]]:
    """The chosen weight as other libraries write it."""
    purpose = found.chosen
    if purpose is None or purpose.beta is None or purpose.spot is None:
        return
    point = purpose.spot.points[0]
    sizes = study.sizes(point)
    if sizes is None or point.distortion_key != "sse":
        return
    for name, convention in REDUCTIONS.items():
        if name != "mean_pixels_batch":
            yield convention.formula, f"{from_sum(purpose.beta, name, sizes):.3g}"
