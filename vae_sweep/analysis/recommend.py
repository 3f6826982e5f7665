"""Which runs the answer is about, what state they are in, and which weight serves which purpose on them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vae_sweep.analysis.convergence import LATE, Convergence, convergence
from vae_sweep.analysis.one_model import taken_apart
from vae_sweep.analysis.point import Setting
from vae_sweep.analysis.purposes import NAMES, Purpose, purposes, quality, reconstructs_the_same
from vae_sweep.analysis.rules import DEAD_RATE
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.verdicts import Finding

TIE_DB = 0.1  # families whose best runs are nearer than that reconstruct alike: the smaller latent wins
Curves = dict[tuple[Setting, ...], list[Spot]]


@dataclass(frozen=True)
class Recommendation:
    """`kind`: curve | one_weight | collapsed | constant, or without any finished VAE of a weight of its own
    only_multi_rate | only_controllers | only_autoencoder | unfinished | all_failed | empty.

    `one_model`: the curve is that of a model of all weights, by itself: no VAE of a weight of its own has finished.
    `curve`: the weights of the network that the answer is about which learned something, largest first; `idle`: those
    which did not. `purposes`: by name; `front`: which comes first. `convergence`: of every run, by its id.
    `unconverged`: weight -> what speaks against the convergence of one of its runs; `stuck`: those of them that longer
    training does not mend; `harmless`: whether what they may gain by twice the length leaves the answer as it is.
    `behind`: how many of the curve's weights are behind the linear model. `overfits`: likewise.
    """

    kind: str
    front: str = "reconstruct"
    curve: list[Spot] = field(default_factory=list)
    idle: list[Spot] = field(default_factory=list)
    purposes: dict[str, Purpose] = field(default_factory=dict)
    families: int = 0
    unconverged: dict[float, str] = field(default_factory=dict)
    stuck: set[float] = field(default_factory=set)
    convergence: dict[str, Convergence] = field(default_factory=dict)
    behind: int = 0
    overfits: int = 0
    one_model: bool = False
    harmless: bool = False

    @property
    def chosen(self) -> Purpose | None:
        """The purpose in front; None where it has no weight to name."""
        found = self.purposes.get(self.front)
        return found if found and found.kl_weight is not None else None

    @property
    def spot(self) -> Spot | None:
        """The weight that the page marks: nearest to what the purpose in front names, else to reconstruct."""
        found = self.chosen or self.purposes.get("reconstruct")
        return found.spot if found else None

    @property
    def weight(self) -> float | None:
        return self.spot.weight if self.spot else None

    @property
    def in_doubt(self) -> bool:
        """Whether runs that have not converged may change the answer: the one named, or a third of the curve."""
        late = len(self.unconverged)
        many = 3 * late >= len(self.curve) and not self.harmless
        return bool(late) and (self.weight in self.unconverged or many)

    @property
    def train_longer(self) -> bool:
        """Whether the answer is in doubt, and longer training may mend it."""
        return self.in_doubt and bool(self.unconverged.keys() - self.stuck)

    @property
    def doubling(self) -> float:
        """The largest share of its objective that one of the answer's runs is to gain by twice the length; or 0."""
        runs = [self.convergence[p.id] for spot in self.curve or self.idle for p in spot.points]
        return max((c.trend.gain for c in runs if c.trend is not None), default=0.0)


def recommend(study: Study, verdicts: Mapping[str, list[Finding]], front: str = "reconstruct") -> Recommendation:
    """Raises ValueError for an unknown purpose."""
    if front not in NAMES:
        raise ValueError(f"purpose={front}: expected one of {', '.join(NAMES)}")
    context = survey(study)
    known = {point.id: convergence(point, context) for point in study.points}
    curves = _on_one_data_set(_of_their_own_weight(spots(study)))
    one_model = not curves and bool(study.multi_rate)
    if one_model:
        curves = {f: curve for f, curve in spots(taken_apart(study)).items() if len(curve) > 1}
    if not curves:
        return Recommendation(_without_runs(study), front, convergence=known)
    learned = {family: useful(curve) for family, curve in curves.items()}
    family = _best_family({f: c for f, c in learned.items() if c} or curves)
    curve, idle = learned[family], [spot for spot in curves[family] if spot not in learned[family]]
    if not curve:
        constant = any(spot.rate >= DEAD_RATE for spot in curves[family])
        kind = "constant" if constant else "collapsed"
        return Recommendation(kind, front, idle=idle, families=len(curves), convergence=known, one_model=one_model)
    waits = {run for run, c in known.items() if c.word in (*LATE, "unknown")}  # no ceiling: none is at rest for certain
    late = {spot.weight: [c for p in spot.points if (c := known[p.id]).word in LATE] for spot in curve}
    kind = "curve" if len(curves[family]) > 1 else "one_weight"
    gains = {weight: max(_by_twice_the_length(c) for c in found) for weight, found in late.items() if found}
    harmless = front == "reconstruct" and reconstructs_the_same(study, curve, waits, gains)
    return Recommendation(
        kind, front, curve, idle, purposes(study, curve, waits), len(curves),
        {weight: next(iter(found[0].doubts.values()))[0] for weight, found in late.items() if found},
        {weight for weight, found in late.items() if found and all(c.word == "stuck" for c in found)},
        known, len(_hit(curve, verdicts, {"behind-linear"})), len(_hit(curve, verdicts, {"overfits"})), one_model,
        harmless,
    )  # fmt: skip


def _by_twice_the_length(late: Convergence) -> float:
    """The share of its objective; what nobody can tell of is boundless."""
    known = late.trend is not None and late.doubts.keys() == {"falling"}
    return late.trend.gain if known and late.trend is not None else math.inf


def useful(curve: Sequence[Spot]) -> list[Spot]:
    """Without the runs whose code carries nothing: they say where collapse begins, and nothing of the other weights."""
    return [spot for spot in curve if learned_something(spot)]


def learned_something(spot: Spot) -> bool:
    """Whether a unit is active. A constant code is not, however many nats it costs."""
    active = spot.mean("val", "active_units")
    active = spot.mean("train", "active_units") if active is None else active
    return spot.rate >= DEAD_RATE and active != 0


def _of_their_own_weight(curves: Curves) -> Curves:
    """Without controllers and capacities: their loss.kl_weight is not the weight they end at."""
    return {family: curve for family, curve in curves.items() if not curve[0].points[0].weight_moves}


def _on_one_data_set(curves: Curves) -> Curves:
    """Of a sweep over the data's own settings, the curves on the data with most weights: errors of others differ."""
    sizes = Counter(curve[0].points[0].data for curve in curves.values() for _ in curve)
    chosen = max(sizes, key=lambda data: sizes[data], default=None)
    return {family: curve for family, curve in curves.items() if curve[0].points[0].data == chosen}


def _without_runs(study: Study) -> str:
    if not study.points:
        return "empty"
    if all(p.status == "failed" for p in study.points):
        return "all_failed"
    if study.multi_rate and all(p.multi_rate or p.autoencoder for p in study.done):
        return "only_multi_rate"
    waited_for = [p for p in study.points if p.status not in ("done", "failed") and not p.autoencoder]
    if any(p.weight_moves for p in study.vaes) and all(p.weight_moves for p in waited_for):
        return "only_controllers"
    return "only_autoencoder" if study.done and all(p.autoencoder for p in study.points) else "unfinished"


def _best_family(curves: Curves) -> tuple[Setting, ...]:
    """Whose best run reconstructs held-out images best; near ties: fewest latents, then most weights.

    In decibels of decoded means, which mean the same for every likelihood, reduction and schedule. One weight alone is
    no curve: of a sweep that still trains, or whose runs have failed, its network waits for a second.
    """
    curves = {family: curve for family, curve in curves.items() if len(curve) > 1} or curves

    def best(family: tuple[Setting, ...]) -> float:
        return max((db for spot in curves[family] if (db := quality(spot)) is not None), default=-math.inf)

    top = max(map(best, curves))
    near = [family for family in curves if best(family) >= top - TIE_DB] or list(curves)
    return min(near, key=lambda f: (curves[f][0].points[0].latent_dim or 0, -len(curves[f]), -best(f)))


def _hit(curve: Sequence[Spot], verdicts: Mapping[str, list[Finding]], rules: set[str]) -> dict[float, str]:
    """Weight -> what the first of `rules` says of one of its runs."""
    found = {}
    for spot in curve:
        findings = (f for p in spot.points for f in verdicts.get(p.id, []))
        if first := next((f for f in findings if f.rule in rules), None):
            found[spot.weight] = first.words
    return found
