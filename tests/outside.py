"""What another package may bring along: a likelihood, a divergence, a schedule, a metric, a place. Not a test.

Each only uses what CONTRIBUTING names. `test_from_outside.py` trains with them.
"""

import math
from contextlib import nullcontext

import torch

from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest
from vae_sweep.engine.worker import load, run_pack
from vae_sweep.models.divergences import Divergence
from vae_sweep.models.likelihoods import Likelihood
from vae_sweep.traits import DivergenceTraits, LikelihoodTraits


class StudentT(Likelihood):
    """-ln prod t(x; xhat, scale, df): heavy tails, so that a few wrong pixels cost little."""

    traits = LikelihoodTraits(
        "student_t", "nats", "Student's t", "Student's t pixels: weight 1 is the exact ELBO, any other tempers it."
    )

    def __init__(self, df: float = 4.0, width: float = 0.1) -> None:
        super().__init__()
        self.df, self.width = df, width

    def recon(self, out, x, sse):
        n, df = x[0].numel(), self.df
        normaliser = (
            math.lgamma(df / 2) - math.lgamma((df + 1) / 2) + 0.5 * math.log(df * math.pi) + math.log(self.width)
        )
        squares = ((out - x) / self.width) ** 2 / df
        return (df + 1) / 2 * torch.log1p(squares).sum((1, 2, 3)) + n * normaliser


class FourthMoment(Divergence):
    """E (mean_j^2 + variance_j - 1)^2: how far the codes' second moments are from the prior's."""

    traits = DivergenceTraits("fourth_moment")

    def forward(self, posterior, z):
        moment = ((posterior.mean**2 + posterior.variance - 1) ** 2).sum(-1)
        return moment.mean(), {"kl": posterior.kl(), "moment": moment}


def staircase(total_steps: int, stairs: int = 4):
    """1/n, 2/n ... 1 of the weight, each for an n-th of the run."""
    return lambda step: min(stairs, 1 + step * stairs // total_steps) / stairs


def half(total_steps: int):
    """Never the weight that it is given."""
    return lambda step: 0.5


def sharpness(objective, images, codes):
    """Mean absolute difference of neighbouring pixels of the reconstructions, over that of the images."""
    x = images[:]
    made = objective.likelihood.image(objective.vae.decode(codes.posterior.mean)).clamp(0, 1)
    return {"sharpness": _roughness(made) / _roughness(x)}


def half_of_it(model, pictures, codes):
    """By other names."""
    return {"half": sharpness(model, pictures, codes)["sharpness"] / 2}


def _roughness(images):
    return float((images[..., 1:] - images[..., :-1]).abs().mean())


class OneByOne:
    """A place to run packs: here, one after the other."""

    gpu = False
    shares_cores = False
    memory = None

    def __init__(self):
        self.ran = []

    def slots(self, wanted):
        return [Slot("cpu")], 1

    def width(self, devices, threads, slots):
        return 1

    def preloading(self):
        return nullcontext()

    def run(self, packs, slots, folder, watch):
        train_pack = load("vae_sweep.training.train:train_pack")
        for number, pack in enumerate(packs):
            self.ran.append(list(pack.members))
            watch({"event": "started", "ids": list(pack.members), "slots": ["here"]})
            run_pack(
                train_pack, folder, {"pack": number, "members": list(pack.members), "threads": 1}, watch, lambda: False
            )
        return StopRequest()
