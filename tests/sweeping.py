"""Sweeps of the fake training (fake_training.py), for tests of what happens around training. Not a test."""

import copy
import functools
from io import StringIO

import numpy as np
from configs import member_config
from rich.console import Console

from vae_sweep.data.image_data import ImageData
from vae_sweep.sweep.run_sweep import Job, Outcome, run_sweep

TARGET = "fake_training:train_members"
COMMAND = ["/x/vae_sweep/run.py", "-m", "loss.kl_weight=1,0.5"]
OVERRIDES = [
    "data=image_folder", "model=linear", "model.latent_dim=2", "data.batch_size=5", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "launcher.jobs=2", "launcher.pack=off", "sweep=s",
]  # fmt: skip


@functools.cache
def config():
    """A member's config, from the real conf/, of images that are nowhere."""
    made = member_config(*OVERRIDES)
    made["data"] |= {"root": "a"}
    made["model"]["kind"] = "fine"
    return made


def jobs(output_dir, weights, kind=None, **changes):
    """One job per KL weight; kind: what a member does, by weight; changes: section__key=value or section=value."""
    made = []
    for weight in weights:
        changed = copy.deepcopy(config())
        changed["loss"]["kl_weight"] = weight
        changed["model"]["kind"] = (kind or {}).get(weight, "fine")
        changed["output_dir"] = str(output_dir)
        for key, value in changes.items():
            section, _, name = key.partition("__")
            (changed[section] if name else changed)[name or section] = value
        made.append(Job(changed, (f"loss.kl_weight={weight}",), {"overrides.yaml": f"- {weight}"}))
    return made


def run(jobs, place, fingerprint="f", before=None) -> tuple[Outcome, str]:
    """(outcome, what was printed)"""
    text = StringIO()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    images = ImageData(pixels, np.arange(50), np.arange(50, 60), fingerprint, "images")
    console = Console(file=text, width=200)
    outcome = run_sweep(jobs, place, COMMAND, before, console, load=lambda section: images)
    return outcome, text.getvalue()


def statuses(outcome):
    return [result["status"] for result in outcome.results]


def attempts(run):
    """How often a member's training was begun."""
    return len(list(run.folder.glob("attempt-*")))
