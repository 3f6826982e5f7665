"""What the page's scripts draw: plain JSON, the same numbers that plots.py draws and the table shows."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.analysis import frontier, glossary
from vae_sweep.analysis.curves import series, thin
from vae_sweep.analysis.gap import PARTS, split_gap
from vae_sweep.analysis.kept import kept
from vae_sweep.analysis.latents import GRID, marginals, plane
from vae_sweep.analysis.point import (
    LATENT,
    MULTI_RATE,
    OBJECTIVE,
    RANGE,
    SCHEDULE,
    SEED,
    WEIGHT,
    Point,
    Setting,
    name_of,
    short,
)
from vae_sweep.analysis.recommend import Recommendation
from vae_sweep.analysis.sampling import SEES, of_point
from vae_sweep.analysis.spots import Spot, spots
from vae_sweep.analysis.study import SPLITS, Study
from vae_sweep.analysis.survey import Context
from vae_sweep.analysis.verdicts import Finding
from vae_sweep.report.pictures import Pictures, choose_detail, progress_steps
from vae_sweep.report.shown import shown
from vae_sweep.theory.first_look import nearest
from vae_sweep.theory.linear import ACTIVE

Json = dict[str, Any]
CURVE_POINTS = 160
MARGINAL_UNITS = 6
CLOUD = 300  # latent codes drawn per run
_NUMBERS = ("kl", "psnr", "psnr_mean", "active_units", "beta_hat", "grad_norm_recon", "grad_norm_kl")


@dataclass(frozen=True)
class Payload:
    """`data`: one JSON for the page, without the runs' pictures. `shown`: how many runs have theirs on the page."""

    data: Json
    pictures: Pictures
    shown: int


def build(study: Study, verdicts: dict[str, list[Finding]], context: Context, found: Recommendation) -> Payload:
    weights = study_weights(study)
    colours = {w: i for i, w in enumerate(weights)}
    chosen = shown(study, found)
    on_page = [point for point in study.points if point.id in chosen]
    pictures = Pictures(choose_detail(on_page), progress_steps(on_page))
    latents: dict[str, Json] = {}
    for point in on_page:
        curve = point.arrays("curve.npz") if point.multi_rate else {}
        arrays, progress = point.arrays(), point.arrays("progress.npz")
        if arrays or progress:
            pictures.add(point.id, point.data, arrays, curve, progress)
        if arrays:
            latents[point.id] = _latents(study, point, arrays)
    data = {
        "runs": [_run(p, verdicts.get(p.id, []), colours, pictures) for p in study.points],
        "weights": weights, "originals": pictures.originals,
        "matrix": _matrix(study), "hero": _hero(study, found),
        "planes": {split: _plane(study, split, context, colours) for split in SPLITS},
        "curves": {p.id: _curves(p) for p in on_page}, "charts": charts(study),
        "latents": latents,
        "sampling": _sampling(study),
        "grid": GRID.tolist(), "gaps": _gaps(study), "gapParts": list(PARTS),
        "recommended": {"weight": found.weight, "runs": [p.id for p in found.spot.points] if found.spot else []},
        "errorName": study.error_name, "split": study.split,
    }  # fmt: skip
    return Payload(_rounded(data) | {"settings": _settings(study)}, pictures, len(on_page))


def charts(study: Study) -> dict[str, str]:
    """{key in a run's rows, without its split: title} of the training curves."""
    own = {"recon": "reconstruction: squared error"} if {p.likelihood.unit for p in study.points} == {"SSE"} else {}
    return {key: own.get(key, title) for key, title in glossary.charts().items()}


def study_weights(study: Study) -> list[float]:
    """Every weight, largest first: its place is its colour's number."""
    return sorted({p.weight for p in study.points if p.weight is not None}, reverse=True)


def family_name(family: Iterable[Setting]) -> str:
    return ", ".join(f"{name_of(key)} {short(value)}" for key, value in family)


def _run(point: Point, findings: list[Finding], colours: dict[float, int], pictures: Pictures) -> Json:
    return {
        "id": point.id, "label": point.label, "weight": point.weight,
        "colour": colours.get(point.weight) if point.weight is not None else None, "beta": point.beta,
        "autoencoder": point.autoencoder, "multiRate": point.multi_rate,
        "family": family_name(point.family), "seed": point.seed, "latent": point.latent_dim,
        "error": point.error_name, "status": point.status, "kept": kept(point),
        "verdict": findings[0].words if findings else "",
        "folder": f"{point.run.folder.parent.name}/{point.run.folder.name}",
        "pictures": sorted(pictures.runs.get(point.id, {})), "data": pictures.data.get(point.data),
        **{
            split: {name: point.get(split, name) for name in _NUMBERS} | {"distortion": point.distortion(split)}
            for split in SPLITS
        },
    }  # fmt: skip


def _settings(study: Study) -> Json:
    """The whole configurations: `common` to all runs, and what each run has of its `own`."""
    flats = {p.id: {key: _plain(value) for key, value in p.flat.items()} for p in study.points}
    first = next(iter(flats.values()), {})
    common = {k: v for k, v in first.items() if all(k in flat and flat[k] == v for flat in flats.values())}
    own = {run: {k: v for k, v in flat.items() if k not in common} for run, flat in flats.items()}
    return {"common": common, "own": own}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) or value is None else json.dumps(value, default=str)


def _matrix(study: Study) -> Json:
    """Rows: weights, largest first. Columns: families (latent size, schedule ...). Cells: run ids, one per seed."""
    families = list(dict.fromkeys(p.family for p in study.points if p.weight is not None)) or [()]
    families.sort(key=lambda f: [_sortable(v) for _, v in f])
    weights = study_weights(study)
    cells = {
        str(i): {
            str(j): [p.id for p in study.points if p.weight == w and p.family == f and not p.autoencoder]
            for j, f in enumerate(families)
        }
        for i, w in enumerate(weights)
    }  # fmt: skip
    anchors = [[p.id for p in study.points if p.autoencoder and set(p.family) <= set(f)] for f in families]
    seeds = list(dict.fromkeys(str(p.seed) for p in study.points))
    varied = [name_of(k) for k in study.swept if k not in (WEIGHT, SEED, OBJECTIVE, MULTI_RATE, RANGE)]
    order = [name for name in (name_of(LATENT), name_of(SCHEDULE)) if name in varied]
    return {
        "columns": [family_name(f) for f in families], "cells": cells, "autoencoders": anchors, "seeds": seeds,
        "columnTitle": " and ".join(order or varied),
    }  # fmt: skip


def _sortable(value: Any) -> tuple[float, str]:
    try:
        return (float(value), "")
    except ValueError:
        return (math.inf, str(value))


def _hero(study: Study, found: Recommendation) -> Json:
    """Run ids of the recommended family, largest weight to smallest, one seed; and its autoencoder.

    `model`: the run of all weights that speaks for them, where no weight has a run of its own.
    """
    if not found.curve or found.one_model:
        done = [p for p in study.done if p.autoencoder]
        model = found.curve[0].points[0].id if found.curve else None
        return {"runs": [], "autoencoder": done[0].id if done else None, "model": model}
    seed = (found.spot or found.curve[-1]).points[0].seed
    runs = [next((p for p in s.points if p.seed == seed), s.points[0]) for s in found.curve]
    anchors = study.autoencoders(found.curve[0].family)
    anchor = next((p for p in anchors if p.seed == seed), anchors[0] if anchors else None)
    return {"runs": [p.id for p in runs], "autoencoder": anchor.id if anchor else None, "model": None}


# --- the plane -------------------------------------------------------------------------------------------------------


def _plane(study: Study, split: str, context: Context, colours: dict[float, int]) -> Json:
    families = []
    for family, curve in spots(study, split).items():
        hull = frontier.lower_hull([s.rate for s in curve], [s.distortion for s in curve])
        families.append({
            "name": family_name(family), "latent": curve[0].points[0].latent_dim,
            "spots": [_spot(s, split, context, colours) for s in curve],
            "hull": [[curve[i].rate, curve[i].distortion] for i in hull],
            "autoencoder": study.autoencoder_distortion(family, split),
        })  # fmt: skip
    anchors = {p.data: p for points in study.families.values() for p in points}.values()  # one run of each data set
    means = [mean for p in anchors if (mean := study.mean_image_distortion(p)) is not None]
    linear = {
        (p.data, curve["latent_dim"]): _linear(study, curve, split)
        for p in anchors
        for curve in study.forecast(p).get("linear", [])
        if study.squared_error and (split == "train" or "held_out" in curve)
    }
    running = [p for p in study.points if p.status == "running"]
    curves = [
        {"name": p.label, "run": p.id, "family": family_name(p.family), "points": p.curve(split)}
        for p in study.multi_rate
    ]
    return {
        "families": families, "meanImages": means, "linear": list(linear.values()),
        "multiRate": [curve for curve in curves if curve["points"]],
        "provisional": [shown for p in running if (shown := _provisional(p, split, colours))],
    }  # fmt: skip


def _provisional(point: Point, split: str, colours: dict[float, int]) -> Json | None:
    """Where a run that still trains stands, and the way it came, from its rows; None before its first row."""
    if point.weight is None:
        return None
    own, recon = f"{split}/{point.distortion_key}", f"{split}/recon"
    places = [[row.get(f"{split}/kl"), row.get(recon) if row.get(own) is None else row[own]] for row in point.rows]
    trail = [place for place in places if None not in place]
    if not trail:
        return None
    rate, distortion = trail[-1]
    return {"run": point.id, "colour": colours[point.weight], "rate": rate, "distortion": distortion,
            "trail": trail[len(trail) // 3 :][-CURVE_POINTS:]}  # fmt: skip


def _linear(study: Study, curve: Json, split: str) -> Json:
    """The linear model's curve on the images of a split, and its points at the betas of the runs of its latent size."""
    values = curve if split == "train" else curve["held_out"]
    betas = sorted({p.beta for p in study.vaes if p.beta and p.latent_dim == curve["latent_dim"]})
    at = [[nearest(curve, beta, key, split == "val") for key in ("rate", "distortion")] for beta in betas]
    marks = [[b, *point] for b, point in zip(betas, at, strict=True) if None not in point]
    return {"latent": curve["latent_dim"], "rate": values["rate"], "distortion": values["distortion"], "marks": marks}


def _spot(spot: Spot, split: str, context: Context, colours: dict[float, int]) -> Json:
    return {
        "weight": spot.weight, "beta": spot.beta, "colour": colours[spot.weight],
        "rate": spot.rate, "rateSd": spot.rate_sd, "distortion": spot.distortion,
        "distortionSd": spot.distortion_sd, "runs": [p.id for p in spot.points],
        "seeds": [[p.rate(split), p.distortion(split)] for p in spot.points] if len(spot.points) > 1 else [],
        "dominated": any(p.id in context.dominated for p in spot.points),
    }  # fmt: skip


# --- samples ---------------------------------------------------------------------------------------------------------

_PAIRS = ("blur", "holes", "prior", "fitted")


def _sampling(study: Study) -> Json:
    """Of every curve by feature set (cubic kernel) and pair: [weight, value, low, high], means over seeds."""
    curves = []
    for family, own in spots(study).items():
        judged = {s.weight: [of_point(p)["distances"] for p in s.points if of_point(p)] for s in own}
        sets = {name: {pair: _distances(judged, name, pair) for pair in _PAIRS} for name in SEES}
        if any(rows for pairs in sets.values() for rows in pairs.values()):
            curves.append({"name": family_name(family), "sets": sets})
    return {"curves": curves, "sees": SEES}


def _distances(judged: dict[float, list[Json]], name: str, pair: str) -> list[list[float]]:
    found = []
    for weight, seeds in judged.items():
        rows = [row for one in seeds if (row := one.get(name, {}).get("cubic", {}).get(pair))]
        values = [[row["value"], row["low"], row["high"]] for row in rows if None not in row.values()]
        if values:
            found.append([weight, *np.mean(values, 0).tolist()])
    return found


# --- curves, latents, gaps -------------------------------------------------------------------------------------------


def _curves(point: Point) -> Json:
    """{"recon": {"train": [steps, values], "val": ...}, ..., "weight": [steps, values]}; empty ones left out."""
    found: Json = {}
    for term in glossary.charts():
        for split in SPLITS:
            steps, values = thin(*series(point.rows, f"{split}/{term}"), CURVE_POINTS)
            if len(steps):
                found.setdefault(term, {})[split] = [steps.tolist(), values.tolist()]
    if not point.autoencoder:
        steps, values = thin(*series(point.rows, "kl_weight"), CURVE_POINTS)
        if len(steps):
            found["weight"] = [steps.tolist(), values.tolist()]
    return found


def _latents(study: Study, point: Point, arrays: dict[str, np.ndarray]) -> Json:
    if "latent_mean" not in arrays:
        return {}
    mean, std = arrays["latent_mean"], arrays.get("latent_std")
    kl = arrays.get("kl_per_unit")
    found: Json = {}
    if kl is not None:
        order = np.argsort(-kl, kind="stable")
        activity = arrays.get("activity")
        found["kl"] = kl[order].tolist()
        found["active"] = (activity[order] > ACTIVE).tolist() if activity is not None else None
        if std is not None:
            own = marginals(mean[:CLOUD], std[:CLOUD], order[:MARGINAL_UNITS])
            found["marginals"] = {"density": own.density.tolist()}
    if (projection := plane(study, point, arrays)) is not None:
        found["cloud"] = projection.samples[:CLOUD].tolist()
        found["variance"] = projection.variance.tolist()
        if "latent_labels" in arrays:
            found["labels"] = arrays["latent_labels"][:CLOUD].tolist()
    return found


def _gaps(study: Study) -> list[Json]:
    """One entry per family: its weights, largest first, then its autoencoder; each the mean over the seeds."""
    found = []
    for family, points in study.families.items():
        weights = list(dict.fromkeys(p.weight for p in points))
        rows = [(w, [p for p in points if p.weight == w]) for w in weights] + [(None, study.autoencoders(family))]
        bars = [bar for weight, same in rows if (bar := _bar(study, weight, same))]
        if bars:
            found.append({"name": family_name(family), "bars": bars})
    return found


def _bar(study: Study, weight: float | None, points: list[Point]) -> Json | None:
    gaps = [gap for p in points if (gap := split_gap(study, p))]
    if not gaps:
        return None
    parts = {part: float(np.mean([getattr(gap, part) for gap in gaps])) for part in PARTS}
    return {"weight": weight, "reference": gaps[0].reference, "runs": len(gaps), **parts}


def _rounded(value: Any) -> Any:
    """Four significant digits: below what a pixel shows, and half the size."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return value
