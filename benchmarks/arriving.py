"""How soon a held-out loss is reached: this tool's default network beside the network that others have.

python3 -m benchmarks.arriving --images FOLDER

One weight, the same files and split for all, each budget a run of its own from the shell with a cold cache, so that
learning rates fit the budget and the seconds count all: starting Python, decoding, evaluation, files. One function
scores all models on the same held-out pictures, L = SSE + weight KL with sampled codes and the same noise. Beside
them stands the linear VAE in closed form.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.figures import Table, parser, publish
from benchmarks.peers.scores import sse_and_kl
from benchmarks.peers.task import ONE_CODE, Task, decoded_once
from benchmarks.sweep import large_files, task_of, timed, trained
from vae_sweep.theory import Pixels
from vae_sweep.theory.pca import principal_axes

KL_WEIGHT = 0.1


@dataclass(frozen=True)
class Contestant:
    """module: of benchmarks.peers. epochs: budgets, each a run. settings: of this tool's command."""

    name: str
    module: str
    epochs: tuple[int, ...]
    settings: tuple[str, ...] = ()


CONTESTANTS = (
    Contestant("vae-sweep, its default", "tool", (1, 3, 10, 30)),
    Contestant("vae-sweep, one code", "tool", (10, 30, 100), ONE_CODE),
    Contestant("pythae 0.1.2", "pythae_peer", (10, 30, 100)),
    Contestant("bare loop", "bare", (10, 30, 100)),
    Contestant("plain Lightning", "plain_lightning", (10,)),  # decodes in every epoch
)


def measure(quick: bool, images: Path | None, weight: float) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        root = images or large_files(Path(scratch) / "images", 24 if quick else 400)
        task = replace(task_of(root.resolve(), Path(scratch) / "cache", 1), kl_weights=[weight])
        held_out = decoded_once(task.root, task.val, task.image_size, workers=0)
        reached: list[dict[str, Any]] = []
        for who in CONTESTANTS:
            for epochs in (1,) if quick else who.epochs:
                out = Path(scratch) / f"{who.module}-{len(reached)}"
                mine = replace(task, epochs=epochs, out=str(out), settings=list(who.settings))
                wall, cores = timed(who.module, mine)
                sse, kl = sse_and_kl(trained(who.module, mine)[weight], held_out)
                row = {"": who.name, "epochs": epochs, "wall (s)": wall, "cores (s)": cores, "L": sse + weight * kl}
                print(row, file=sys.stderr, flush=True)
                reached.append(row | {"SSE": sse, "KL (nats)": kl})
        exact = _closed_form(task, held_out, weight)
    return [_curve(task, reached, exact, weight), _until(reached)]


def _closed_form(task: Task, held_out: Tensor, weight: float) -> float:
    """Held-out L of the linear VAE of 128 latents."""
    train, val = (
        Pixels((x * 255).round().byte().permute(0, 2, 3, 1).numpy())
        for x in (decoded_once(task.root, task.train, task.image_size, workers=0), held_out)
    )
    found = principal_axes(train, task.latent_dim).project(val).curve(task.latent_dim, [weight])
    return float(found["distortion"][0] + weight * found["rate"][0])


def _curve(task: Task, reached: Sequence[dict[str, Any]], exact: float, weight: float) -> Table:
    rows = [row | {"of the closed form": row["L"] / exact} for row in reached]
    note = (
        f"{len(task.train)} training and {len(task.val)} validation files, {task.image_size} pixels, batches of "
        f"{task.batch_size}, weight {weight:g}. The linear VAE of {task.latent_dim} latents has L = {exact:.1f} on the "
        "same held-out pictures. *cores*: time of all cores together."
    )
    return Table("Held-out loss against seconds, everything included", rows, [note])


def _until(reached: Sequence[dict[str, Any]]) -> Table:
    """When each was where pythae was at its end: its cheapest run that is as good."""
    end = [row for row in reached if row[""].startswith("pythae")][-1]
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(row[""] for row in reached):
        there = [row for row in reached if row[""] == name and row["L"] <= end["L"]]
        first = min(there, key=lambda row: row["wall (s)"], default=None)
        rows.append(
            {
                "": name,
                "wall (s)": first and first["wall (s)"],
                "of pythae's": first and first["wall (s)"] / end["wall (s)"],
                "cores, of pythae's": first and first["cores (s)"] / end["cores (s)"],
            }
        )
    note = f"The cheapest run whose L is at most pythae's after {end['epochs']} epochs, {end['L']:.1f}; empty: none is."
    return Table("Until pythae's last held-out loss", rows, [note])


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=Path, metavar="FOLDER", help="large files; none: some are made")
    arguments.add_argument("--weight", type=float, default=KL_WEIGHT)
    asked = arguments.parse_args(argv)
    publish(measure(asked.quick, asked.images, asked.weight), asked.json)


if __name__ == "__main__":
    main()
