"""A sweep of three KL weights over a folder of large files, from the shell, as four libraries do it.

python3 -m benchmarks.sweep --images FOLDER

Every peer trains the same layers from the same weights on the same files with the same split, batch size, learning
rates and epochs, beginning with a cold cache. Wall time includes all: starting Python, decoding, evaluation, files.
Trained models are scored alike, on the held-out files decoded in the usual way (torchvision) and in this tool's way.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.figures import Table, parser, publish
from benchmarks.members import config_of, paintings
from benchmarks.peers import tool
from benchmarks.peers.scores import sse_and_kl
from benchmarks.peers.task import ONE_CODE, Task, decoded_once
from vae_sweep.data import image_cache
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.folder import ImageFile, find_images
from vae_sweep.models.networks import VAE
from vae_sweep.sweep.run_sweep import load_images

# name, module of benchmarks.peers, bf16
PEERS = (
    ("vae-sweep", "tool", True),
    ("vae-sweep, float32", "tool", False),
    ("pythae 0.1.2", "pythae_peer", False),
    ("plain Lightning", "plain_lightning", False),
    ("bare loop", "bare", False),
    ("bare loop, bf16", "bare", True),
)
KL_WEIGHTS = [1.0, 0.3, 0.1]


def measure(quick: bool, images: Path | None, rounds: int, epochs: int) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        root = images or large_files(Path(scratch) / "images", 24 if quick else 400)
        task = task_of(root.resolve(), Path(scratch) / "cache", 1 if quick else epochs)
        seconds: dict[str, list[float]] = {name: [] for name, *_ in PEERS}
        core_seconds: dict[str, list[float]] = {name: [] for name, *_ in PEERS}
        scores = {}
        for turn in range(1 if quick else rounds):
            for name, module, bf16 in PEERS if turn % 2 == 0 else PEERS[::-1]:
                if module == "plain_lightning" and turn:  # many times slower than the others: once is enough
                    continue
                out = Path(scratch) / f"{turn}-{module}-{bf16}"
                mine = replace(task, bf16=bf16, out=str(out))
                wall, cores = timed(module, mine)
                seconds[name].append(wall)
                core_seconds[name].append(cores)
                print(f"{name}: {wall:.1f} s, {cores:.1f} s of cores", file=sys.stderr, flush=True)
                scores[name] = _score(module, mine, Path(scratch) / "cache")
    first = statistics.median(seconds["vae-sweep"])
    rows = []
    for name, *_ in PEERS:
        wall = statistics.median(seconds[name])
        rows.append(
            {
                "": name,
                "wall (s)": wall,
                "vae-sweep / it": first / wall,
                "cores (s)": statistics.median(core_seconds[name]),
                **scores[name],
            }
        )
    notes = [
        f"{len(task.train)} training and {len(task.val)} validation files, {task.epochs} epochs, weights "
        f"{', '.join(f'{weight:g}' for weight in KL_WEIGHTS)}, batches of {task.batch_size}; medians of "
        f"{len(seconds['vae-sweep'])} round(s), of plain Lightning one. *val loss*: SSE + weight KL, mean of the "
        "weights, of held-out files decoded by torchvision; *(ours)*: decoded by this tool."
    ]
    return [Table("Sweep of three weights, everything included", rows, notes)]


def timed(module: str, task: Task) -> tuple[float, float]:
    """(wall time, time of all cores) of a peer in seconds. Raises RuntimeError with its last words if it fails."""
    Path(task.out).mkdir()
    task.write(Path(task.out) / "task.json")
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", f"{task.out}/task.json"]
    if module == "tool":
        command = tool.command(task)
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # every peer has as many as it takes by itself
    environment = {key: value for key, value in os.environ.items() if key not in threads and "WANDB" not in key}
    nobody = {"NETRC": f"{task.out}/netrc", "WANDB_CONFIG_DIR": task.out}  # somebody who is not logged in at W&B
    environment |= {"PYTHONPATH": os.getcwd(), **nobody}
    before, began = _children_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=task.out, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall, _children_seconds() - before


def large_files(folder: Path, count: int) -> Path:
    """JPEG files of 1200x930: enlarged paintings with a grain, about 0.3 MB each, in one class."""
    (folder / "paintings").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, pixels in enumerate(paintings().images[:count]):
        large = np.asarray(Image.fromarray(pixels).resize((1200, 930), Image.Resampling.BICUBIC), np.float32)
        grain = rng.normal(0, 8, large.shape[:2])[..., None]
        Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(
            folder / "paintings" / f"{number:04d}.jpg", quality=90
        )
    return folder


def task_of(root: Path, cache: Path, epochs: int) -> Task:
    """With the split that the tool will make, and the network of one code."""
    config = config_of("data=image_folder", f"data.root={root}", f"data.cache_dir={cache}", *ONE_CODE)
    data, (files, decoded) = load_images(config["data"]), _decoded(root, cache, config["data"]["image_size"])
    return Task(
        root=str(root),
        train=[files[decoded.files[row]].name for row in data.train],
        val=[files[decoded.files[row]].name for row in data.val],
        kl_weights=KL_WEIGHTS,
        epochs=epochs,
        batch_size=config["data"]["batch_size"],
        lr=config["optimizer"]["lr"],
        image_size=config["data"]["image_size"],
        latent_dim=config["model"]["latent_dim"],
        channels=config["model"]["channels"],
        seed=0,
        bf16=False,
        out="",
        settings=list(ONE_CODE),
    )


def _decoded(root: Path, cache: Path, size: int) -> tuple[Sequence[ImageFile], image_cache.DecodedFiles]:
    files = find_images(root)
    return files, image_cache.decoded(root, files, Decoding(size), cache)


def _score(module: str, task: Task, cache: Path) -> dict[str, float]:
    networks = trained(module, task)
    files, decoded = _decoded(Path(task.root), cache, task.image_size)
    held_out = set(task.val)
    rows = [row for row, place in enumerate(decoded.files) if files[place].name in held_out]
    ours = torch.from_numpy(decoded.images[rows]).permute(0, 3, 1, 2).float() / 255
    found = []
    for kl_weight in task.kl_weights:
        vae = networks[kl_weight]
        usual = decoded_once(task.root, task.val, task.image_size, workers=0)
        (sse, kl), (sse_ours, kl_ours) = sse_and_kl(vae, usual), sse_and_kl(vae, ours)
        found.append((sse + kl_weight * kl, sse, kl, sse_ours + kl_weight * kl_ours))
    names = ("val loss", "SSE", "KL (nats)", "val loss (ours)")
    return {name: statistics.mean(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}


def trained(module: str, task: Task) -> dict[float, VAE]:
    """The networks of a peer that has ended, by KL weight."""
    if module == "tool":
        return tool.networks(task)
    found = {}
    for kl_weight in task.kl_weights:
        found[kl_weight] = task.network()
        found[kl_weight].load_state_dict(torch.load(task.weights(kl_weight), weights_only=True))
    return found


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=Path, metavar="FOLDER", help="large files; none: some are made")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=20)
    asked = arguments.parse_args(argv)
    publish(measure(asked.quick, asked.images, asked.rounds, asked.epochs), asked.json)


if __name__ == "__main__":
    main()
