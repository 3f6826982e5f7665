"""Is it the squared error that blurs? How much of the held-out error a KL weight can change, by the runs themselves."""

from collections.abc import Sequence

from vae_sweep.analysis.gap import Gap, split_gap
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.words import figure, percent


def blur(study: Study) -> str | None:
    """A sentence on the family with most weights; None where no two weights and an autoencoder were evaluated."""
    found = [gaps for points in study.families.values() if len(gaps := _gaps(study, points)) > 1]
    if not found:
        return None
    gaps = max(found, key=len)
    (high, first), (low, last) = (gaps[max(gaps)], max(gaps)), (gaps[min(gaps)], min(gaps))
    left = min(low.capacity + low.generalisation, low.total)
    return (
        f"On these images the KL accounts for {percent(_share(high))} of the held-out error at weight {first:g} and "
        f"for {percent(_share(low))} at {last:g}; the {figure(left)} of {figure(low.total)} that remain there are the "
        "network's and the new images', and no weight takes them away."
    )


def _gaps(study: Study, points: Sequence) -> dict[float, Gap]:
    """Weight -> where the error of one of its runs comes from, measured against an autoencoder."""
    found = {p.weight: gap for p in points if (gap := split_gap(study, p)) and gap.reference == "autoencoder"}
    return {weight: gap for weight, gap in found.items() if weight is not None and gap.total > 0}


def _share(gap: Gap) -> float:
    return max(0.0, gap.pressure + gap.sampling) / gap.total
