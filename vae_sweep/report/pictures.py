"""The pictures of all runs as sprite sheets, one run in memory at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vae_sweep.analysis.point import Point
from vae_sweep.report import sprites

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]
PROGRESS_IMAGES, PROGRESS_PIXELS = 4, 8_000_000  # of each run; of all
PRIOR_SAMPLES, PRIOR_COLUMNS = 64, 16


@dataclass(frozen=True)
class Pictures:
    """`runs`: id -> its sheets by name. `originals`: a sheet per data set, the last tile the mean image where known."""

    detail: sprites.Detail
    progress_steps: int
    runs: dict[str, Json] = field(default_factory=dict)
    originals: list[Json] = field(default_factory=list)
    data: dict[str, int] = field(default_factory=dict)  # fingerprint -> place in `originals`

    def add(self, point_id: str, fingerprint: str, arrays: Arrays, curve: Arrays, progress: Arrays) -> None:
        """arrays: evaluation.npz; curve: curve.npz of a multi-rate run; progress: progress.npz."""
        self.runs[point_id] = (
            _sheets(arrays, self.detail)
            | _curve_sheets(curve, self.detail)
            | _progress_sheets(progress, self.detail, self.progress_steps)
        )
        if "originals" in arrays and fingerprint not in self.data:
            self.data[fingerprint] = len(self.originals)
            self.originals.append(_originals(arrays, self.detail))


def choose_detail(points: Sequence[Point]) -> sprites.Detail:
    """How good the pictures can be: every run of a sweep writes as many as the first."""
    written = [p for p in points if (p.run.folder / "evaluation.npz").exists()]
    arrays = next((a for p in written if "recon_mean" in (a := p.arrays())), {})

    def tiles(*names: str) -> int:
        return len(written) * sum(math.prod(arrays[name].shape[:-3]) for name in names if name in arrays)

    if not arrays:
        return sprites.Detail(lossless=True)
    _, h, w, _ = arrays["recon_mean"].shape
    curves = sum(len(c.get("kl_weights", ())) * 3 * len(arrays["recon_mean"])
                 for p in points if p.multi_rate and (c := p.arrays("curve.npz")))  # fmt: skip
    return sprites.choose_detail(
        (h, w),
        tiles("recon_mean", "recon_sampled") + curves,
        tiles("prior_samples", "fitted_samples", "interpolations", "traversals"),
    )


def progress_steps(points: Sequence[Point]) -> int:
    """How many steps of each run's progress.npz can be shown: two at least."""
    shapes = [a["recon_mean"].shape for p in points if "recon_mean" in (a := p.arrays("progress.npz"))]
    if not shapes:
        return 0
    pixels = PROGRESS_IMAGES * shapes[0][2] * shapes[0][3]
    return int(max(2, PROGRESS_PIXELS // (len(shapes) * pixels)))


def _sheets(arrays: Arrays, detail: sprites.Detail) -> Json:
    """Sprite sheets of one run; rows of `recon`: from the mean, from a noisy code."""
    found: Json = {}
    rows = [arrays[k] for k in ("recon_mean", "recon_sampled") if k in arrays]
    if "recon_mean" in arrays:
        found["recon"] = sprites.encode(np.stack(rows), detail.lossless, detail.shrink)
    for name, key in (("prior", "prior_samples"), ("fitted", "fitted_samples")):
        if key in arrays:
            samples = arrays[key][:PRIOR_SAMPLES]
            columns = min(PRIOR_COLUMNS, len(samples))
            samples = samples[: len(samples) // columns * columns]
            found[name] = sprites.encode(
                samples.reshape(-1, columns, *samples.shape[1:]), detail.lossless, detail.side_shrink
            )
    for name in ("interpolations", "traversals"):
        if name in arrays and arrays[name].size:
            found[name] = sprites.encode(arrays[name], detail.lossless, detail.side_shrink)
    if "traversals" in found:
        found["traversals"] |= {
            "units": arrays.get("traversal_units", np.arange(len(arrays["traversals"]))).tolist(),
            "values": arrays.get("traversal_values", np.array([])).tolist(),
            "start": arrays.get("traversal_start", np.array([])).tolist(),  # at a held-out image; else the prior's mean
        }
    return found


def _curve_sheets(curve: Arrays, detail: sprites.Detail) -> Json:
    """A multi-rate run at its weights; rows of `recon`: all weights from the mean, then all from a noisy code."""
    if "kl_weights" not in curve:
        return {}
    recon = np.concatenate([curve["recon_mean"], curve["recon_sampled"]])
    return {"curve": {
        "weights": curve["kl_weights"].tolist(),
        "recon": sprites.encode(recon, detail.lossless, detail.shrink),
        "prior": sprites.encode(curve["prior_samples"], detail.lossless, detail.shrink),
    }}  # fmt: skip


def _progress_sheets(progress: Arrays, detail: sprites.Detail, most: int) -> Json:
    """A run while it trained: a row of pictures for each step, and their originals."""
    if "steps" not in progress or not len(progress["steps"]):
        return {}
    steps = progress["steps"]
    kept = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    return {"progress": {
        "steps": steps[kept].tolist(),
        "recon": sprites.encode(progress["recon_mean"][kept, :PROGRESS_IMAGES], detail.lossless),
        "originals": sprites.encode(progress["originals"][None, :PROGRESS_IMAGES], detail.lossless),
    }}  # fmt: skip


def _originals(arrays: Arrays, detail: sprites.Detail) -> Json:
    row = list(arrays["originals"])
    has_mean = "mean_image" in arrays
    sheet = sprites.encode(np.stack(row + [arrays["mean_image"]] * has_mean)[None], detail.lossless, detail.shrink)
    return sheet | {"count": len(row), "hasMean": has_mean}
