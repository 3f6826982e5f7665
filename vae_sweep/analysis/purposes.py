"""Which weight serves which purpose on one curve: the rules of choice.py fed with what the runs measured.

reconstruct   ten times less weight gains less than half a decibel, on decoded means of held-out images
sample        draws from the prior are as near to held-out pictures as any run's (sampling.py)
likelihood    the pixel noise that the weight claims is the error that is left
code          nine of ten units carry something
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vae_sweep.analysis import chance, choice, sampling
from vae_sweep.analysis.choice import Choice
from vae_sweep.analysis.spots import FIDELITY, Spot
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.words import figure

NAMES = ("reconstruct", "sample", "likelihood", "code")
MOST_DB = 100.0  # an image reproduced to the last bit has no finite PSNR
_DB_PER_SHARE = 10 / math.log(10)  # of a PSNR, where the squared error differs by that share
_GREY_LEVELS = 255


@dataclass(frozen=True)
class Purpose:
    """What one purpose asks for. kl_weight: in the user's own convention; None: nothing to say.

    beta: the same as the weight of SSE + beta KL, where the likelihood has one. low, high: 90 % interval over seeds and
    held-out images, not narrower than what the weights tried leave open (choice.py); None: open. beyond: as
    choice.Choice, None where not judged. gain_db, gain_nats: between the best and the worst weight of the curve, PSNR
    of decoded means and calibrated ELBO per image, both held out: what is at stake. why: a sentence.
    """

    name: str
    kl_weight: float | None
    beta: float | None
    low: float | None
    high: float | None
    beyond: str | None
    gain_db: float | None
    gain_nats: float | None
    why: str
    spot: Spot | None = None  # the run nearest to kl_weight


def purposes(study: Study, curve: Sequence[Spot], late: Collection[str] = ()) -> dict[str, Purpose]:
    """By name. curve: of one network, the weights that learned something, largest first. late: ids of runs that have
    not converged: an autoencoder among them is no ceiling yet.
    """
    if not curve:
        return {}
    reconstruct = _reconstruct(study, curve, _ceiling(study, curve[0], late))
    found = {
        "reconstruct": reconstruct, "sample": _sample(curve, reconstructing(curve, reconstruct)),
        "likelihood": _likelihood(study, curve), "code": _code(study, curve),
    }  # fmt: skip
    return {name: found[name] for name in NAMES}


# --- to reconstruct --------------------------------------------------------------------------------------------------


def quality(spot: Spot) -> float | None:
    """PSNR of the decoded means of held-out images, dB, mean over images; or what comes nearest to it on its curve."""
    return _decibels(spot, spot.mean)


def _decibels(spot: Spot, of: Callable[[str, str], float | None]) -> float | None:
    value = of(*spot.fidelity)
    return None if value is None else min(value, MOST_DB)


def reconstructing(curve: Sequence[Spot], named: Purpose) -> list[float]:
    """The weights, largest first, that reconstruct as well as the one `named` to reconstruct, or better.

    None above it; below it none that has lost WORTH_DB, by overfitting say.
    """
    least = quality(named.spot) if named.spot else None
    if named.kl_weight is None or least is None:
        return []
    known = [(s.weight, db) for s in curve if s.weight <= named.kl_weight and (db := quality(s)) is not None]
    return [weight for weight, db in known if least - db < choice.WORTH_DB]


def alike(curve: Sequence[Spot], named: Purpose) -> list[float]:
    """The weights from the one `named` to reconstruct down to the last whose pictures, and all between, are as its."""
    here, found = quality(named.spot) if named.spot else None, []
    for spot in curve:
        if named.kl_weight is not None and spot.weight <= named.kl_weight:
            db = quality(spot)
            if here is None or db is None or abs(db - here) >= choice.WORTH_DB:
                break
            found.append(spot.weight)
    return found


def autoencoder_quality(study: Study, spot: Spot) -> float | None:
    """PSNR of held-out images that the autoencoder of the same network reaches, mean over its seeds."""
    values = [v for p in study.autoencoders(spot.family) if (v := p.get("val", "psnr_mean")) is not None]
    return float(np.mean(values)) if values else None


def at_twice_the_length(spot: Spot, share: float) -> float | None:
    """Its `quality` if twice the length took `share` off its objective, all of it off the error of decoded means.

    That is the most it can gain. None where the objective is no squared error, or the error too small to tell.
    """
    own, error, sse = quality(spot), spot.mean("val", "sse_mean"), spot.mean("val", "sse")
    if own is None or error is None or sse is None or spot.beta is None or spot.likelihood.unit != "SSE":
        return None
    left = error - share * (sse + spot.beta * spot.nats)
    return own + 10 * math.log10(error / left) if left > 0 else None


def reconstructs_the_same(
    study: Study, curve: Sequence[Spot], late: Collection[str], gains: Mapping[float, float]
) -> bool:
    """Whether `reconstruct` names the same weight if runs of twice the length gain what they may.

    gains: weight -> share of its objective. Each is tried alone and all together. False where that cannot be told.
    """
    known = [(spot, db) for spot in curve if (db := quality(spot)) is not None]
    weights, decibels = [s.weight for s, _ in known], [db for _, db in known]
    longer = [at_twice_the_length(s, gains[s.weight]) if s.weight in gains else db for s, db in known]
    if any(db is None for db in longer):
        return False
    ceiling = _ceiling(study, curve[0], late)
    named = choice.reconstruct(weights, decibels, ceiling)
    tried = [longer, *([new if k == i else old for k, (new, old) in enumerate(zip(longer, decibels, strict=True))]
                       for i, weight in enumerate(weights) if weight in gains)]  # fmt: skip
    found = [choice.reconstruct(weights, db, ceiling) for db in tried]
    return named is not None and all(
        other is not None and (other.weight, other.beyond) == (named.weight, named.beyond) for other in found
    )


def _ceiling(study: Study, spot: Spot, late: Collection[str]) -> float | None:
    """What no weight can exceed by much; None without an autoencoder, or where it may yet get better itself."""
    return None if any(p.id in late for p in study.autoencoders(spot.family)) else autoencoder_quality(study, spot)


def _reconstruct(study: Study, curve: Sequence[Spot], ceiling: float | None) -> Purpose:
    known = [(spot, db) for spot in curve if (db := quality(spot)) is not None]
    weights, decibels = np.array([s.weight for s, _ in known]), np.array([db for _, db in known])
    chosen = choice.reconstruct(weights, decibels, ceiling)
    if chosen is None:
        return _nothing("reconstruct", "No run has measured its reconstructions.")

    def again(db: np.ndarray) -> float | None:
        found = choice.reconstruct(weights, db)
        return found.weight if found else None

    values = _per_image([s for s, _ in known])
    chosen = _widened(chosen, chance.interval(again, values, [_DB_PER_SHARE] * len(values)))
    return _purpose("reconstruct", curve, chosen, _why_reconstruct(study, chosen, weights, decibels, ceiling))


def _why_reconstruct(
    study: Study, chosen: Choice, weights: np.ndarray, decibels: np.ndarray, ceiling: float | None
) -> str:
    order = np.argsort(weights)
    w, db = weights[order], decibels[order]
    here, ends = float(db[w == chosen.weight][0]), f"from {w[-1]:g} to {w[0]:g}"
    if len(w) == 1:
        return f"The only weight: {here:.1f} dB {study.held_out_words}."
    if chosen.beyond == "indifferent":
        return f"All weights {ends} are within {_db(float(np.ptp(db)))} of one another, {study.held_out_words}."
    if chosen.beyond == "below" and chosen.weight == w[0]:
        above = float(db[1]) if len(db) > 1 else here
        return f"The last step, from {w[1]:g}, still gained {_db(here - above)} {study.held_out_words}."
    if chosen.beyond == "below":
        gained = f"down to {w[0]:g} there are {_db(db[0] - here)}, {study.held_out_words}"
        return f"No weight ten times below {chosen.weight:g} was tried; {gained}."
    tenth = float(np.interp(math.log(chosen.weight / 10), np.log(w), db))
    gained = f"Ten times less weight gains {_db(tenth - here)}, where {choice.WORTH_DB:g} would be worth it"
    if chosen.bounded and ceiling is not None:
        more = f"{_db(ceiling - here)} better" if ceiling > here else "no better"
        gained = f"No smaller weight can gain {choice.WORTH_DB:g} dB: the autoencoder, which has no KL, is {more}"
    tail = "; a larger weight may do as well" if chosen.beyond == "above" else ""
    return f"{gained}, {study.held_out_words}{tail}."


def _db(value: float) -> str:
    """0.314 -> '0.3 dB'; below a tenth with two digits; noise that went the other way is no gain."""
    value = max(float(value), 0.0)
    return f"{value:.1f} dB" if value >= 0.095 else f"{value:.2f} dB" if value >= 0.005 else f"{value:.1g} dB"


def _per_image(curve: Sequence[Spot]) -> list[np.ndarray]:
    """PSNR of decoded means per weight, (seeds, images); where it was not kept for every image, (seeds, 1)."""
    own = all(spot.fidelity == FIDELITY[0] for spot in curve)
    if own and (kept := _kept(curve, "psnr_mean")):
        return [np.minimum(values, MOST_DB) for values in kept]
    return [np.array([[db] for p in spot.points if (db := _decibels(spot, p.get)) is not None]) for spot in curve]


# --- to sample -------------------------------------------------------------------------------------------------------


def _sample(curve: Sequence[Spot], reconstructs: Sequence[float]) -> Purpose:
    """Of draws from the prior: the smallest weight whose draws are as near to pictures as the nearest run's.

    It lies between the next smaller weight, which does not serve, and the one named, whatever larger ones do; where
    the largest tried serves alone, larger ones may be nearer still.
    """
    found = sampling.sampling(curve)
    if not found:
        return _nothing("sample", "Not judged yet: look at the draws from the prior below.")
    why, prior = sampling.in_words(found, reconstructs), found.get("prior")
    if prior is None or not prior.serves:
        return _nothing("sample", why)
    weight = prior.serves[-1]
    smaller = [other for other in prior.tried if other < weight]
    if len(prior.serves) == len(prior.tried):
        return _purpose("sample", curve, Choice(weight, None, None, "indifferent"), why)
    if weight == prior.tried[0]:
        return _purpose("sample", curve, Choice(weight, max(smaller), None, "above"), why)
    beyond = "within" if smaller else "below"
    return _purpose("sample", curve, Choice(weight, max(smaller, default=None), weight, beyond), why)


# --- by likelihood ---------------------------------------------------------------------------------------------------


def _likelihood(study: Study, curve: Sequence[Spot]) -> Purpose:
    """Where a Gaussian's noise is set by the weight: 2 MSE, held out. Else the largest bound among those tried."""
    known = [
        (s, mse)
        for s in curve
        if s.beta and s.likelihood.squared_error and (mse := s.mean("val", "mse") or s.mean("train", "mse"))
    ]
    if not known:
        return _largest_bound(study, curve)
    betas, mses = np.array([s.beta for s, _ in known], float), np.array([mse for _, mse in known])
    chosen = choice.likelihood(betas, mses)
    assert chosen is not None
    n = known[0][0].mean("val", "sse") or known[0][0].mean("train", "sse")
    pixels = (n or 0) / mses[0]

    def again(sse: np.ndarray) -> float | None:
        found = choice.likelihood(betas, sse / pixels)
        return found.weight if found else None

    values = [_terms(s, "sse", mse * pixels) for s, mse in known]
    spread = chance.interval(again, values, [v.mean() for v in values], positive=True) if pixels else None
    chosen = _widened(chosen, spread)
    nearest = min((s for s, _ in known), key=lambda s: abs(math.log((s.beta or 1) / chosen.weight)))
    own = nearest.weight / (nearest.beta or 1)  # what a weight in the user's convention is per beta
    sigma = math.sqrt(chosen.weight / 2)
    why = (
        f"The pixel noise that this weight assumes, {figure(_GREY_LEVELS * sigma, 2)} of {_GREY_LEVELS} grey"
        " levels, is as large as the error that it leaves"
    )
    best = max(known, key=lambda pair: pair[0].mean("val", "elbo_calibrated") or -math.inf)[0]
    if best.mean("val", "elbo_calibrated") is not None:
        why += f". Of those tried {best.weight:g} has the largest calibrated bound {study.held_out_words}"
    low, high = (end * own if end else None for end in (chosen.low, chosen.high))
    scaled = replace(chosen, weight=chosen.weight * own, low=low, high=high)
    return replace(_purpose("likelihood", curve, scaled, why + "."), beta=chosen.weight, spot=nearest)


def _terms(spot: Spot, name: str, mean: float) -> np.ndarray:
    if kept := _kept([spot], name):
        return kept[0]
    seeds = [v for p in spot.points if (v := p.get("val", name) or p.get("train", name)) is not None]
    return np.array(seeds or [mean], float)[:, None]


def _largest_bound(study: Study, curve: Sequence[Spot]) -> Purpose:
    """Where the crossing is not known: the largest held-out bound.

    At weight 1 only where the pixels have no noise that the weight could set: of others that bound is the largest near
    weight 1 whatever the images are.
    """
    at_1, others = ["elbo_beta1"], ["elbo", "elbo_calibrated"]
    noisy = curve[0].likelihood.squared_error or curve[0].likelihood.exponent is not None
    names = others + at_1 if noisy else at_1 + others
    name = next((n for n in names if all(s.mean("val", n) for s in curve)), None)
    if name is None:
        return _nothing("likelihood", "No run has a bound that the others share.")
    values = {s.weight: s.mean("val", name) or -math.inf for s in curve}
    chosen = choice.highest(list(values), list(values.values()))
    if chosen is None or chosen.beyond == "indifferent":
        return _nothing("likelihood", "One weight has no other to be compared with.")
    words = {"elbo_beta1": "at weight 1", "elbo": "of its own model", "elbo_calibrated": "at the calibrated noise"}
    bound = figure(values[chosen.weight], 4)
    why = f"The largest bound {words[name]} of those tried, {bound} nats {study.held_out_words}."
    return _purpose("likelihood", curve, chosen, why)


# --- for a code to work on -------------------------------------------------------------------------------------------


def _code(study: Study, curve: Sequence[Spot]) -> Purpose:
    known = [(s, active) for s in curve if (active := s.mean("val", "active_units")) is not None]
    d = curve[0].points[0].latent_dim
    chosen = choice.code([s.weight for s, _ in known], [a for _, a in known], d) if d else None
    if chosen is None or not d:
        return _nothing("code", "No run has counted its active units.")
    spot, active = next((s, a) for s, a in known if s.weight == chosen.weight)
    few = f", fewer than {choice.IN_USE:.0%}" if chosen.beyond == "below" else ""
    why = f"{active:.0f} of {d} units in use{few}, {figure(spot.nats)} nats."
    low, log_n = spot.mean("val", "mi_leave_one_out"), spot.mean("val", "log_n")
    if low is not None and log_n is not None:
        told = spot.mean("val", "mi_leave_in") or log_n
        told_of = f"{figure(min(told, log_n))} nats"
        most = (
            f"At least {told_of}, the most that so many images can show,"
            if told > log_n - 0.5
            else f"Of them {told_of}"
        )
        why += f" {most} tell which image it is."
    if (second := spot.mean("train", "moment_second")) is not None and second > 0:
        why += f" Codes spread {figure(math.sqrt(second), 2)} where the prior has 1."
    return _purpose("code", curve, chosen, why)


# --- shared ----------------------------------------------------------------------------------------------------------


def _kept(weights: Sequence[Spot], name: str) -> list[np.ndarray] | None:
    """A term of held-out images per weight, (seeds, images); None unless all runs have kept it of the same images."""
    rows = [[p.per_image(name) for p in spot.points] for spot in weights]
    sizes = {None if values is None else len(values) for row in rows for values in row}
    return None if None in sizes or len(sizes) != 1 else [np.array(row, float) for row in rows]


def _nothing(name: str, why: str) -> Purpose:
    return Purpose(name, None, None, None, None, None, None, None, why)


def _purpose(name: str, curve: Sequence[Spot], chosen: Choice, why: str) -> Purpose:
    nearest = min(curve, key=lambda s: abs(math.log(s.weight / chosen.weight)))
    beta = chosen.weight * nearest.beta / nearest.weight if nearest.beta else None
    return Purpose(
        name, chosen.weight, beta, chosen.low, chosen.high, chosen.beyond, stake(curve, quality),
        stake(curve, lambda s: s.mean("val", "elbo_calibrated")), why, nearest,
    )  # fmt: skip


def stake(curve: Sequence[Spot], of: Callable[[Spot], float | None]) -> float | None:
    """Between the best and the worst of the curve."""
    values = [value for s in curve if (value := of(s)) is not None]
    return max(values) - min(values) if values else None


def _widened(chosen: Choice, spread: tuple[float, float] | None) -> Choice:
    """What the weights tried leave open, or further out where seeds and images move the choice further."""
    if spread is None or chosen.beyond == "indifferent":
        return chosen
    low = min(chosen.low, spread[0]) if chosen.low is not None else None
    high = max(chosen.high, spread[1]) if chosen.high is not None else None
    return replace(chosen, low=low, high=high)
