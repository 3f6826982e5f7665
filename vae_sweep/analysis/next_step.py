"""What to do next: a sentence, and one command to paste."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vae_sweep.analysis.convergence import FALLING
from vae_sweep.analysis.point import LATENT, MULTI_RATE, SEED, WEIGHT, Point
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.spots import Spot
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.analysis.words import duration
from vae_sweep.commands import command
from vae_sweep.runs.reading import Sweep
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
    if interrupted := [p for p in study.points if p.status == "interrupted"]:
        sweep = _sweep_of(study, interrupted)
        words, values = "Let the interrupted runs go on first, by the same command", {"sweep": sweep.name}
    else:
        words, values = _plan(study, found, verdicts)
        sweep = _sweep_of(study, found.spot.points if found.spot else [])
    return Next(words, _command(sweep, values) if values else "", tuple(_elsewhere(study, found)))


def _sweep_of(study: Study, points: Sequence[Point]) -> Sweep:
    """The sweep that has these runs, or most of them; of several on a page the first where it makes no difference."""
    wanted = {point.run.folder for point in points}
    return max(study.sweeps, key=lambda sweep: sum(run.folder in wanted for run in sweep.runs))


Settings = dict[str, str]


def _plan(study: Study, found: Recommendation, verdicts: dict[str, list[Finding]]) -> tuple[str, Settings]:
    """The words, and the settings of the sweep to run."""
    tried = _tried(study.points)
    if found.kind == "collapsed":
        start = collapse_threshold(study, found.idle[0]) or min(s.weight for s in found.idle)
        return "Sweep below the threshold of collapse", {WEIGHT: _list((start / 3**k for k in range(1, 9, 2)), tried)}
    if found.kind == "constant" or found.train_longer:
        return _longer(study, found)
    if found.in_doubt:
        return "Begin the stuck runs from other seeds", {
            WEIGHT: _list(sorted(found.stuck, reverse=True), tried),
            SEED: _seeds(p for p in study.points if p.weight in found.stuck),
        }
    if found.kind not in ("curve", "one_weight"):
        return ("Sweep the weight over decades", {WEIGHT: "10,1,0.1,0.01", "objective": "vae,autoencoder"})
    purpose = found.chosen or found.purposes["reconstruct"]
    weight = purpose.kl_weight or found.curve[-1].weight
    if found.kind == "one_weight":
        return "Add weights three to ten times smaller and larger", {
            WEIGHT: _list((weight * f for f in (10, 3, 0.3, 0.1)), tried)
        }
    if found.one_model:
        ends = {purpose.low or weight / 3, weight, purpose.high or weight * 3}
        return "Train separate runs at the weights that matter, beside the one model", {
            WEIGHT: _list(sorted(ends, reverse=True), tried), MULTI_RATE: "true,false"
        }  # fmt: skip
    if purpose.beyond == "below":
        low = min(weight, found.curve[-1].weight) if purpose.name != "reconstruct" else weight
        smaller = _untried(study, low, (1 / 3, 1 / 10, 1 / 30)) or [low / 100]
        return "Add smaller weights to this sweep", {WEIGHT: _list(smaller, tried)}
    if purpose.beyond == "above" and (larger := _untried(study, weight, (3, 10))):
        return "Add larger weights to this sweep", {WEIGHT: _list(larger, tried)}
    if found.spot and any(f.rule == "full" for p in found.spot.points for f in verdicts.get(p.id, [])):
        d = found.spot.points[0].latent_dim or 0
        return f"Every unit is in use at {weight:g}: try a larger latent", {
            LATENT: f"{2 * d},{4 * d}",
            WEIGHT: _list([weight], tried),
        }
    if found.spot and len(found.spot.points) < 3:
        around = sorted({purpose.low or weight, weight, purpose.high or weight}, reverse=True)
        return "Make sure with other seeds", {WEIGHT: _list(around, tried), SEED: _seeds(found.spot.points, 3)}
    return "Nothing: use it", {}


def collapse_threshold(study: Study, spot: Spot) -> float | None:
    """On the spot's images, in the user's own weight; None where it is not known or does not hold."""
    known = study.forecast(spot.points[0]).get("collapse_threshold")
    return known * spot.weight / spot.beta if known and spot.beta and spot.likelihood.squared_error else None


def _longer(study: Study, found: Recommendation) -> tuple[str, Settings]:
    """More steps of the same sweep, by what the runs of the answer are foretold to gain."""
    point = (found.curve or found.idle)[0].points[0]
    key = next((k for k in _STEPS if isinstance(point.flat.get(k), (int, float))), None)
    if key is None:
        return "Train longer", {}
    factor = _times_longer(found.doubling)
    before = point.run.result.get("total_steps") or 1
    start = _goes_on_from(point, before, factor * before)
    sweep = _sweep_of(study, found.spot.points if found.spot else [])
    slots = (sweep.manifest.get("plan") or {}).get("slots") or ["one"]
    seconds = sum(sweep.seconds().values()) / len(slots)
    about = f" (about {duration(seconds * (factor * before - start) / before)} on the machine that has trained it)"
    how = f"the runs go on from step {start:,}" if start else "their schedule hangs on the length, so they begin again"
    weights = {p.flat[WEIGHT]: None for p in study.points if not p.autoencoder and WEIGHT in p.settings}
    several = {WEIGHT: ",".join(map(_exact, weights))} if len(study.sweeps) == 1 and weights else {}
    return f"Train longer{about if seconds else ''}: {how}", {**several, key: _exact(factor * point.flat[key])}


def _times_longer(gain: float) -> int:
    """gain: the largest share of an objective that twice the length is foretold to take off."""
    if gain <= FALLING:
        return 3  # another check fails, and nothing foretells how much mends that
    return 2 if gain <= 2 * FALLING else 4


def _goes_on_from(point: Point, before: int, wanted: int) -> int:
    shared = same_until(str(point.flat.get("optimizer.lr_schedule", "constant")), before, wanted)
    steps = min(shared, before - 1)
    return steps if same_weight(point.run.config.get("kl_schedule") or {"_target_": ""}, before, wanted, steps) else 0


def _tried(points: Iterable[Point]) -> list[float]:
    return [point.weight for point in points if point.weight]


def _untried(study: Study, weight: float, factors: Iterable[float]) -> list[float]:
    """Those times the weight that no run is near to that is done, also none that learned nothing."""
    return [weight * f for f in factors if _near(_tried(study.done), weight * f) is None]


def _near(tried: Sequence[float], weight: float) -> float | None:
    """The weight tried that this one is, but for its digits."""
    close = [known for known in tried if abs(math.log(weight / known)) < 0.1]
    return min(close, key=lambda known: abs(math.log(weight / known)), default=None)


def _list(weights: Iterable[float], tried: Sequence[float]) -> str:
    """'0.0316228,0.01': as it is where it has been tried, so that its runs are found; else one significant digit, or
    two where one would be 20 % off."""
    texts = []
    for weight in weights:
        if (known := _near(tried, weight)) is not None:
            texts.append(_exact(known))
        else:
            one = float(f"{weight:.1g}")
            texts.append(f"{one if abs(one / weight - 1) < 0.2 else float(f'{weight:.2g}'):g}")
    return ",".join(dict.fromkeys(texts))


def _exact(number: float) -> str:
    """As few digits as give the very number, whole numbers as such."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))


def _seeds(points: Iterable[Point], wanted: int | None = None) -> str:
    """Seeds of the points and others besides, so many together; None: two others alone."""
    used = list(dict.fromkeys(point.seed for point in points if isinstance(point.seed, int)))
    others = [seed for seed in range(len(used) + (wanted or 2)) if seed not in used]
    kept = used if wanted else []
    more = max(0, (wanted or 2) - len(kept))
    return ",".join(map(str, sorted([*kept, *others[:more]])))


def _command(sweep: Sweep, values: Settings) -> str:
    """The command of the sweep with these settings instead of its own, on the same name.

    A list of weights is a grid, whoever chose those that there are; "" where another setting has no list of values.
    """
    typed = [str(word) for word in sweep.manifest.get("command") or []][1:]
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
    settings = {**values, "sweep": sweep.name}
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
