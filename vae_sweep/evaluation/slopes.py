"""Gradients of the two terms with respect to the encoder, averaged over images."""

import torch
from torch import Tensor

from vae_sweep.evaluation.codes import BATCH, Split
from vae_sweep.models.objective import Objective


def encoder_gradients(objective: Objective, split: Split, noise: Tensor, batch: int = BATCH) -> tuple[Tensor, Tensor]:
    """Gradients of the mean reconstruction term and of the mean KL: two vectors over the encoder's parameters.

    noise: (N, d), one sample of z per image. The encoder is what the KL depends on. The model's own requires_grad
    flags are left as they were.
    """
    vae = objective.vae
    before = [(parameter, parameter.requires_grad) for parameter in vae.parameters()]
    try:
        vae.requires_grad_(True)
        parameters = _encoder(objective, split)
        of_recon = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in parameters]
        of_kl = [torch.zeros_like(total) for total in of_recon]
        for positions, x in split.batches(batch):
            posterior = vae.encode(x)
            out = vae.decode(posterior.sample(noise[positions]))
            recon, kl = objective.likelihood(out, x).sum(), posterior.kl().sum()
            for totals, term, keep in ((of_kl, kl, True), (of_recon, recon, False)):
                gradients = torch.autograd.grad(term, parameters, retain_graph=keep, allow_unused=True)
                for total, gradient in zip(totals, gradients, strict=True):
                    if gradient is not None:
                        total += gradient.cpu()
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)
    return _flat(of_recon, len(split)), _flat(of_kl, len(split))


def _encoder(objective: Objective, split: Split) -> list[Tensor]:
    parameters = list(objective.vae.parameters())
    kl = objective.vae.encode(split[:1]).kl().sum()
    used = torch.autograd.grad(kl, parameters, allow_unused=True)
    return [parameter for parameter, gradient in zip(parameters, used, strict=True) if gradient is not None]


def _flat(totals: list[Tensor], images: int) -> Tensor:
    return torch.cat([total.flatten() for total in totals]) / images
