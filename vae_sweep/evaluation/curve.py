"""A multi-rate model at many weights: its whole rate-distortion curve, on the images that evaluation measures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.evaluation import showing
from vae_sweep.evaluation.codes import BATCH, Split, noise_for
from vae_sweep.evaluation.noise import fitted_noise
from vae_sweep.metrics.pictures import psnr
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.models.objective import Objective
from vae_sweep.runs.files import write_arrays
from vae_sweep.runs.records import write_record
from vae_sweep.runs.schema import SCHEMA
from vae_sweep.theory.conventions import Sizes, factors
from vae_sweep.theory.linear import ACTIVE
from vae_sweep.theory.weights import THE_SAME

POINTS = 16
FILE, PICTURE_FILE = "curve.json", "curve.npz"
PICTURE_BYTES = 40_000_000  # before compression
Row = dict[str, float]


def curve_weights(model: MultiRateVAE, also: Iterable[float] = ()) -> list[float]:
    """16 weights from end to end of the model's range, equal ratios, and those of `also` that lie in it; rising.

    One of `also` takes the place of any of the 16 that is the same to THE_SAME.
    """
    low, high = model.kl_weight_range
    asked = {float(weight) for weight in also if low <= weight <= high}
    evenly = {float(f"{weight:.4g}") for weight in np.geomspace(low, high, POINTS)}
    return sorted(asked | {w for w in evenly if not any(math.isclose(w, own, rel_tol=THE_SAME) for own in asked)})


def sweep_weights(manifest: Mapping[str, Any]) -> set[float]:
    """Weights of the VAEs of a sweep, which a multi-rate model is compared with."""
    configs = [member["config"] for member in manifest["members"]]
    return {float(config["loss"]["kl_weight"]) for config in configs if config["objective"] == "vae"}


def curve(
    objective: Objective,
    step: int,
    data: ImageData,
    kl_weights: Sequence[float],
    batch_size: int,
    images: int | None = 1024,
) -> dict[str, Any]:
    """What curve.json holds: for both splits a row per weight of recon, sse, mse, kl, and loss at that weight;
    active_units; held out also sse_mean and psnr_mean, of the decoded means, and elbo_calibrated.

    The images and the noise are those of `evaluate` with the same `images`, so that a row can be compared with the
    evaluation of a separate run. step: how many it was trained for; batch_size: with which. Raises ValueError for a
    model of one weight.
    """
    if not objective.multi_rate:
        raise ValueError("a curve needs a multi-rate model (model.multi_rate=true)")
    found: dict[str, Any] = {"schema": SCHEMA, "step": step, "images": images}
    was_training = objective.training
    objective.eval()
    try:
        for name, rows in (("train", data.train), ("val", data.val)):
            split = Split(data, chosen(rows, images), next(objective.parameters()).device)
            found[name] = _rows(objective, split, name, kl_weights, batch_size)
            pixels = split.pixels
        _calibrate(objective, found["train"], found["val"], pixels)
    finally:
        objective.train(was_training)
    return found


@torch.no_grad()
def curve_pictures(objective: Objective, data: ImageData, kl_weights: Sequence[float]) -> showing.Arrays:
    """What curve.npz holds: kl_weights (W,), and of each of them held-out images and draws of the prior.

    recon_mean, recon_sampled, prior_samples: (W, M, H, W, C) uint8, with the images and the noise of evaluation.npz;
    M = 8, fewer where images are so large that the file would pass PICTURE_BYTES.
    """
    device = next(objective.parameters()).device
    bytes_each = 3 * len(kl_weights) * math.prod(data.images.shape[1:])
    count = max(1, min(showing.PICTURES, PICTURE_BYTES // bytes_each))
    split = Split(data, chosen(data.val, count), device)
    noise = {name: noise_for((rows, objective.vae.latent_dim), device, name)
             for name, rows in (("val", len(split)), ("prior", showing.PRIOR_SAMPLES))}  # fmt: skip
    was_training = objective.training
    objective.eval()
    try:
        at = [showing.at_weight(objective, weight, split[:], noise["val"], noise["prior"][:count])
              for weight in kl_weights]  # fmt: skip
    finally:
        objective.train(was_training)
    return {"kl_weights": np.array(kl_weights), **{name: np.stack([found[name] for found in at]) for name in at[0]}}


def write_curve(folder: Path, found: dict[str, Any], pictures: showing.Arrays) -> None:
    """curve.json and curve.npz into a run folder; the json last, so that where it is there is everything."""
    write_arrays(folder / PICTURE_FILE, pictures)
    write_record(folder / FILE, found)


@torch.no_grad()
def _rows(objective: Objective, split: Split, name: str, kl_weights: Sequence[float], batch_size: int) -> list[Row]:
    model = objective.vae
    noise = noise_for((len(split), model.latent_dim), split.device, name)
    sums: list[dict[str, Tensor]] = [{} for _ in kl_weights]
    for positions, x in split.batches(BATCH):
        encoded = model.vae.encoded(x)  # does not know the weight: once for all
        for total, weight in zip(sums, kl_weights, strict=True):
            view = model.at(weight)
            posterior = view.posterior(encoded)
            recon, sse = objective.likelihood.compare(view.decode(posterior.sample(noise[positions])), x)
            terms = {"recon": recon, "sse": sse, "kl": posterior.kl()}
            if name == "val":  # twice the decoding, for what the choice of a weight rests on
                _, of_mean = objective.likelihood.compare(view.decode(posterior.mean), x)
                terms |= {"sse_mean": of_mean, "psnr_mean": psnr(of_mean / split.pixels)}
            mean = posterior.mean.double()
            terms |= {"code": mean, "code squared": mean.square()}  # sums over images (d,)
            for term, values in terms.items():
                total[term] = total.get(term, torch.zeros(())) + values.double().sum(0).cpu()
    on_recon, on_kl = factors(objective.reduction, Sizes(split.pixels, model.latent_dim, batch_size))
    rows = []
    for weight, total in zip(kl_weights, sums, strict=True):
        code, squared = (total.pop(term) / len(split) for term in ("code", "code squared"))
        row = {"kl_weight": weight} | {term: float(value) / len(split) for term, value in total.items()}
        row |= {"mse": row["sse"] / split.pixels, "loss": on_recon * row["recon"] + weight * on_kl * row["kl"]}
        rows.append(row | {"active_units": float((squared - code.square() > ACTIVE).sum())})
    return rows


def _calibrate(objective: Objective, train: list[Row], held_out: list[Row], pixels: int) -> None:
    """Adds elbo_calibrated to the held-out rows: with the noise fitted at each weight on the training images."""
    for fitted_on, row in zip(train, held_out, strict=True):
        noise = fitted_noise(objective.likelihood, pixels, fitted_on["mse"])
        if noise is None:
            continue
        nats = noise.nats(torch.tensor(row["recon"]).double(), torch.tensor(row["sse"]).double())  # affine in both
        row["elbo_calibrated"] = -float(nats + row["kl"])
