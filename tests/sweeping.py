"""Sweeps of the fake training (fake_training.py), for tests of what happens around training. Not a test."""

import copy
from io import StringIO
from pathlib import Path

import numpy as np
from rich.console import Console

from vae_sweep.image_data import ImageData
from vae_sweep.sweep import Job, Outcome, run_sweep

HERE = Path(__file__).parent
TARGET = "fake_training:train_members"
COMMAND = ["/x/vae_sweep/run.py", "-m", "loss.kl_weight=1,0.5"]
CONFIG = {
    "objective": "vae",
    "data": {"_target_": "somewhere.images", "root": "a", "batch_size": 5, "val_fraction": 0.1},
    "model": {"_target_": "vae_sweep.models.linear", "latent_dim": 2, "posterior": "diagonal", "kind": "fine"},
    "loss": {"recon": "sse", "kl_weight": 1.0, "reduction": "sum"},
    "kl_schedule": {"_target_": "vae_sweep.schedules.constant"},
    "optimizer": {"lr": 1e-3},
    "trainer": {"max_epochs": 1, "max_steps": None, "devices": 1, "accelerator": "cpu"},
    "launcher": {"jobs": 2, "jobs_per_gpu": 1, "pack": "off"},
    "logger": {},
    "seed": 0,
    "sweep": "s",
    "retry": None,
    "output_dir": "set by the fixture",
}


def jobs(output_dir, weights, kind=None, **changes):
    """One job per KL weight; kind: what a member does, by weight; changes: section__key=value or section=value."""
    made = []
    for weight in weights:
        config = copy.deepcopy(CONFIG)
        config["loss"]["kl_weight"] = weight
        config["model"]["kind"] = (kind or {}).get(weight, "fine")
        config["output_dir"] = str(output_dir)
        for key, value in changes.items():
            section, _, name = key.partition("__")
            (config[section] if name else config)[name or section] = value
        made.append(Job(config, (f"loss.kl_weight={weight}",), {"overrides.yaml": f"- {weight}"}))
    return made


def run(jobs, place, fingerprint="f") -> tuple[Outcome, str]:
    """(outcome, what was printed)"""
    text = StringIO()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    images = ImageData(pixels, np.arange(50), np.arange(50, 60), fingerprint, "images")
    outcome = run_sweep(jobs, place, COMMAND, console=Console(file=text, width=200), load=lambda section: images)
    return outcome, text.getvalue()


def statuses(outcome):
    return [result["status"] for result in outcome.results]


def sittings(run):
    """How often a member's training was begun."""
    return len(list(run.folder.glob("sitting-*")))
