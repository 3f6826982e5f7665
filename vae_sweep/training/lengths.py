"""How long a run is: whether a checkpoint lies on the way of a run of another length, and when a run is done."""

from collections.abc import Mapping
from typing import Any

import torch

from vae_sweep.analysis.convergence import AT_REST, BEHIND, LEFT, balances
from vae_sweep.analysis.survey import objective_of
from vae_sweep.analysis.trend import objective, trend
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.evaluation.codes import Split, noise_for
from vae_sweep.evaluation.noise import distortion_per_recon
from vae_sweep.evaluation.slopes import encoder_gradients
from vae_sweep.metrics.gradients import gradient_view
from vae_sweep.runs.members import total_steps
from vae_sweep.runs.withheld import resolved
from vae_sweep.runs.writing import RunFiles
from vae_sweep.schedules import same_multiplier
from vae_sweep.schedules.learning_rate import same_until
from vae_sweep.training.build import build_schedule
from vae_sweep.training.lit_vae import LitVAE

_IMAGES = 512  # whose gradients are looked at


def fits(checkpoint: Mapping[str, Any], config: Mapping[str, Any], images: int) -> int:
    """2: the run of `config` passes through this checkpoint; 1: likewise, but for rows that a shorter run ended with;
    0: it goes another way.
    """
    old = checkpoint["hyper_parameters"]["config"]
    before, wanted = checkpoint["progress"].get("total_steps", total_steps(old, images)), total_steps(config, images)
    by_itself = checkpoint["progress"].get("rest") is not None and bool(config["trainer"].get("until"))
    if before == wanted or by_itself:
        return 2
    step = checkpoint["step"]
    if step > same_until(config["optimizer"]["lr_schedule"], before, wanted):
        return 0
    if not _same_kl_weight(old, config, images, step):
        return 0
    return 1 if step == before else 2


def _same_kl_weight(old: Mapping[str, Any], config: Mapping[str, Any], images: int, steps: int) -> bool:
    """Of a controller of ours, which heeds no length; of schedules by comparison; of other controllers nobody knows."""
    made = [build_schedule(resolved(one, ["kl_schedule"]), total_steps(one, images)) for one in (old, config)]
    if any(hasattr(schedule, "at") for schedule, _ in made):
        return str(config["kl_schedule"]["_target_"]).startswith("vae_sweep.")
    return all(
        same_multiplier(one, other, steps) for one, other in zip(*made, strict=True) if one is not None is not other
    )


def is_at_rest(member: LitVAE, file: RunFiles, data: ImageData, forecast: Mapping[str, Any]) -> bool:
    """Whether a run at its full learning rate is done: twice the length would gain less than AT_REST, as it did the
    last time, any length less than LEFT, it is not BEHIND the linear VAE, and the gradients on the encoder balance.

    forecast: of the training images (theory/forecast.py). A run that rests at a saddle where no linear VAE tells of it
    has to rest there as long as it has trained before.
    """
    beta, likelihood = file.entry.get("beta"), member.objective.likelihood
    priced = member.objective.deterministic or beta is not None
    key = likelihood.traits.distortion if priced else "loss"
    heading = trend(file.written(), key, beta, arbitrary_zero=not likelihood.traits.zero_means_something)
    if heading is None or heading.split != "val" or max(heading.gain, heading.fell) > AT_REST or heading.left > LEFT:
        return False
    if heading.rise > 0 or beta is None or member.objective.deterministic:
        return True
    if _is_behind(member, file, forecast, beta):
        return False
    device = next(member.parameters()).device
    was_training = member.training
    member.eval()
    try:
        # A validation has switched gradients off.
        with member.as_judged(), torch.inference_mode(False), torch.enable_grad():
            split = Split(data, chosen(data.train, _IMAGES), device)
            noise = noise_for((len(split), member.objective.vae.latent_dim), device, "gradients")
            view = gradient_view(*encoder_gradients(member.objective, split, noise))
    finally:
        member.train(was_training)
    return beta < 0.01 or balances(view.beta_hat * distortion_per_recon(likelihood), beta)


def _is_behind(member: LitVAE, file: RunFiles, forecast: Mapping[str, Any], beta: float) -> bool:
    """Whether its last quarter on training images is above the linear VAE's objective on them."""
    traits = member.objective.likelihood.traits
    if not (traits.squared_error and member.objective.is_elbo) or member.objective.multi_rate:
        return False
    linear = objective_of(forecast.get("linear", []), member.objective.vae.latent_dim, beta)
    steps, values = objective(file.written(), "train", traits.distortion, beta)
    last = values[steps > 0.75 * member.step]
    return linear is not None and len(last) > 0 and float(last.mean()) > (1 + BEHIND) * linear
