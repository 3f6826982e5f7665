"""A run as the analysis sees it: its settings and its numbers, by the names of the field.

This is the only file of the analysis that knows how a run folder spells things.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vae_sweep.runs.files import RecordError
from vae_sweep.runs.members import is_multi_rate
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.reading import Run
from vae_sweep.traits import LikelihoodTraits, likelihood, schedule

WEIGHT, LATENT, SCHEDULE, SEED, OBJECTIVE, MULTI_RATE, RANGE = (
    "loss.kl_weight", "model.latent_dim", "kl_schedule._target_", "seed", "objective", "model.multi_rate",
    "model.kl_weight_range",
)  # fmt: skip
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
            rows = self._curve.get(split, [])
            return [(row["kl_weight"], row["kl"], row[own]) for row in rows if None not in (row["kl"], row[own])]
        except (KeyError, TypeError, AttributeError) as error:
            self._note(RecordError(f"curve.json: {error!r}"))
            return []

    @cached_property
    def _curve(self) -> dict[str, Any]:
        """What its curve.json holds; {} if that is missing or broken."""
        try:
            return self.run.curve()
        except RecordError as error:
            self._note(error)
            return {}

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


def name_of(key: str) -> str:
    """'loss.kl_weight' -> 'kl_weight'; 'kl_schedule._target_' -> 'kl_schedule'."""
    return key.removesuffix("._target_").rsplit(".", 1)[-1]


def short(value: Any) -> str:
    """A setting's value as a reader would write it: the last word of a _target_, numbers without trailing zeros."""
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.rsplit(".", 1)[-1] if text.startswith("vae_sweep.") else text
