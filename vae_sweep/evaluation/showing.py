"""Pictures and codes for the report to draw: arrays only, so that it needs no torch."""

import numpy as np
import torch
from torch import Tensor

from vae_sweep.evaluation.codes import Codes, Split, noise_for
from vae_sweep.models.objective import Objective

Arrays = dict[str, np.ndarray]

PICTURES = 8
PRIOR_SAMPLES = 64
PAIRS, STEPS = 4, 8  # interpolations
UNITS = 8
VALUES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a unit in a traversal: deviations of what codes have there
CODES = 1000


@torch.no_grad()
def pictures(objective: Objective, held_out: Split, codes: Codes) -> Arrays:
    """Held-out images, their reconstructions, and paths between the codes of neighbours.

    originals, recon_mean, recon_sampled: (M, H, W, C) uint8. interpolations (P, S, H, W, C): decoded on the straight
    line between two posterior means, which no Gaussian fitted to the codes finds less likely than the worse of its
    ends. codes: of `held_out`.
    """
    shown = held_out.first(PICTURES)
    x = shown[:]
    mean = codes.posterior.mean[: len(x)]
    found = {"originals": as_bytes(x), "recon_mean": decode(objective, mean)}
    if not objective.deterministic:
        found["recon_sampled"] = decode(objective, codes.z[: len(x)])
    pairs = min(PAIRS, len(x) // 2)
    if pairs:
        starts, ends = mean[: 2 * pairs : 2, None], mean[1 : 2 * pairs : 2, None]
        way = torch.linspace(0, 1, STEPS, device=x.device)[:, None]
        found["interpolations"] = decode(objective, starts + way * (ends - starts))  # (P, S, d)
    return found


@torch.no_grad()
def at_weight(objective: Objective, kl_weight: float, x: Tensor, noise: Tensor, prior: Tensor) -> Arrays:
    """A multi-rate model at one weight: x (M, C, H, W) from the mean and from a noisy code, prior (M, d) decoded."""
    view = objective.vae.at(kl_weight)
    posterior = view.encode(x)
    codes = {"recon_mean": posterior.mean, "recon_sampled": posterior.sample(noise[: len(x)]), "prior_samples": prior}
    return {name: as_bytes(objective.likelihood.image(view.decode(z))) for name, z in codes.items()}


@torch.no_grad()
def from_the_prior(objective: Objective, kl_per_unit: Tensor, start: Tensor, centre: Tensor, spread: Tensor) -> Arrays:
    """Draws of the prior, and walks along the units that carry the most, from a code of an image.

    start (d,): the posterior mean of the first image of `originals`, whose other units stay. centre, spread (d,): mean
    and deviation of every unit in the fitted sampler, within three of which a walk stays; where none was fitted, the
    prior's 0 and 1. prior_samples (64, H, W, C); traversals (U, S, H, W, C), traversal_units (U,), traversal_values
    (U, S): what the unit is set to; traversal_start (U,): what it is at the image.
    """
    device = start.device
    z = noise_for((PRIOR_SAMPLES, len(start)), device, "prior")
    units = kl_per_unit.argsort(descending=True, stable=True)[:UNITS].cpu()
    walks = start.repeat(len(units), len(VALUES), 1)
    on = units.to(device)
    values = centre[on, None] + spread[on, None] * torch.tensor(VALUES, device=device)
    walks[torch.arange(len(units)), :, units] = values.to(walks.dtype)
    return {
        "prior_samples": decode(objective, z),
        "traversals": decode(objective, walks),
        "traversal_units": units.numpy(),
        "traversal_values": values.float().cpu().numpy(),
        "traversal_start": start[on].float().cpu().numpy(),
    }


def latents(codes: Codes, labels: np.ndarray | None, deterministic: bool) -> Arrays:
    """latent_mean, latent_std (K, d), latent_labels (K,) of at most 1000 images; activity, kl_per_unit (d,) of all."""
    mean = codes.posterior.mean
    found = {"latent_mean": mean[:CODES], "activity": mean.var(0, correction=0)}
    if not deterministic:
        found["latent_std"] = codes.posterior.variance[:CODES].sqrt()
        found["kl_per_unit"] = codes.posterior.kl_per_unit().mean(0)
    arrays = {name: value.float().cpu().numpy() for name, value in found.items()}
    return arrays if labels is None else arrays | {"latent_labels": labels[:CODES]}


@torch.no_grad()
def decode(objective: Objective, z: Tensor) -> np.ndarray:
    """z (..., d) -> (..., H, W, C) uint8."""
    images = [as_bytes(objective.likelihood.image(objective.vae.decode(part))) for part in z.flatten(0, -2).split(64)]
    flat = np.concatenate(images)
    return flat.reshape(*z.shape[:-1], *flat.shape[1:])


def as_bytes(images: Tensor) -> np.ndarray:
    """(B, C, H, W) -> (B, H, W, C) uint8: clipped to [0, 1] and rounded, on one scale for all runs.

    Of more than three bands the first three are shown; of two, the second twice.
    """
    if images.shape[1] not in (1, 3):
        images = images[:, [0, 1, min(2, images.shape[1] - 1)]]
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
