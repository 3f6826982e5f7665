"""The linear VAE as an anchor: what it makes of the same held-out images at every weight and latent size of a sweep."""

from dataclasses import dataclass

import numpy as np

from vae_sweep.analysis.study import Study
from vae_sweep.analysis.words import figure
from vae_sweep.report import sprites
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.records import read_arrays
from vae_sweep.theory import first_look
from vae_sweep.theory.first_look import nearest

GAP = 2  # white pixels between the pictures of a row


@dataclass(frozen=True)
class Row:
    """name: the original, or a weight as the user typed it; words: what is left; uri: of one row of pictures."""

    name: str
    words: str
    uri: str


@dataclass(frozen=True)
class Anchor:
    latent_dim: int
    rows: list[Row]


def anchors(study: Study) -> list[Anchor]:
    """One per latent size of the first data set; none without a forecast of pictures, or of no weight."""
    fingerprint = next((p.data for p in study.points), "")
    for sweep in study.sweeps:
        path = sweep.folder / first_look.file_name(fingerprint)
        try:
            arrays = read_arrays(path)
            if not len(arrays["betas"]):  # a model of all weights has no beta of its own
                continue
            return [
                _anchor(study, forecast_of(sweep.manifest, fingerprint), arrays, k)
                for k in range(len(arrays["linear"]))
            ]
        except (ValueError, KeyError):  # none, or torn: an anchor less
            continue
    return []


def _anchor(study: Study, forecast: dict, arrays: dict[str, np.ndarray], at: int) -> Anchor:  # type: ignore[type-arg]
    d = int(arrays["latent_dims"][at])
    curve = next((c for c in forecast.get("linear", []) if c["latent_dim"] == d), None)
    rows = [Row("original", "held out", _uri(arrays["originals"]))]
    for beta, pictures in zip(arrays["betas"], arrays["linear"][at], strict=True):
        rows.append(Row(_typed(study, d, float(beta)), _words(curve, float(beta)), _uri(pictures)))
    return Anchor(d, rows)


def _typed(study: Study, latent_dim: int, beta: float) -> str:
    """The weight that somebody typed for this beta, where one did."""
    for point in study.points:
        if point.latent_dim == latent_dim and point.weight and point.beta and abs(point.beta / beta - 1) < 1e-6:
            return f"{point.weight:g}"
    return f"beta {beta:g}"


def _words(curve: dict | None, beta: float) -> str:  # type: ignore[type-arg]
    if curve is None:
        return ""
    psnr, rate = (nearest(curve, beta, key) for key in ("psnr_mean", "rate"))
    return "" if psnr is None else f"{psnr:.1f} dB, {figure(rate)} nats"


def _uri(pictures: np.ndarray) -> str:
    """(K, H, W, C) uint8 -> one row, white between."""
    k, h, w, c = pictures.shape
    spaced = np.full((k, h, w + GAP, c), 255, np.uint8)
    spaced[:, :, :w] = pictures
    return str(sprites.encode(spaced[None], lossless=True)["uri"])
