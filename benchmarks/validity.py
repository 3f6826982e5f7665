"""The tool held to what is known without it: `python3 -m benchmarks.validity NAME ...` (no NAME: all).

Each experiment trains a small sweep through the tool's own door, evaluates it, and sets every figure beside its closed
form. The tests assert these same figures (tests/test_validity.py); docs/validity.md shows them.
"""

import argparse
import io
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console
from sklearn.datasets import load_digits

from vae_sweep.data.image_data import ImageData
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.evaluation import Evaluation, Settings, evaluate
from vae_sweep.evaluation.codes import Split, encode
from vae_sweep.run import CONF
from vae_sweep.sweep.run_sweep import Job, load_images, run_sweep
from vae_sweep.theory import (
    LinearVAE,
    Pixels,
    Spectrum,
    collapse_threshold,
    geco_weight,
    largest_standardised,
    linear_vae,
    optimal_sigma2,
    spectrum,
)
from vae_sweep.training.lit_vae import LitVAE
from vae_sweep.training.loading import load_lit

EVERYTHING = Settings(None, 8, 256, 256, 256, None, 100)
BRIEFLY = Settings(None, 8, 8, 8, 8, 1, 1)  # the rate over all images is what is wanted
CODING = 1e-3  # nats; collapsed members end at a tenth of it
COLLAPSING = (
    "model=mlp", "model.hidden=[32]", "model.activation=tanh", "model.latent_dim=2", "data.batch_size=1600",
    "optimizer.lr=0.05", "optimizer.lr_schedule=cosine",
)  # fmt: skip
# Epochs of a few small steps: validation, rows and checkpoints are left to the end.
QUIETLY = (
    "logger.wandb=disabled", "trainer.evaluate=false", "trainer.accelerator=cpu", "trainer.precision=32",
    "trainer.val_every_n_epochs=1e6", "trainer.log_every_n_steps=500",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """measured beside known. tolerance: of the error, relative to `known` unless `absolute`."""

    what: str
    measured: float
    known: float
    tolerance: float
    absolute: bool = False

    @property
    def error(self) -> float:
        difference = abs(self.measured - self.known)
        return difference if self.absolute else difference / abs(self.known)

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        error, tolerance = (f"{x:.4f}" if self.absolute else f"{x:.2%}" for x in (self.error, self.tolerance))
        mark = "" if self.holds else "  MISSED"
        return f"{self.what:<58} {self.measured:>10.4f} {self.known:>10.4f} {error:>8} (<= {tolerance}){mark}"


@dataclass(frozen=True)
class Trained:
    """A member at its end, after so many steps, and the images it was trained on."""

    lit: LitVAE
    data: ImageData
    steps: int

    @property
    def spectrum(self) -> Spectrum:
        return spectrum(Pixels(self.data.images, self.data.train))

    @property
    def kl_weight(self) -> float:
        return float(self.lit.settled_weight)

    @property
    def latent_dim(self) -> int:
        return self.lit.objective.vae.latent_dim

    def evaluate(self, settings: Settings = EVERYTHING) -> Evaluation:
        return evaluate(self.lit.objective, self.kl_weight, self.lit.step, self.data, 64, settings)

    def expected_sse(self) -> float:
        """E SSE over z of a linear decoder, exact: its mean over the points +- sqrt(d) along every axis."""
        d = self.latent_dim
        split = Split(self.data, self.data.train, torch.device("cpu"))
        axes = math.sqrt(d) * torch.cat([torch.eye(d), -torch.eye(d)])
        sums = (encode(self.lit.objective, split, axis.expand(len(split), -1), 0).means()["sse"] for axis in axes)
        return sum(sums) / (2 * d)


class OneThread(ThisProcess):
    """Networks this small are slower on two threads than on one."""

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        return [Slot("cpu")], 1


def trained(folder: Path, images: np.ndarray, common: Iterable[str], members: Iterable[Sequence[str]]) -> list[Trained]:
    """One sweep over `members` (lists of overrides) on `images` (N, H, W) in [0, 1]."""
    path = folder / "images.npy"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, images)
    always = ["data=arrays", f"data.path={path}", f"output_dir={folder}", "sweep=sweep", *QUIETLY, *common]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [[*always, *member] for member in members]
        configs: list[Any] = [OmegaConf.to_container(compose("config", given), resolve=True) for given in overrides]
    jobs = [Job(config, tuple(given)) for config, given in zip(configs, overrides, strict=True)]
    outcome = run_sweep(jobs, OneThread(), sys.argv, console=Console(file=io.StringIO()))
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    data = load_images(configs[0]["data"])
    return [
        Trained(load_lit(outcome.folder / result["folder"])[0], data, result["steps"]) for result in outcome.results
    ]


# ---- images


def gaussian_images(count: int = 1000, side: int = 4, largest: float = 0.4, ratio: float = 0.5) -> np.ndarray:
    """(count, side, side) float32 around 0.5, Gaussian but for clipping; eigenvalues near largest * ratio^j."""
    rng = np.random.default_rng(0)
    n = side * side
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    scores = rng.standard_normal((count, n)) * np.sqrt(largest * ratio ** np.arange(n))
    return (0.5 + scores @ basis.T).reshape(count, side, side).clip(0, 1).astype(np.float32)


def images_of_spectrum(number: int, count: int = 1000, side: int = 4) -> np.ndarray:
    """(count, side, side) float32 around 0.5 of a random spectrum: a power law, a geometric one, one with a gap."""
    rng, n = np.random.default_rng(number), side * side
    rank = np.arange(n)
    if number % 3 == 0:
        eigenvalues = 0.4 * (1 + rank) ** -rng.uniform(0.7, 2.5)
    elif number % 3 == 1:
        eigenvalues = 0.3 * rng.uniform(0.4, 0.9) ** rank
    else:
        eigenvalues = 0.2 / (1 + rank)
        eigenvalues[int(rng.integers(2, 8)) :] *= rng.uniform(0.05, 0.5)
    eigenvalues = eigenvalues * 10 ** rng.uniform(-1, 0)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    scores = rng.standard_normal((count, n)) * np.sqrt(eigenvalues)
    return (0.5 + scores @ basis.T).reshape(count, side, side).clip(0, 1).astype(np.float32)


def digits(side: int = 8) -> np.ndarray:
    """(1797, side, side) float32 in [0, 1]: scikit-learn's handwritten digits, pixels repeated."""
    images = load_digits().images / 16
    return np.kron(images, np.ones((1, side // 8, side // 8))).astype(np.float32)


# ---- experiments

WEIGHTS = (1.0, 0.66, 0.44, 0.3, 0.2, 0.135, 0.09, 0.06)  # the first two above the threshold of collapse
LATENTS = (1, 2, 4)
LINEAR = ("model=linear", "data.batch_size=500", "optimizer.lr=0.03", "optimizer.lr_schedule=cosine")


def linear(
    folder: Path, steps: int = 3500, weights: Sequence[float] = WEIGHTS, latents: Sequence[int] = LATENTS
) -> list[Figure]:
    """Linear VAEs at 8 weights and 3 latent sizes: their whole closed form."""
    grid = [[f"loss.kl_weight={w}", f"model.latent_dim={d}"] for d, w in itertools.product(latents, weights)]
    members = trained(folder, gaussian_images(), [*LINEAR, f"trainer.max_steps={steps}"], grid)
    return [figure for member in members for figure in _of_linear(member)]


def _of_linear(member: Trained) -> list[Figure]:
    known = linear_vae(member.spectrum, member.latent_dim, member.kl_weight)
    found = member.evaluate()
    train, val = found.values["train"], found.values["val"]
    exact = exact_nll(member, known)
    values = [
        ("distortion (SSE)", member.expected_sse(), known.distortion, 0.01, False),
        ("distortion of the mean", train["sse_mean"], known.distortion_mean, 0.01, False),
        ("rate (nats)", train["kl"], known.rate, 0.01, known.rate < 0.5),
        ("active units", train["active_units"], known.active_units, 0.0, True),
        ("NLL_1 (nats, held out)", val["nll_1"], exact, 0.01, False),
        ("NLL_100 (nats, held out)", val["nll_100"], exact, 0.01, False),
        ("IWAE flatness NLL_1 - NLL_100 (nats)", val["nll_1"] - val["nll_100"], 0.0, 0.02, True),
    ]
    split = Split(member.data, member.data.train, torch.device("cpu"))
    noise = torch.zeros(len(split), member.latent_dim)
    per_unit = encode(member.lit.objective, split, noise, 0).posterior.kl_per_unit().mean(0)
    largest_first = np.sort(per_unit.detach().numpy())[::-1]
    for unit, (measured, nats) in enumerate(zip(largest_first, known.kl_per_unit, strict=True)):
        if nats >= 0.5 * math.log(1.5):  # lambda_j / s2 >= 1.5
            values.append((f"KL of unit {unit + 1} (nats)", float(measured), float(nats), 0.01, False))
    where = f"beta {member.kl_weight:.4f}, d {member.latent_dim}: "
    return [Figure(where + what, *rest) for what, *rest in values]


def exact_nll(member: Trained, known: LinearVAE) -> float:
    """Mean over held-out images of -ln N(x; m, W W^T + s2 I), with the W of the closed form, in nats."""
    train = member.data.images[member.data.train].reshape(len(member.data.train), -1).astype(float)
    val = member.data.images[member.data.val].reshape(len(member.data.val), -1) - train.mean(0)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    values, s2 = values[::-1], known.kl_weight / 2
    variances = np.full(len(values), s2)
    variances[: known.latent_dim] = np.maximum(values[: known.latent_dim], s2)
    scores = val @ vectors[:, ::-1]
    return float(0.5 * (np.log(2 * math.pi * variances).sum() + (scores**2 / variances).sum(1).mean()))


def null_tests(folder: Path, steps: int = 2000) -> list[Figure]:
    """What must change nothing: warm-up of 25 and 50 %, and a full covariance, where the optimum is diagonal."""
    weight, d = 0.09, 3
    cases = {
        "no warm-up": [],
        "linear warm-up of 25 %": ["kl_schedule=linear", "kl_schedule.warmup=0.25"],
        "linear warm-up of 50 %": ["kl_schedule=linear", "kl_schedule.warmup=0.5"],
        "full covariance": ["model.posterior=full"],
    }
    common = [*LINEAR, f"model.latent_dim={d}", f"loss.kl_weight={weight}", f"trainer.max_steps={steps}"]
    figures = []
    for what, member in zip(cases, trained(folder, gaussian_images(), common, cases.values()), strict=True):
        known = linear_vae(member.spectrum, d, weight)
        rate = member.evaluate(BRIEFLY).values["train"]["kl"]
        figures += [
            Figure(f"{what}: rate (nats)", rate, known.rate, 0.01),
            Figure(f"{what}: distortion (SSE)", member.expected_sse(), known.distortion, 0.01),
        ]
    return figures


def controllers(folder: Path, steps: int = 3000) -> list[Figure]:
    """GECO, ControlVAE, learned and optimal sigma: where they come to rest on the linear model."""
    d, goal, target = 2, 0.3, 1.0
    cases = [
        ["kl_schedule=geco", f"kl_schedule.goal={goal}", "loss.kl_weight=0.3"],
        ["kl_schedule=control_vae", f"kl_schedule.target={target}", "kl_schedule.ki=3e-3", "loss.kl_weight=0.3"],
        ["loss.recon=gaussian", "loss.learn_scale=true", "loss.scale=0.5"],
        ["loss.recon=optimal_sigma"],
    ]
    common = [*LINEAR, f"model.latent_dim={d}", f"trainer.max_steps={steps}"]
    geco, control_vae, learned, optimal = trained(folder, gaussian_images(), common, cases)
    known, pixels = geco.spectrum, math.prod(geco.data.images.shape[1:])
    ppca = math.sqrt(optimal_sigma2(known, d))
    likelihood: Any = learned.lit.objective.likelihood
    learned_sigma = float(torch.exp(likelihood.log_scale.detach()))
    return [
        Figure("GECO: SSE", geco.expected_sse(), goal, 0.02),
        Figure("GECO: weight it settles at", _steered(geco), float(geco_weight(known, d, goal) or 0), 0.03),
        Figure("ControlVAE: KL (nats)", control_vae.evaluate(BRIEFLY).values["train"]["kl"], target, 0.02),
        Figure("learned sigma", learned_sigma, ppca, 0.02),
        Figure("optimal sigma", math.sqrt(optimal.expected_sse() / pixels), ppca, 0.02),
    ]


def _steered(member: Trained) -> float:
    controller: Any = member.lit.kl_schedule
    return float(controller.kl_weight.detach())


def collapse(folder: Path, steps: int = 1000) -> list[Figure]:
    """The weight above which a network stays collapsed, searched by sections; and as the covariance predicts it.

    Fully connected with tanh, on digits of varied contrast. The search is told only a range, of a factor of 30; each
    turn trains 3 weights in it and keeps the quarter between the last that codes and the first that does not.
    """
    images = digits() * np.random.default_rng(0).uniform(0.2, 1, (1797, 1, 1)).astype(np.float32)
    figures = []
    for recon in ("sse", "bernoulli"):
        low, high = 0.3, 9.0
        for turn in range(4):
            weights = np.geomspace(low, high, 5)
            members = trained(
                folder / recon / str(turn),
                images,
                [*COLLAPSING, f"loss.recon={recon}", f"trainer.max_steps={steps}"],
                [[f"loss.kl_weight={weight}"] for weight in weights[1:-1]],
            )
            coding = [member.evaluate(BRIEFLY).values["train"]["kl"] > CODING for member in members]
            first_collapsed = [*coding, False].index(False)
            low, high = weights[first_collapsed : first_collapsed + 2]
        pixels = Pixels(members[0].data.images, members[0].data.train)
        known = collapse_threshold(spectrum(pixels)) if recon == "sse" else largest_standardised(pixels)
        figures.append(Figure(f"collapse threshold, {recon}", math.sqrt(low * high), known, 0.05))
    return figures


def stationary(folder: Path, steps: int = 5000) -> list[Figure]:
    """What holds at any stationary point, on a converged convolutional VAE: moments of the codes, beta_hat."""
    weights = (0.1, 0.2, 0.5, 1.0, 2.0)
    common = [
        "model=conv",
        "model.channels=4",
        "model.latent_dim=8",
        "data.batch_size=128",
        "optimizer.lr=5e-3",
        "model.latent_grid=1",
        "model.linear_path=false",
        "optimizer.lr_schedule=cosine",
    ]
    members = trained(
        folder,
        digits(16),
        [*common, f"trainer.max_steps={steps}"],
        [[f"loss.kl_weight={weight}"] for weight in weights],
    )
    figures = []
    for member in members:
        found = member.evaluate(Settings(None, 8, 8, 8, None, 1, 1)).values["train"]
        where = f"beta {member.kl_weight}: "
        if member.kl_weight >= 0.5:
            figures += [
                Figure(where + "E[mean^2 + variance], mean of units", found["moment_second"], 1.0, 0.03),
                Figure(where + "the same, worst unit", found["moment_second_worst"], 1.0, 0.06),
                Figure(where + "E[mean], root mean square of units", found["moment_mean"], 0.0, 0.03, True),
                Figure(where + "R = -E ln variance / 2 (nats)", found["moment_rate"], found["kl"], 0.03),
            ]
        figures.append(Figure(where + "beta_hat", found["beta_hat"], member.kl_weight, 0.1))
    return figures


UNTIL = (
    "model=linear", "model.latent_dim=4", "data.batch_size=100", "optimizer.lr=0.01", "optimizer.lr_schedule=wsd",
    "trainer.until=converged", "trainer.max_steps=10000", "trainer.val_every_n_epochs=10",
    "trainer.log_every_n_steps=25",
)  # fmt: skip


def until(folder: Path, spectra: Sequence[int] = range(6)) -> list[Figure]:
    """Linear VAEs that end by themselves, and the optimum: random spectra, 1, 2 and 4 active units, two optimisers."""
    figures = []
    for number in spectra:
        images = images_of_spectrum(number)
        at = 2 * np.linalg.eigvalsh(np.cov(images.reshape(len(images), -1).T))[::-1]  # the weights at which units shut
        weights = (0.9 * math.sqrt(at[0] * at[1]), 0.7 * at[1], 0.7 * at[3])
        cases = list(itertools.product(weights, ("adam", "rmsprop")))
        grid = [[f"loss.kl_weight={weight:.4g}", f"optimizer={name}"] for weight, name in cases]
        for (_, name), member in zip(cases, trained(folder / str(number), images, UNTIL, grid), strict=True):
            known = linear_vae(member.spectrum, 4, member.kl_weight)
            rate = member.evaluate(BRIEFLY).values["train"]["kl"]
            best = known.distortion + member.kl_weight * known.rate
            what = f"spectrum {number}, beta {member.kl_weight:.4g}, {name}, {member.steps} steps"
            figures.append(Figure(what, member.expected_sse() + member.kl_weight * rate, best, 0.01))
    return figures


EXPERIMENTS: dict[str, Callable[[Path], list[Figure]]] = {
    function.__name__: function for function in (linear, null_tests, controllers, collapse, stationary, until)
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.validity", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; none: all")
    names = parser.parse_args(argv).names or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        parser.error(f"{', '.join(sorted(unknown))}: expected {', '.join(EXPERIMENTS)}")
    missed = 0
    for name in names:
        began = time.process_time()
        with tempfile.TemporaryDirectory(prefix="vae-sweep-") as folder:
            figures = EXPERIMENTS[name](Path(folder))
        print(f"\n{name}: {EXPERIMENTS[name].__doc__.splitlines()[0]}")  # type: ignore[union-attr]
        print(f"{'':<58} {'measured':>10} {'known':>10} {'error':>8}")
        print("\n".join(map(str, figures)))
        missed += sum(not figure.holds for figure in figures)
        print(f"{len(figures)} figures, {time.process_time() - began:.0f} s of one core", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
