"""The sweep engine against one process that trains the same members one after another.

python3 -m benchmarks.launchers [--rounds 3] [--epochs N] [default small]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

WEIGHTS = "loss.kl_weight=4,2,1,0.5,0.25,0.1,0.05,0.02"
NETWORKS = {
    "default": [],
    "small": [
        *("data=arrays", "data.path=digits.npy", "data.batch_size=64"),
        *("model.channels=16", "model.latent_dim=8", "model.latent_grid=1", "model.linear_path=false"),
    ],
}
EPOCHS = {"default": 3, "small": 100}
LAUNCHERS = {"basic": ["hydra/launcher=basic", "launcher.pack=off"], "local": []}


def seconds(launcher: str, overrides: list[str], folder: Path) -> float:
    """Wall time of one whole sweep, from the shell's point of view. Raises CalledProcessError if a member fails."""
    command = [sys.executable, "-m", "vae_sweep.run", "-m", *LAUNCHERS[launcher], *overrides]
    command += [f"output_dir={folder}", f"sweep={launcher}-{time.time_ns()}", "logger.wandb=disabled"]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="default|small", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help=f"of every network; else {EPOCHS}")
    asked = parser.parse_args()
    if unknown := set(asked.networks) - set(NETWORKS):
        parser.error(f"{', '.join(unknown)}: expected {' or '.join(NETWORKS)}")
    print(f"8 members, {os.cpu_count()} cores; seconds of wall time", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        np.save(Path(scratch, "digits.npy"), np.uint8(load_digits().images * 15.9375))  # 1,797 of 8x8
        for network in asked.networks:
            overrides = [WEIGHTS, f"trainer.max_epochs={asked.epochs or EPOCHS[network]}", *NETWORKS[network]]
            seconds("local", [*overrides[1:], "loss.kl_weight=1", "trainer.max_steps=1"], Path(scratch))  # fills caches
            times: dict[str, list[float]] = {launcher: [] for launcher in LAUNCHERS}
            for turn in range(asked.rounds):
                for launcher in LAUNCHERS if turn % 2 == 0 else reversed(LAUNCHERS):
                    times[launcher].append(seconds(launcher, overrides, Path(scratch)))
                    print(f"  {network} {launcher:6} {times[launcher][-1]:7.1f}", flush=True)
            basic, local = (statistics.median(times[launcher]) for launcher in LAUNCHERS)
            print(f"{network}: basic {basic:.1f}, local {local:.1f}, ratio {local / basic:.2f}", flush=True)


if __name__ == "__main__":
    main()
