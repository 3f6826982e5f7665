"""One or several sweeps read together: their points in order, and what holds for all of them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vae_sweep.analysis.chance import FEW_IMAGES
from vae_sweep.analysis.point import LATENT, OBJECTIVE, SCHEDULE, SEED, WEIGHT, Point, Setting
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.members import config_that_matters, swept_keys
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.reading import Run, Sweep
from vae_sweep.theory.beta import sizes_of
from vae_sweep.theory.conventions import Sizes
from vae_sweep.traits import LikelihoodTraits

SPLITS = ("train", "val")


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
        return " + ".join(sweep.name for sweep in self.sweeps)

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
        return self._ranges.get(point.likelihood) or None

    @cached_property
    def _ranges(self) -> dict[LikelihoodTraits, float]:
        """Likelihood -> the worst of its runs' distortions less the best."""
        known: dict[LikelihoodTraits, list[float]] = {}
        for point in self.done:
            if (distortion := point.distortion(self.split)) is not None:
                known.setdefault(point.likelihood, []).append(distortion)
        return {likelihood: max(values) - min(values) for likelihood, values in known.items()}

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
    runs = _each_once(sweeps)
    swept = _swept([run.config for run in runs if run.config])
    points = [_point(run, _fingerprint(sweeps[0]), swept) for run in runs]
    return Study(sweeps, sorted(points, key=_order), swept)


def _each_once(sweeps: list[Sweep]) -> list[Run]:
    """A member of several sweeps is the run of it that is done, else that of the later sweep."""
    runs: dict[str, Run] = {}
    for run in (run for sweep in sweeps for run in sweep.runs):
        name = run.id or str(run.folder)
        if run.status == "done" or name not in runs or runs[name].status != "done":
            runs[name] = run
    return list(runs.values())


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
