"""Which weight serves a purpose: rules whose result does not depend on the range tried. Arrays in, a Choice out.

The weights may come in any order and need not be evenly apart. Every rule looks at what happens *below* a weight, in
the same way wherever the weights begin and end: runs added above (collapsed ones, say) change nothing, and smaller
weights added below can only lower the weight that `reconstruct` names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Values = Sequence[Any] | np.ndarray  # one number per weight

WORTH_DB = 0.5  # what ten times less weight has to gain, to be worth it: about what an eye sees side by side
_DECADE = 0.95  # of log10: 1 and 0.11 count as a decade apart
IN_USE = 0.9  # the share of the units that a code has to use


@dataclass(frozen=True)
class Choice:
    """weight: the one to take. low, high: where the true one lies as far as the weights tried can tell (None: open).

    beyond: "within"; "below": at most `weight`, and how much less cannot be said; "above": at least `weight`;
    "indifferent": every weight tried does. bounded: nothing ten times below it was tried, and yet no smaller weight
    can gain anything worth it.
    """

    weight: float
    low: float | None
    high: float | None
    beyond: str
    bounded: bool = False


def reconstruct(weights: Values, decibels: Values, ceiling: float | None = None) -> Choice | None:
    """The largest weight from which ten times less weight gains less than WORTH_DB, there and everywhere below.

    decibels: PSNR of the decoded means, held out, at each weight. What has been reached at a weight counts for smaller
    ones, too: where they lose it, by noise or by overfitting, they gain nothing. A pair of weights is *steep* if the
    smaller gains WORTH_DB per tenfold between them; a pair nearer than tenfold has to gain all of WORTH_DB. The weight
    named is the largest below every steep pair's larger one. Without weights tenfold below it, it is an upper bound;
    unless `ceiling`, what the autoencoder of the same network reaches, leaves no WORTH_DB to any smaller weight.
    """
    w, db = _rising(weights, decibels)
    if not len(w):
        return None
    measured, db = db, np.maximum.accumulate(db[::-1])[::-1]
    steep = _steep(np.log10(w), db)
    taken = int(np.flatnonzero(steep)[0]) - 1 if steep.any() else len(w) - 1
    if not steep.any() and len(w) > 1 and np.ptp(measured) < WORTH_DB * min(1.0, np.log10(w[-1] / w[0])):
        return Choice(float(w[-1]), None, None, "indifferent")
    above = float(w[taken + 1]) if taken + 1 < len(w) else None
    near = bool(w[taken] < w[0] * 10**_DECADE)
    bounded = ceiling is not None and bool(db.max() <= ceiling + 0.1 and ceiling - db[taken] < WORTH_DB)
    if near and not bounded:
        return Choice(float(w[taken]), None, above or float(w[taken]), "below")
    return Choice(float(w[taken]), float(w[taken]), above, "above" if above is None else "within", near)


def _steep(u: np.ndarray, db: np.ndarray) -> np.ndarray:
    """Whether a smaller weight gains enough over each, (k,); u: log10 of the weights, rising. The first never is."""
    gain, decades = db[None, :] - db[:, None], u[:, None] - u[None, :]  # [a, b]: from a down to b
    wide = np.maximum(np.where(decades < _DECADE, 1.0, decades), 1.0)
    return np.asarray(((decades > 0) & (gain >= WORTH_DB * wide)).any(1))


def likelihood(betas: Values, mses: Values) -> Choice | None:
    """Where the pixel noise that a weight claims, beta / 2, is the error that is left: beta = 2 MSE, on log-log axes.

    mses: squared error per pixel with sampled z, at each beta; along exact optima that is where the calibrated ELBO is
    largest (Rybkin et al. 2021, eq. 7). Outside the range tried: 2 MSE of the nearest end, an estimate. Within it the
    true one lies between 2 MSE of both neighbours, as the error rises with the weight; where theirs falls, between the
    neighbours themselves.
    """
    b, c = _rising(betas, 2 * np.asarray(mses, float))
    if not len(b):
        return None
    ratio = np.log(c / b)
    if ratio[0] < 0:
        return Choice(float(c[0]), None, float(b[0]), "below")
    if ratio[-1] > 0:
        return Choice(float(c[-1]), float(b[-1]), None, "above")
    i = int(np.flatnonzero(ratio >= 0)[-1])
    if i == len(b) - 1 or ratio[i] == ratio[i + 1]:
        return Choice(float(b[i]), float(b[i]), float(b[i]), "within")
    share = ratio[i] / (ratio[i] - ratio[i + 1])
    found = float(np.exp(np.log(b[i]) + share * np.log(b[i + 1] / b[i])))
    low, high = (c[i], c[i + 1]) if c[i] <= c[i + 1] else (b[i], b[i + 1])
    return Choice(found, float(low), float(high), "within")


def highest(weights: Values, values: Values) -> Choice | None:
    """The weight with the largest value; at an end of the range the true one may lie beyond."""
    w, v = _rising(weights, values)
    if not len(w):
        return None
    i = int(v.argmax())
    low, high = (float(w[i - 1]) if i else None), (float(w[i + 1]) if i + 1 < len(w) else None)
    beyond = "within" if low and high else "below" if high else "above" if low else "indifferent"
    return Choice(float(w[i]), low, high, beyond)


def code(weights: Values, active: Values, latent_dim: int) -> Choice | None:
    """The largest weight at which IN_USE of the units carry something, there and at every smaller weight.

    active: active units at each weight.
    """
    w, units = _rising(weights, active)
    if not len(w):
        return None
    short = np.flatnonzero(units < IN_USE * latent_dim)
    if not len(short):
        return Choice(float(w[-1]), float(w[-1]), None, "above")
    if short[0] == 0:
        return Choice(float(w[0]), None, float(w[0]), "below")
    taken = short[0] - 1
    return Choice(float(w[taken]), float(w[taken]), float(w[taken + 1]), "within")


def _rising(weights: Values, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, smallest weight first, without what is not finite."""
    w, v = np.asarray(weights, float), np.asarray(values, float)
    order = np.argsort(w, kind="stable")
    order = order[np.isfinite(v[order])]
    return w[order], v[order]
