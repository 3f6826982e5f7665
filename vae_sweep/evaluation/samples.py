"""Do samples look like the pictures, and if not, why: blur, or holes? And a sampler fitted to the codes.

Four sets of pictures, all of the size of the held-out images that are compared:

    real    held-out images                       recon   their codes (z ~ q), decoded
    prior   draws of the prior, decoded           fitted  draws of the sampler that is fitted to training codes, decoded

The distance of prior to real is what a user sees. Of it, recon to real is *blur*, which is there before anything is
drawn; prior to recon is *holes*: draws that fall where no code lies. What fitted comes nearer than prior was holes;
fitted to recon are those that the fitted sampler leaves.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data.batches import generator
from vae_sweep.data.split import EVALUATION_SEED
from vae_sweep.evaluation.codes import Codes, Split, noise_for
from vae_sweep.evaluation.showing import as_bytes, decode
from vae_sweep.metrics.features import FEATURES, features
from vae_sweep.metrics.two_sample import KERNELS, distance, null, standardised
from vae_sweep.models.code_sampler import CodeSampler
from vae_sweep.models.grid_sampler import Grid, GridSampler, fit, from_arrays
from vae_sweep.models.layout import Layout
from vae_sweep.models.multi_rate import AtWeight
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import Posterior
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.records import read_arrays

# name -> the two sets; whether they are independent, so that there is a null by permutation
PAIRS = {
    "blur": ("recon", "real", False),
    "holes": ("prior", "recon", True),
    "prior": ("prior", "real", True),
    "fitted": ("fitted", "real", True),
    "fitted_holes": ("fitted", "recon", True),
}
MAIN = ("random_conv", "cubic")
FEWEST = 8
SHOWN = 64

Sets = dict[str, np.ndarray]  # (N, H, W, C) uint8 each


@dataclass(frozen=True)
class Samples:
    """values: numbers of the held-out split. detail: all distances with intervals, for `samples` of evaluation.json."""

    values: dict[str, float]
    detail: dict[str, Any]
    arrays: dict[str, np.ndarray]
    sampler: dict[str, np.ndarray]  # for sampler.npz: plain arrays


@torch.no_grad()
def judge(
    objective: Objective, held_out: Split, held_out_codes: Codes, training: Split, training_codes: Codes, images: int
) -> Samples | None:
    """Fit a sampler to codes of `training`, draw, and compare with at most `images` held-out ones.

    training_codes: of the same images, or of more, or of the first of them; only the others are encoded.
    None where fewer than 8 are held out, or fewer than 2 trained on. Draws are the same for every run: a function of
    how many there are.
    """
    n = min(images, len(held_out))
    if n < FEWEST or len(training) < 2:
        return None
    posterior, saved = training_codes.first(len(training)), {}
    if objective.multi_rate:
        said = encoded(objective, training)
        posterior, saved = objective.vae.at(objective.vae.kl_weight).posterior(said), {"encoded": said.cpu().numpy()}
    codes = codes_of(objective, training, posterior)
    sampler = fit(codes.cpu().numpy(), grid_of(objective.vae))
    drawn = {"fitted": torch.from_numpy(sampler.sample(max(n, SHOWN))).to(codes.device)}
    if not objective.deterministic:
        drawn["prior"] = noise_for((n, sampler.latent_dim), codes.device, "samples")
    sets = {"real": as_bytes(held_out[:n]), "recon": decode(objective, held_out_codes.z[:n])}
    sets |= {name: decode(objective, z) for name, z in drawn.items()}
    apart = distances({name: pictures[:n] for name, pictures in sets.items()})
    known: dict[str, Any] = {
        "over": "cells" if isinstance(sampler, GridSampler) else "codes",
        "components": sampler.components,
        "shrinkage": sampler.shrinkage,
        "codes": sampler.codes,
        "left_out_nats": sampler.left_out_nats,
        "left_out_se": sampler.left_out_se,
        "novelty": novelty(drawn["fitted"][:n], held_out_codes.z[:n], codes),
    }
    values = {f"distance_{name}": found["value"] for name, found in apart[MAIN[0]][MAIN[1]].items()}
    values |= {f"sampler_{name}": known[name] for name in ("components", "left_out_nats", "novelty")}
    detail = {"images": n, "distances": apart, "sampler": known}
    return Samples(values | scale_of(codes), detail, _arrays(sets, codes), sampler.arrays() | saved)


@torch.no_grad()
def codes_of(objective: Objective, split: Split, known: Posterior) -> Tensor:
    """(N, d): one code of each image, drawn from its posterior; the mean, of an autoencoder.

    known: the posterior of the first images.
    """
    noise = noise_for((len(split), objective.vae.latent_dim), split.device, "sampler")
    begin = len(known.mean)
    others = ((positions, objective.vae.encode(x)) for positions, x in split.batches(begin=begin))
    parts = itertools.chain([(slice(begin), known)], others)
    if objective.deterministic:
        return torch.cat([posterior.mean for _, posterior in parts])
    return torch.cat([posterior.sample(noise[positions]) for positions, posterior in parts])


@torch.no_grad()
def encoded(objective: Objective, split: Split) -> Tensor:
    """(N, 2 d) float32: what the encoder of a multi-rate model says, which is the same at every weight."""
    return torch.cat([objective.vae.vae.encoded(x) for _, x in split.batches()]).float()


def grid_of(vae: Any) -> Grid | None:
    """Where latents lie on a grid; None where all are of the whole picture."""
    at = getattr(getattr(vae, "vae", vae), "layout", None)  # of a multi-rate or Bayesian model that of what it holds
    return Grid(at.picture_codes, at.cells) if isinstance(at, Layout) and at.cell_codes else None


def saved_sampler(path: Path, step: int, vae: Any) -> CodeSampler | GridSampler:
    """What `judge` has fitted, from its file; for a multi-rate model at a weight, fitted to the codes at that weight.

    step: of the model. Raises ValueError if the file is of another step.
    """
    try:
        found = read_arrays(path)
    except RecordError as error:
        raise ValueError(f"{error}: evaluate the run again") from None
    if int(found["step"]) != step:
        fitted = f"{path} was fitted at step {found['step']}, this model is of step {step}"
        raise ValueError(f"{fitted}: evaluate the run again")
    if not isinstance(vae, AtWeight):
        return from_arrays(found)
    posterior = vae.posterior(torch.from_numpy(found["encoded"]))
    noise = noise_for(posterior.mean.shape, posterior.mean.device, "sampler")
    return fit(posterior.sample(noise).detach().numpy(), grid_of(vae))


def distances(sets: Sets) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """feature set -> kernel -> pair -> value, low, high (95 %); of independent sets null_high and p as well."""
    found: dict[str, Any] = {}
    for name in FEATURES:
        seen = {key: features(_as_images(pictures), name) for key, pictures in sets.items()}
        found[name] = {kernel: dict(_pairs(seen, kernel)) for kernel in KERNELS}
    return found


def _pairs(seen: dict[str, Tensor], kernel: str) -> Iterator[tuple[str, dict[str, float]]]:
    for pair, (one, other, independent) in PAIRS.items():
        if one in seen and other in seen:
            a, b = standardised(seen[one], seen[other])
            found = dict(distance(a, b, KERNELS[kernel])._asdict())
            if independent:
                chance = null(a, b, KERNELS[kernel], generator("cpu", "samples", EVALUATION_SEED))
                found |= {"null_high": chance.high, "p": chance.p}
            yield pair, found


def novelty(drawn: Tensor, held_out: Tensor, training: Tensor) -> float:
    """How far draws lie from the nearest training code, over how far codes of held-out images do; medians.

    Near 1 or above: as new as new images. Far below 1: the sampler repeats its training codes.
    """
    near = [torch.cdist(z.float(), training.float()).min(1).values.median() for z in (drawn, held_out)]
    return float(near[0] / near[1].clamp(min=1e-12))


def scale_of(codes: Tensor) -> dict[str, float]:
    """What comes after needs to know of codes (N, d): their deviation, of all numbers together, and how they correlate.

    1 / code_std is the factor that latent diffusion scales codes by (Rombach et al. 2022, section D.1).
    """
    z = codes.cpu().double()
    found = {"code_std": float(z.std())}
    moving = z[:, z.std(0) > 0] if len(z) > 2 else z[:, :0]
    n, d = moving.shape
    if d > 1:
        units = (moving - moving.mean(0)) / moving.std(0)
        over = units @ units.T if n < d else units.T @ units  # either has the sum of all squared correlations
        found["code_correlation"] = float(
            ((over.square().sum() / (n - 1) ** 2 - d) / (d * (d - 1))).clamp(min=0).sqrt()
        )
    return found


def _arrays(sets: Sets, codes: Tensor) -> dict[str, np.ndarray]:
    """fitted_samples (64, H, W, C) uint8; code_std (d,)."""
    return {"fitted_samples": sets["fitted"][:SHOWN], "code_std": codes.std(0).float().cpu().numpy()}


def _as_images(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) in [0, 1], as they are looked at."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
