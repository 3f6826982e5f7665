"""One or several sweeps read together: every run as a point with its settings and numbers.

This is the only file of the analysis that knows how a run folder spells things.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vae_sweep.analysis.chance import FEW_IMAGES
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.members import config_that_matters, is_multi_rate, swept_keys
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.reading import Run, Sweep
from vae_sweep.theory.beta import sizes_of
from vae_sweep.theory.conventions import Sizes
from vae_sweep.traits import LikelihoodTraits, likelihood, schedule

WEIGHT, LATENT, SCHEDULE, SEED, OBJECTIVE, MULTI_RATE, RANGE = (
    "loss.kl_weight", "model.latent_dim", "kl_schedule._target_", "seed", "objective", "model.multi_rate",
    "model.kl_weight_range",
)  # fmt: skip
SPLITS = ("train", "val")
_AFFINE = ("vae_sweep.models.linear", "vae_sweep.models.mlp")
_AFFINE_OF_ONE_CODE = ("vae_sweep.models.conv", "vae_sweep.models.resnet")

PER_IMAGE = "val_image_"  # prefix of the terms of every held-out image in evaluation.npz

Setting = tuple[str, Any]


@dataclass(frozen=True)
class Point:
    """A run as the analysis sees it. `settings`: the swept keys that matter to it; `problems`: what was unreadable."""

    run: Run
    settings: dict[str, Any]
    evaluation: dict[str, Any]
    data: str  # fingerprint of its images
    problems: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def status(self) -> str:
        return self.run.status

    @property
    def done(self) -> bool:
        return self.run.status == "done"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Of its metrics.jsonl; none if that is broken, which `problems` then says."""
        try:
            return self.run.rows()
        except RecordError as error:
            self._note(error)
            return []

    @cached_property
    def flat(self) -> dict[str, Any]:
        return flatten(self.run.config)

    @cached_property
    def likelihood(self) -> LikelihoodTraits:
        """What its reconstruction term says of itself."""
        return likelihood(self.run.config.get("loss") or {}, self.run.result.get("says"))

    @property
    def zero_means_something(self) -> bool:
        return self.likelihood.zero_means_something

    @property
    def autoencoder(self) -> bool:
        return self.flat.get(OBJECTIVE) == "autoencoder"

    @property
    def multi_rate(self) -> bool:
        """Whether it is one model for all weights; what was evaluated of it is at loss.kl_weight."""
        return bool(self.run.config) and is_multi_rate(self.run.config)

    @property
    def weight(self) -> float | None:
        """loss.kl_weight; None for an autoencoder, which has none, and for a multi-rate model, which has all."""
        weight = self.flat.get(WEIGHT)
        return None if self.autoencoder or self.multi_rate or weight is None else float(weight)

    @property
    def latent_dim(self) -> int | None:
        return self.flat.get(LATENT)

    @property
    def seed(self) -> Any:
        return self.flat.get(SEED)

    @property
    def schedule(self) -> str:
        return short(self.flat.get(SCHEDULE) or "constant")

    @property
    def label(self) -> str:
        """What tells this run from the others: 'kl_weight 0.1 · latent_dim 64 · seed 1'."""
        words = ["autoencoder"] * self.autoencoder + ["all weights"] * self.multi_rate
        words += [f"{name_of(k)} {short(v)}" for k, v in self.settings.items() if k not in (OBJECTIVE, MULTI_RATE)]
        return " · ".join(words) or (
            f"kl_weight {self.weight:g}" if self.weight is not None else f"run {self.run.number}"
        )

    @cached_property
    def family(self) -> tuple[Setting, ...]:
        """Swept settings other than the weight, the seed and the objective: runs of one family lie on one curve."""
        apart = (WEIGHT, SEED, OBJECTIVE, MULTI_RATE, RANGE)
        return tuple((key, str(value)) for key, value in self.settings.items() if key not in apart)

    def get(self, split: str, name: str) -> float | None:
        """A final metric by its name without prefix, as evaluated, else as last logged; None if not a finite number."""
        for source, key in ((self.evaluation.get(split) or {}, name), (self.run.metrics, f"{split}/{name}")):
            value = source.get(key)
            if isinstance(value, (int, float)) and math.isfinite(value):
                return float(value)
        return None

    def metric_names(self, split: str) -> list[str]:
        """Every final metric that was evaluated or logged, without prefix."""
        logged = {key.removeprefix(f"{split}/") for key in self.run.metrics if key.startswith(f"{split}/")}
        return sorted(logged | set(self.evaluation.get(split) or {}))

    def rate(self, split: str) -> float | None:
        """KL in nats per image; None for an autoencoder."""
        return None if self.autoencoder else self.get(split, "kl")

    def distortion(self, split: str) -> float | None:
        """What one nat is traded for, per image, with sampled z: `sse`, or the Bernoulli's and Laplace's own nats."""
        value = self.get(split, self.distortion_key)
        return self.get(split, "recon") if value is None else value

    def per_image(self, name: str) -> np.ndarray | None:
        """A term of every held-out image, (N,), in the order that all runs of a sweep share; None if it was not kept.

        name: recon, sse, kl, psnr_mean; or distortion, as `distortion` has it.
        """
        return self._per_image.get(self.distortion_key if name == "distortion" else name)

    @cached_property
    def _per_image(self) -> dict[str, np.ndarray]:
        found = self.arrays(prefix=PER_IMAGE)
        return {name.removeprefix(PER_IMAGE): values.astype(float) for name, values in found.items()}

    @property
    def weight_moves(self) -> bool:
        """Whether loss.kl_weight is not the weight in the end: a controller sets it, or it pulls to a target rate."""
        found = schedule(self.run.config.get("kl_schedule"), self.run.result.get("says"))
        return found.capacity or bool(found.aims)

    @property
    def affine_heads(self) -> bool:
        """Whether scaling the code is in the power of its network, and costs the plain KL alone.

        Then E[mu^2 + sigma^2] is 1 at every stationary point, whatever the likelihood and the weight.
        """
        model, loss = self.run.config.get("model") or {}, self.run.config.get("loss") or {}
        target = str(model.get("_target_"))
        plain = target in _AFFINE or (
            target in _AFFINE_OF_ONE_CODE and model.get("latent_grid", 1) == 1 and not model.get("linear_path")
        )
        kl = loss.get("divergence", "kl") == "kl" and not loss.get("free_bits") and not self.weight_moves
        return plain and kl and model.get("posterior", "diagonal") == "diagonal" and not self.multi_rate

    @property
    def distortion_key(self) -> str:
        """The metric that is the distortion."""
        return self.likelihood.distortion

    @property
    def error_name(self) -> str:
        """What the distortion is, before 'per image'."""
        return "squared error" if self.likelihood.squared_error else "reconstruction term, nats"

    @property
    def beta(self) -> float | None:
        """The distortion that the objective gives for one nat: as planned, or as evaluated where training decides it.

        None where nothing fixes it.
        """
        planned = self.run.result.get("beta")
        return self.evaluation.get("beta") if planned is None else planned

    def curve(self, split: str) -> list[tuple[float, float, float]]:
        """(weight, rate, distortion) of a multi-rate run, by weight; a broken curve.json is added to `problems`."""
        own = self.distortion_key
        try:
            rows = self.run.curve().get(split, [])
            return [(row["kl_weight"], row["kl"], row[own]) for row in rows if None not in (row["kl"], row[own])]
        except (RecordError, KeyError, TypeError, AttributeError) as error:
            self._note(error if isinstance(error, RecordError) else RecordError(f"curve.json: {error!r}"))
            return []

    def arrays(self, name: str = "evaluation.npz", prefix: str = "") -> dict[str, np.ndarray]:
        """evaluation.npz, or another file of the run; {} if it is missing or broken, which `problems` then says."""
        try:
            return self.run.arrays(name, prefix)
        except RecordError as error:
            self._note(error)
            return {}

    def _note(self, error: Exception) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))


@dataclass(frozen=True)
class Study:
    """The points of one or several sweeps, in the order large weight to small, autoencoders last.

    memory: what was computed of these points and is asked for again.
    """

    sweeps: list[Sweep]
    points: list[Point]
    swept: list[str]
    memory: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return " + ".join(str(sweep.manifest.get("sweep") or sweep.folder.name) for sweep in self.sweeps)

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.sweeps[0].manifest

    @cached_property
    def _forecasts(self) -> dict[str, dict[str, Any]]:
        """Data fingerprint -> its forecast; of several sweeps on the same data, the linear models of all."""
        found: dict[str, dict[str, Any]] = {}
        for sweep in self.sweeps:
            for fingerprint in sweep.manifest.get("datasets") or {}:
                known, forecast = found.get(fingerprint, {}), forecast_of(sweep.manifest, fingerprint)
                linear = {c["latent_dim"]: c for c in [*known.get("linear", []), *(forecast.get("linear") or [])]}
                found[fingerprint] = known | forecast | {"linear": list(linear.values())}
        return found

    def forecast(self, point: Point) -> dict[str, Any]:
        """What was computed from the images of this run before any training; {} if nothing was."""
        return self._forecasts.get(point.data, {})

    @property
    def squared_error(self) -> bool:
        """Whether the distortion of every run is: its axis may then show what the data foretell."""
        return all(point.likelihood.squared_error for point in self.points)

    @property
    def error_name(self) -> str:
        """Of an axis with the distortions of all runs, before 'per image'."""
        names = {point.error_name for point in self.points}
        return names.pop() if len(names) == 1 else "error, each curve in its own unit,"

    def scale(self, point: Point, value: float) -> float | None:
        """What a difference of objectives is a share of: `value` itself where its zero means something.

        It does for a squared error and for the nats of discrete pixels. The zero of a density's nats is arbitrary:
        there, the spread of the distortions, from the worst run to the autoencoder or the best; None if there is none.
        """
        if point.zero_means_something:
            return abs(value) or None
        same = [p for p in self.done if p.likelihood == point.likelihood]
        known = [d for p in same if (d := p.distortion(self.split)) is not None]
        return (max(known) - min(known)) or None if known else None

    def sizes(self, point: Point) -> Sizes | None:
        """What the meaning of the point's weight may depend on; None where a size is not known."""
        try:
            return sizes_of(point.run.config, point.run.shape or ())
        except (KeyError, ValueError):
            return None

    def mean_image_distortion(self, point: Point) -> float | None:
        """SSE of answering every image with the mean image: the data's total variance."""
        return self.forecast(point).get("total_variance") if self.squared_error else None

    @cached_property
    def done(self) -> list[Point]:
        return [point for point in self.points if point.done]

    @cached_property
    def vaes(self) -> list[Point]:
        """Finished VAEs of one weight with a rate and a distortion: what the plane can show."""
        known = [p for p in self.done if p.rate(self.split) is not None and p.distortion(self.split) is not None]
        return [p for p in known if not p.multi_rate]

    @cached_property
    def multi_rate(self) -> list[Point]:
        """The finished models of all weights."""
        return [p for p in self.done if p.multi_rate]

    @cached_property
    def split(self) -> str:
        """Frontiers are judged on the training data, where they were optimised; on validation if there is no other."""
        finished = [p for p in self.points if p.done and not p.autoencoder]
        return "train" if any(p.get("train", "kl") is not None for p in finished) else "val"

    @cached_property
    def held_out(self) -> int | None:
        """How many held-out images the figures rest on."""
        evaluated = [p.get("val", "images") for p in self.done]
        known = [int(n) for n in evaluated if n]
        described = (self.manifest.get("data") or {}).get("val")
        return min(known) if known else described

    @property
    def held_out_words(self) -> str:
        """'held out'; of a small set 'on 60 held-out images': every figure of it stands beside their number."""
        n = self.held_out
        return f"on {n} held-out image{'s' * (n != 1)}" if n is not None and n < FEW_IMAGES else "held out"

    @property
    def images_judged(self) -> str:
        """The images of `split`, in words."""
        return {"train": "training images", "val": "held-out images"}[self.split]

    @cached_property
    def families(self) -> dict[tuple[Setting, ...], list[Point]]:
        """The finished VAEs by family."""
        grouped: dict[tuple[Setting, ...], list[Point]] = {}
        for point in self.vaes:
            grouped.setdefault(point.family, []).append(point)
        return grouped

    def autoencoders(self, family: Iterable[Setting]) -> list[Point]:
        """The finished autoencoders with the same network: all their settings agree with the family's."""
        settings = set(family)
        return [p for p in self.done if p.autoencoder and set(p.family) <= settings]

    def autoencoder_distortion(self, family: Iterable[Setting], split: str) -> float | None:
        """Mean over the seeds."""
        values = [v for p in self.autoencoders(family) if (v := p.distortion(split)) is not None]
        return float(np.mean(values)) if values else None


def read(sweeps: list[Sweep]) -> Study:
    """Raises RecordError if the sweeps were trained on different data: their pictures cannot be laid side by side."""
    prints = {_fingerprint(sweep): sweep.folder.name for sweep in sweeps}
    if len(prints) > 1:
        raise RecordError(f"sweeps on different data cannot share a report: {', '.join(prints.values())}")
    runs = {run.id or str(run.folder): run for sweep in sweeps for run in sweep.runs}.values()
    swept = _swept([run.config for run in runs if run.config])
    points = [_point(run, _fingerprint(sweeps[0]), swept) for run in runs]
    return Study(sweeps, sorted(points, key=_order), swept)


def _fingerprint(sweep: Sweep) -> str:
    """Of the sweep's first data set; members may sweep the data's own settings."""
    return str((sweep.manifest.get("data") or {}).get("fingerprint"))


def _swept(configs: list[dict[str, Any]]) -> list[str]:
    """Keys with two values or more among the runs that have them (an autoencoder has no schedule): the weight first."""
    flats = [flatten(config_that_matters(config)) for config in configs]
    keys = swept_keys(configs) if configs else []
    kept = [key for key in keys if len({repr(flat[key]) for flat in flats if key in flat}) > 1]
    first = [key for key in (OBJECTIVE, WEIGHT, LATENT, SCHEDULE) if key in kept]
    return first + [key for key in kept if key not in first and key != SEED] + [SEED] * (SEED in kept)


def _point(run: Run, data: str, swept: list[str]) -> Point:
    matters = flatten(config_that_matters(run.config)) if run.config else {}
    problems: list[str] = []
    try:
        evaluation = run.evaluation()
    except RecordError as error:
        evaluation, problems = {}, [str(error)]
    settings = {key: matters[key] for key in swept if key in matters}
    return Point(run, settings, evaluation, str(run.result.get("data_fingerprint", data)), problems)


def _order(point: Point) -> tuple[Any, ...]:
    weight = -math.inf if point.weight is None else -point.weight
    return (
        point.autoencoder,
        point.multi_rate,
        weight,
        point.latent_dim or 0,
        point.schedule,
        str(point.seed),
        point.run.number,
    )


def name_of(key: str) -> str:
    """'loss.kl_weight' -> 'kl_weight'; 'kl_schedule._target_' -> 'kl_schedule'."""
    return key.removesuffix("._target_").rsplit(".", 1)[-1]


def short(value: Any) -> str:
    """A setting's value as a reader would write it: the last word of a _target_, numbers without trailing zeros."""
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.rsplit(".", 1)[-1] if text.startswith("vae_sweep.") else text
