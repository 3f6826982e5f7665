"""One model for all KL weights beside separate runs: SSE + beta KL at equal beta, and what it costs.

python3 -m benchmarks.multi_rate [--folder FOLDER]

The linear VAE is held to its closed form, on the images it was trained on and without sampling noise. The default
network on the embedded paintings is held to one separate run per weight, on held-out images with the same noise.
Seconds are of processor time, each run with its evaluation and the multi-rate run with its curve.
"""

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.figures import Table, parser, publish
from benchmarks.members import config_of, trained_here
from benchmarks.validity import gaussian_images
from vae_sweep.engine.slots import thread_environment
from vae_sweep.evaluation import curve_weights
from vae_sweep.evaluation.codes import Split
from vae_sweep.runs.files import write_json
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.run_sweep import load_images
from vae_sweep.theory import Pixels, linear_vae, spectrum
from vae_sweep.training.loading import load_lit

WEIGHTS = (0.01, 0.03, 0.056, 0.1, 0.3, 1.0, 1.78, 3.0, 10.0)  # 0.056 to 1.78: the middle decade and a half
ALWAYS = ("logger.wandb=disabled", "trainer.accelerator=cpu")
LINEAR = (
    "data=arrays", "model=linear", "model.latent_dim=4", "data.batch_size=500", "optimizer.lr=0.05",
    "optimizer.lr_schedule=cosine", "trainer.precision=32", "trainer.val_every_n_epochs=1e6",
    "trainer.log_every_n_steps=500",
)  # fmt: skip
LINEAR_RANGE = (0.002, 2.0)  # of which the middle decade and a half is 0.011 to 0.36
LINEAR_STEPS = 6000
SEEDS = (0, 1, 2)


def measure(folder: Path, quick: bool) -> list[Table]:
    torch.set_num_threads(1)
    os.environ |= thread_environment(1)  # as a worker has it
    return [linear(folder / "linear", quick), *paintings(folder / "paintings", quick)]


def linear(folder: Path, quick: bool) -> Table:
    """One model per seed beside the exact optimum of every weight."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", gaussian_images())
    low, high = LINEAR_RANGE
    asked = [
        *ALWAYS, *LINEAR, f"data.path={folder / 'images.npy'}", f"output_dir={folder}", "sweep=sweep",
        "model.multi_rate=true", f"model.kl_weight_range=[{low},{high}]", "loss.kl_weight=0.1",
        "trainer.evaluate=false", f"trainer.max_steps={50 if quick else LINEAR_STEPS}",
    ]  # fmt: skip
    seconds = trained(folder, {f"seed {seed}": [*asked, f"seed={seed}"] for seed in SEEDS})
    runs = load_sweep(folder / "sweep").runs
    data = load_images(runs[0].config["data"])
    known = spectrum(Pixels(data.images, data.train))
    x = Split(data, data.train, torch.device("cpu"))[:]
    models = {run.config["seed"]: load_lit(run.folder)[0].objective for run in runs}
    rows: list[dict[str, Any]] = []
    for weight in curve_weights(models[SEEDS[0]].vae):
        exact = linear_vae(known, 4, weight).loss
        row: dict[str, Any] = {"weight": weight, "closed form": exact}
        rows.append(row | {f"seed {seed}": percent(_expected_loss(models[seed], x, weight), exact) for seed in SEEDS})
    notes = [
        "SSE + beta KL: the optimum, and how far above it one model of all weights is. Linear VAE, 4 units,"
        f" eigenvalues 0.4 * 2^-j; {runs[0].result['steps']} steps, {max(seconds.values()):.0f} s."
    ]
    return Table("One model for all weights: linear truth", rows, notes)


@torch.no_grad()
def _expected_loss(objective: torch.nn.Module, x: torch.Tensor, weight: float) -> float:
    """E over z, exact: the error of a linear decoder is quadratic, so its mean is that over +- sqrt(d) on each axis."""
    d = objective.vae.latent_dim  # type: ignore[union-attr]
    axes = math.sqrt(d) * torch.cat([torch.eye(d), -torch.eye(d)])  # type: ignore[arg-type]
    return float(np.mean([objective(x, axis.expand(len(x), -1), weight)[0] for axis in axes]))


def paintings(folder: Path, quick: bool) -> list[Table]:
    """The defaults of the tool, one run per weight; one for all of the same length, and one of three times that."""
    steps = 20 if quick else 2700
    asked = [*ALWAYS, *(["data.max_images=200"] if quick else []), f"output_dir={folder}", "sweep=sweep"]
    members = {f"{weight:g}": [*asked, f"loss.kl_weight={weight}", f"trainer.max_steps={steps}"] for weight in WEIGHTS}
    lengths = {"all": steps, "all, three times as long": 3 * steps}
    members |= {name: [*asked, "model.multi_rate=true", f"trainer.max_steps={many}"] for name, many in lengths.items()}
    seconds = trained(folder, members)
    runs = load_sweep(folder / "sweep").runs
    short, long = (
        {
            row["kl_weight"]: row
            for run in runs
            if run.curve() and run.result["steps"] == many
            for row in run.curve()["val"]
        }
        for many in lengths.values()
    )
    apart = {run.config["loss"]["kl_weight"]: run for run in runs if not run.curve()}
    rows: list[dict[str, Any]] = []
    for weight in WEIGHTS:
        sse, kl = (apart[weight].evaluation()["val"][name] for name in ("sse", "kl"))
        one, separate = short[weight], sse + weight * kl
        rows.append(
            {
                "weight": weight,
                "separate: SSE": sse,
                "KL": kl,
                "SSE + beta KL": separate,
                "one model: SSE": one["sse"],
                "KL ": one["kl"],
                "SSE + beta KL ": one["loss"],
                "difference": percent(one["loss"], separate),
                "three times as long": percent(long[weight]["loss"], separate),
            }
        )
    costs = [seconds[f"{weight:g}"] for weight in WEIGHTS]
    cost: dict[str, Any] = {
        "one run, s (median)": float(np.median(costs)),
        "multi-rate run, s": seconds["all"],
        "ratio": seconds["all"] / float(np.median(costs)),
        "three times as long, s": seconds["all, three times as long"],
        "points on its curve": float(len(short)),
        "separate runs for as many, s": float(np.median(costs)) * len(short),
    }
    length = f"{steps:,} steps each, {runs[0].config['model']['latent_dim']:,} latents"
    notes = [f"Held-out paintings, 64x64, the tool's defaults: {length}. Negative: one model is better."]
    return [
        Table("One model for all weights: paintings", rows, notes),
        Table(
            "One model for all weights: cost", [cost], ["Processor time on one thread, evaluation and curve included."]
        ),
    ]


def percent(found: float, expected: float) -> str:
    return f"{100 * (found / expected - 1):+.2f} %"


def trained(folder: Path, members: dict[str, list[str]]) -> dict[str, float]:
    """Train the members one by one, in one sweep; processor seconds of each by its name, kept in the folder."""
    kept = folder / "seconds.json"
    seconds: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    for name, overrides in members.items():
        if name not in seconds:
            began = time.process_time()
            trained_here(config_of(*overrides))
            seconds[name] = time.process_time() - began
            write_json(kept, seconds)
            print(f"{folder.name} {name}: {seconds[name]:.0f} s", file=sys.stderr, flush=True)
    return seconds


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__ or "")
    options.add_argument("--folder", type=Path, help="keep the runs there, and continue with what it has")
    asked = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        publish(measure(asked.folder or Path(scratch), asked.quick), asked.json)


if __name__ == "__main__":
    main()
