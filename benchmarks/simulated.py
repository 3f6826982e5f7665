"""A training that only waits, and ends where the linear VAE does in closed form: to try what surrounds training.

`+hydra.launcher.target=benchmarks.simulated:train_pack` takes the place of training. Members are told by keys that are
added to a network that takes any: `model=own model._target_=benchmarks.networks.small +model.sleep_s=0.5`. Everything
else, workers, folders, files and events, is what a real sweep has. The data are those of `spectrum()`, whatever images
the sweep was given.
"""

import functools
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.runs.files import write_arrays, write_json
from vae_sweep.runs.reading import known_manifest
from vae_sweep.runs.writing import Report, RunFiles
from vae_sweep.theory import Spectrum, linear_vae

PIXELS, RANK = 192, 64  # 8x8 RGB
ROWS = 10
_LOOK_S = 0.05  # between two looks at whether to stop


@functools.cache
def spectrum() -> Spectrum:
    """Eigenvalues that fall as those of pictures do, about as the square of their number."""
    values = 8.0 / np.arange(1, RANK + 1) ** 1.8
    return Spectrum(values, float(values.sum()) + 0.05, PIXELS, 1000, 1000, True)


def metrics(kl_weight: float, latent_dim: int) -> dict[str, float]:
    """Of the optimum at a weight: kl [nats], sse, sse_mean [squared error], psnr, psnr_mean [dB], active_units."""
    found = linear_vae(spectrum(), latent_dim, kl_weight)
    return {
        "kl": found.rate,
        "sse": found.distortion,
        "recon": found.distortion,
        "sse_mean": found.distortion_mean,
        "psnr": -10 * math.log10(found.distortion / PIXELS),
        "psnr_mean": -10 * math.log10(found.distortion_mean / PIXELS),
        "active_units": float(found.active_units),
    }


def measured(config: Mapping[str, Any]) -> dict[str, float]:
    """What a member's evaluation finds: the optimum, and noise that its seed and weight decide.

    model.noise: standard deviation, in dB of the PSNR and in hundredths of the rate.
    """
    weight, model = config["loss"]["kl_weight"], config["model"]
    found = metrics(weight, int(model["latent_dim"]))
    if noise := model.get("noise", 0.0):
        rng = np.random.default_rng([config["seed"], zlib.crc32(repr(float(weight)).encode())])
        decibels, rate = noise * rng.standard_normal(2)
        factor = 10 ** (-decibels / 10)
        for name in ("sse", "recon", "sse_mean"):
            found[name] *= factor
        found |= {"psnr": found["psnr"] + decibels, "psnr_mean": found["psnr_mean"] + decibels}
        found["kl"] *= 1 + rate / 100
    return found


def train_pack(
    sweep: Path, members: Sequence[str], report: Report, should_stop: Callable[[], bool]
) -> list[dict[str, Any]]:
    """Every member waits model.sleep_s, writes rows and its evaluation, and is done."""
    manifest = known_manifest(sweep)
    wanted = set(members)
    entries = {entry["id"]: entry for entry in manifest["members"] if entry["id"] in wanted}
    results = []
    for member in members:
        config = entries[member]["config"]
        files = RunFiles(sweep, entries[member], {"versions": manifest["versions"], "device": "cpu"}, report)
        files.begin(0, ROWS)
        end, found = time.monotonic() + config["model"].get("sleep_s", 0.0), measured(config)
        for row in range(1, ROWS + 1):
            shown = {f"train/{name}": value * (1 + 1 / row) for name, value in found.items() if name in ("recon", "kl")}
            loss = shown["train/recon"] + config["loss"]["kl_weight"] * shown["train/kl"]
            files.log_metrics({"train/loss": loss, "kl_weight": config["loss"]["kl_weight"], **shown}, row)
        while time.monotonic() < end and not should_stop():
            time.sleep(_LOOK_S)
        if should_stop():
            results.append(files.end("interrupted", ROWS, {}))
            continue
        if config["model"].get("fails"):
            raise ValueError(str(config["model"]["fails"]))
        write_json(files.folder / "evaluation.json", {"schema": 1, "step": ROWS, "train": found, "val": found})
        if config["model"].get("pictures"):
            write_arrays(files.folder / "evaluation.npz", _pictures(config["seed"]))
        results.append(files.end("done", ROWS, {f"val/{name}": value for name, value in found.items()}))
    return results


def _pictures(seed: int) -> dict[str, np.ndarray]:
    """What a run's evaluation keeps of a few pictures, of noise that compresses no better than photographs do."""
    rng = np.random.default_rng(seed)
    eight = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    return {
        "originals": eight,
        "mean_image": eight[0],
        "recon_mean": eight,
        "recon_sampled": eight,
        "latent_mean": rng.standard_normal((200, 8)).astype(np.float32),
        "latent_std": np.full((200, 8), 0.5, np.float32),
        "kl_per_unit": np.arange(8, 0, -1).astype(np.float32),
        "activity": np.ones(8, np.float32),
    }
