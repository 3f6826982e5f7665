"""What likelihoods, divergences and schedules say of themselves, as plain data that needs no torch.

Whoever must know what a member is without building it asks here: the checks of settings, the plan, the forecast, the
report, W&B. Nobody tells one from another by its name.

    likelihood(config["loss"]).noise_at(0.1)       schedule(config["kl_schedule"]).packs

The class or function that does the work carries the same object as its attribute `traits`, so that what is judged and
what is trained cannot differ. Something of another package (a dotted path, or a mapping with `_target_`) declares its
own `traits`; they are read off before a sweep is planned (sweep/trial.py), and the manifest keeps them as the entry's
`says`. Of what has said nothing, nothing is claimed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

Says = Mapping[str, Mapping[str, Any]]  # "likelihood", "divergence", "schedule" -> the fields of their traits
Named = str | Mapping[str, Any]  # a name of ours; a dotted path; a mapping with `_target_` and arguments


@dataclass(frozen=True)
class LikelihoodTraits:
    """A reconstruction term, R(x, xhat), summed over pixels. `weight` is everywhere that of R + weight KL.

    unit: of R: "SSE", or "nats" where R is an exact -ln p(x|z), constants included.
    pixels: what the noise on a pixel is called in a sentence.
    sse: R falls with the squared error alone (Gaussian pixels), and one unit of R at scale 1 weighs as much as this
        much SSE; so R + weight KL has the optimum of SSE + beta KL, beta = sse scale^2 weight. None: of R itself.
    scale: where the noise comes from: "none" (there is no scale), "set" (loss.scale, or learned under
        loss.learn_scale), "fitted" (training finds it: no setting fixes beta).
    exponent: for R without `sse`: at another weight R is the exact likelihood at noise scale * weight ** exponent.
        None: the pixels have no noise to set, and a weight other than 1 tempers them.
    parabola: for R without `sse`: SSE / (parabola scale error) + a constant lies above R, error the root mean square of
        a pixel's; without a scale SSE / parabola. None: not known.
    logits: the decoder's raw outputs are logits of pixels.
    collapse: what bounds the weights above which ignoring every latent is stable: the largest eigenvalue of the
        pixels' "covariance" or "correlation". None: not known.
    words: what its weights mean, one sentence, with {scale} and {pixels}.
    """

    name: str
    unit: str
    pixels: str
    words: str
    sse: float | None = None
    scale: str = "none"
    exponent: float | None = None
    parabola: float | None = None
    logits: bool = False
    collapse: str | None = None

    @property
    def squared_error(self) -> bool:
        """Whether distortion is SSE; else it is R, in its own unit."""
        return self.sse is not None

    @property
    def zero_means_something(self) -> bool:
        """Whether a distortion of 0 is a perfect reconstruction, so that shares of an objective say something.

        So for a squared error and the nats of discrete pixels; a density's nats have a zero that hangs on its noise.
        """
        return self.squared_error or (self.unit == "nats" and self.exponent is None)

    @property
    def distortion(self) -> str:
        """The metric that one nat is traded for."""
        return "sse" if self.squared_error else "recon"

    def beta(self, weight: float, scale: float = 1.0) -> float:
        """The weight of distortion + beta KL with the optimum of R + weight KL.

        scale: of the pixels' noise; where there is none to set, it changes nothing.
        """
        if self.sse is None:
            return weight
        return self.sse * weight * (1.0 if self.scale == "none" else scale**2)

    def nearest_squared_error(self, weight: float, scale: float, error: float) -> float:
        """The weight of SSE whose optimum R + weight KL begins at: beta, or that of the parabola above R.

        error: root mean square of a pixel's, once there. A fitted scale is it.
        """
        if self.scale == "fitted":
            return (self.sse or 2.0) * weight * error**2
        if self.squared_error or self.parabola is None:
            return self.beta(weight, scale)
        return self.parabola * weight * (1.0 if self.scale == "none" else scale * error)

    @property
    def begins_by_error(self) -> bool:
        """Whether the squared-error weight that it begins at hangs on the error that is left there."""
        return self.scale == "fitted" or (self.parabola is not None and self.scale != "none")

    def noise_at(self, weight: float, scale: float = 1.0) -> float | None:
        """The pixel noise at which R + weight KL is a multiple of the exact -ELBO; None if there is none to set.

        Of Gaussian pixels the standard deviation, sqrt(beta / 2); of others their own scale.
        """
        if self.squared_error:
            return math.sqrt(self.beta(weight, scale) / 2)
        return None if self.exponent is None else scale * weight**self.exponent


@dataclass(frozen=True)
class DivergenceTraits:
    """What loss.kl_weight multiplies.

    kl: it is KL(q(z|x) || p(z)), so that the objective is a multiple of an -ELBO and its weight the price of a nat.
    steady: it is the same function of the posterior at every step; else losses of two steps cannot be compared.
    """

    name: str
    kl: bool = False
    steady: bool = True


@dataclass(frozen=True)
class ScheduleTraits:
    """The KL weight over time.

    settles: it ends at loss.kl_weight, which is then the price of a nat.
    packs: it is a plain number at every step, so that members that differ in it can train together.
    capacity: it is no multiplier but a capacity in nats: the divergence becomes |divergence - capacity|.
    weight: what loss.kl_weight is under it. aims: what a controller holds.
    """

    name: str
    settles: bool = True
    packs: bool = True
    capacity: bool = False
    weight: str = "the KL weight"
    aims: str = ""


_EVERY_WEIGHT = "Each weight is the exact ELBO of a model with that much noise on its pixels: none leaves the KL out."
_FITTED = "The pixel noise is fitted to the error: weight 1 is the exact ELBO, and needs no tuning."

LIKELIHOODS = {
    traits.name: traits
    for traits in (
        LikelihoodTraits("sse", "SSE", "Gaussian", _EVERY_WEIGHT, sse=1.0, collapse="covariance"),
        LikelihoodTraits("gaussian", "nats", "Gaussian", _EVERY_WEIGHT, sse=2.0, scale="set", collapse="covariance"),
        LikelihoodTraits("optimal_sigma", "nats", "Gaussian", _FITTED, sse=2.0, scale="fitted"),
        LikelihoodTraits(
            "bernoulli",
            "nats",
            "Bernoulli",
            "Bernoulli pixels have no noise to set: weight 1 is the exact ELBO, any other tempers it.",
            parabola=0.5,
            logits=True,
            collapse="correlation",
        ),
        LikelihoodTraits(
            "laplace",
            "nats",
            "Laplace",
            "Laplace pixels: weight w is the exact ELBO at scale {scale:g} w. No weight leaves the KL out.",
            scale="set",
            exponent=1.0,
            parabola=2.0,
        ),
    )
}

DIVERGENCES = {
    traits.name: traits
    for traits in (
        DivergenceTraits("kl", kl=True),
        DivergenceTraits("reverse_kl"),
        DivergenceTraits("tc"),
        DivergenceTraits("free_bits"),
        DivergenceTraits("capacity", steady=False),
    )
}

SCHEDULES = {
    **{
        f"vae_sweep.schedules.{name}": ScheduleTraits(name)
        for name in ("constant", "linear", "cosine", "logistic", "cyclical")
    },
    "vae_sweep.schedules.capacity": ScheduleTraits(
        "capacity",
        settles=False,
        packs=False,
        capacity=True,
        weight="the strength of the pull to the capacity, not a KL weight",
    ),
    "vae_sweep.schedules.controllers.Geco": ScheduleTraits(
        "geco", settles=False, packs=False, weight="where the controller begins", aims="a reconstruction term"
    ),
    "vae_sweep.schedules.controllers.ControlVAE": ScheduleTraits(
        "control_vae", settles=False, packs=False, weight="where the controller begins", aims="a KL"
    ),
}


def likelihood(loss: Mapping[str, Any], says: Says | None = None) -> LikelihoodTraits:
    """Of config["loss"]; keys that older folders lack have their defaults. says: of the member's entry."""
    found = _found(loss.get("recon", "sse"), LIKELIHOODS, says, "likelihood", LikelihoodTraits, _unknown_likelihood)
    if loss.get("learn_scale") and found.scale == "set":
        return replace(found, scale="fitted", words=_FITTED, collapse=None)
    return found


def divergence(config: Mapping[str, Any], says: Says | None = None) -> DivergenceTraits:
    """Of a member's config. A capacity, though set by kl_schedule, is a divergence, and so are free bits."""
    if schedule(config.get("kl_schedule"), says).capacity:
        return DIVERGENCES["capacity"]
    loss = config["loss"]
    name = loss.get("divergence", "kl")
    if name == "kl" and loss.get("free_bits"):  # no free bits: the plain KL
        return DIVERGENCES["free_bits"]
    return _found(name, DIVERGENCES, says, "divergence", DivergenceTraits, DivergenceTraits)


def schedule(kl_schedule: Mapping[str, Any] | None, says: Says | None = None) -> ScheduleTraits:
    """Of config["kl_schedule"] (None: constant)."""
    named = kl_schedule or "vae_sweep.schedules.constant"
    return _found(named, SCHEDULES, says, "schedule", ScheduleTraits, _unknown_schedule)


def foreign(config: Mapping[str, Any]) -> list[str]:
    """What a member takes from other packages: "likelihood", "divergence", "schedule", "metrics"."""
    loss = config["loss"]
    found = [] if is_ours(loss.get("recon", "sse"), LIKELIHOODS) else ["likelihood"]
    if config["objective"] != "autoencoder":  # which has neither of these
        found += [] if is_ours(loss.get("divergence", "kl"), DIVERGENCES) else ["divergence"]
        found += [] if is_ours(config["kl_schedule"], SCHEDULES) else ["schedule"]
    return found + (["metrics"] if config["trainer"].get("metrics") else [])


def target_of(named: Named) -> str:
    """The name, or the dotted path, of what a config names."""
    return named if isinstance(named, str) else str(named.get("_target_", ""))


def is_ours(named: Named, known: Mapping[str, Any]) -> bool:
    """Whether the project itself declares it; else only what is kept of its own words tells what it is."""
    return target_of(named) in known


T = TypeVar("T")


def _found(
    named: Named,
    known: Mapping[str, T],
    says: Says | None,
    what: str,
    kind: Callable[..., T],
    unknown: Callable[..., T],
) -> T:
    target = target_of(named)
    if target in known:
        return known[target]
    said = (says or {}).get(what)
    return kind(**said) if said else unknown(target.rsplit(".", 1)[-1])


def _unknown_likelihood(name: str) -> LikelihoodTraits:
    return LikelihoodTraits(
        name, "its own unit", name, f"{name} is not of this package and says nothing of what its weights mean."
    )


def _unknown_schedule(name: str) -> ScheduleTraits:
    return ScheduleTraits(name, settles=False, packs=False, weight="what this schedule makes of it")
