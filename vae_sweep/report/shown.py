"""Which runs of a large sweep have their pictures, curves and codes on the page: about 40 KB a run."""

import numpy as np

from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.study import Study

MOST = 500


def shown(study: Study, found: Recommendation, most: int = MOST) -> set[str]:
    """Their ids: all of up to `most` runs. Of more, those of the recommended curve first, then models for all weights
    and autoencoders, then the others at even distances in the order of the sweep.
    """
    ids = [point.id for point in study.points]
    if len(ids) <= most:
        return set(ids)
    of_the_curve = [point.id for spot in found.curve for point in spot.points]
    beside = [point.id for point in study.points if point.multi_rate or point.autoencoder]
    first = list(dict.fromkeys([*of_the_curve, *beside]))[:most]
    chosen = set(first)
    rest = [run for run in ids if run not in chosen]
    places = np.linspace(0, len(rest) - 1, min(most - len(first), len(rest))).round().astype(int)
    return chosen | {rest[place] for place in places}
