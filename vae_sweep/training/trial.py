"""What is not ours, tried on one batch before a sweep begins: a network, a likelihood or a schedule of somebody's own.

A process of its own, since the one that plans a sweep does not load torch:

    in   {"batch": X.npy, "images": 900, "members": [{"config": {...}, "overrides": ["+model.width=8"]}, ...]}
    out  {"refused": null, "says": [...]}: what each member's parts say of themselves (traits.py); or in the place of
         null one line that says what is wrong with the first member that cannot train
"""

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from vae_sweep.models.likelihoods import Bernoulli
from vae_sweep.models.own import taken
from vae_sweep.models.squashed import squashed
from vae_sweep.runs.withheld import resolved
from vae_sweep.training.build import build
from vae_sweep.training.describe import describe, in_one_line
from vae_sweep.training.init_from import network_of, start_from
from vae_sweep.training.lit_vae import LitVAE

_OURS = Path(__file__).parents[1]


def refused(config: Mapping[str, Any], overrides: Sequence[str], batch: Tensor, images: int) -> str | None:
    """Build the member and take the gradients of one batch (B, C, H, W) in [0, 1]. None, or why it cannot train."""
    target = config["model"]["_target_"]
    try:
        if unused := _not_taken(target, config["model"], overrides):
            return f"{unused}: {target} has no parameter of that name"
        lit = build(config, tuple(batch.shape[1:]), images)  # type: ignore[arg-type]
        if start := config["model"].get("init_from"):
            start_from(network_of(lit), start)
        if twice := _what_bernoulli_squashes_twice(lit, target):
            return twice
        if len(batch) == 1 and any(isinstance(part, BatchNorm) for part in lit.modules()):
            return f"data.batch_size=1: {target} has BatchNorm, whose statistics are those of a batch"
        loss = _loss(lit, batch)
        if not torch.isfinite(loss):
            return f"model._target_={target}: the loss of the first batch is {loss.item()}"
        if not loss.requires_grad:
            return f"model._target_={target}: the loss has no gradient for any of its parameters"
        loss.backward()
    except Exception as error:
        said = str(error).strip().splitlines() or ["no message"]
        if str(error).startswith(("model.", "loss.", "kl_schedule.", "trainer.")):  # the key is named
            return said[0]
        return f"model._target_={target}: {type(error).__name__}: {said[0]}{_where(error)}"
    return None


def _loss(lit: LitVAE, batch: Tensor) -> Tensor:
    x = lit.draw(batch)
    loss, _ = lit.objective(x, lit.noise(x), lit.weights_for(x), lit.weight_noise(x))
    return loss


def _what_bernoulli_squashes_twice(lit: LitVAE, target: str) -> str | None:
    """Of a decoder that ends in a sigmoid or tanh where the likelihood expects logits."""
    if not isinstance(lit.objective.likelihood, Bernoulli) or target.startswith("vae_sweep."):
        return None
    vae = lit.objective.vae
    if (kind := squashed(vae, vae.latent_dim)) is None:
        return None
    low, high = ("0.50", "0.73") if kind == "sigmoid" else ("0.27", "0.73")
    return (
        f"model._target_={target}: decode ends in a {kind}, and loss.recon=bernoulli takes logits, which it squashes by"
        f" itself: p would stay in {low} to {high}. Leave the last layer out, or take another loss.recon"
    )


def _not_taken(target: str, model: Mapping[str, Any], overrides: Sequence[str]) -> str | None:
    """A parameter that was typed for a network of somebody's own and that its signature does not have."""
    if target.startswith("vae_sweep."):
        return None
    keys = taken(get_object(target), model).keys() | {
        "_target_", "latent_dim", "multi_rate", "kl_weight_range", "init_from"
    }  # fmt: skip
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key.startswith("model.") and key.split(".")[1] not in keys:
            return override
    return None


def _where(error: Exception) -> str:
    """The last line of somebody else's code that the error went through: " (net.py, line 12)"."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and not path.is_relative_to(_OURS) and path.exists():
            return f" ({path.name}, line {frame.lineno})"
    return ""


def as_batch(pixels: np.ndarray) -> Tensor:
    """(B, H, W, C), uint8 or float, to (B, C, H, W) in [0, 1]."""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()


def main() -> None:
    asked = json.load(sys.stdin)
    batch = as_batch(np.load(asked["batch"]))
    found, says = None, []
    for member in asked["members"]:
        config = resolved(member["config"])
        try:
            says.append(describe(config, asked["images"]))
        except Exception as error:
            found = in_one_line(error)
        found = found or refused(config, member["overrides"], batch, asked["images"])
        if found:
            break
    sys.__stdout__.write(json.dumps({"refused": found, "says": says}) + "\n")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
