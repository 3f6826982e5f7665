"""The codes of all images of a data set, with what is known of each image: for work that begins with a code."""

import codecs
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from vae_sweep.data.image_data import ImageData
from vae_sweep.evaluation.codes import Split
from vae_sweep.models.objective import Objective
from vae_sweep.runs.files import atomic_file, write_arrays

SUFFIXES = (".npz", ".csv")


@torch.no_grad()
def all_codes(objective: Objective, data: ImageData, device: torch.device) -> dict[str, np.ndarray]:
    """mean (N, d), std (N, d) but for an autoencoder, split (N,) "train" or "val", row (N,) of the data's images.

    Where the data have them: name (N,) of the file below the data's root, label (N,).
    """
    rows = np.concatenate([data.train, data.val])
    shape = (len(rows), objective.vae.latent_dim)
    numbers = {"mean": np.empty(shape, np.float32)}
    if not objective.deterministic:
        numbers["std"] = np.empty(shape, np.float32)
    for positions, x in Split(data, rows, device).batches():
        posterior = objective.vae.encode(x)
        numbers["mean"][positions] = posterior.mean.float().cpu().numpy()
        if not objective.deterministic:
            numbers["std"][positions] = posterior.variance.sqrt().float().cpu().numpy()
    found = {
        **numbers,
        "split": np.array(["train"] * len(data.train) + ["val"] * len(data.val)),
        "row": rows,
    }
    if data.names is not None:
        found["name"] = np.array([data.names[row] for row in rows])
    if data.labels is not None:
        labels = data.labels[rows]
        found["label"] = np.array(data.label_names)[labels] if data.label_names else labels
    return found


def write_codes(path: Path, codes: Mapping[str, np.ndarray]) -> None:
    """As .npz, or as .csv with a row per image: what is known of it, then z0, z1, ... of the means.

    Raises ValueError for another suffix.
    """
    if path.suffix == ".npz":
        write_arrays(path, codes)
        return
    if path.suffix != ".csv":
        raise ValueError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    known = [name for name in ("name", "label", "split", "row") if name in codes]
    with atomic_file(path) as file:
        writer = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
        writer.writerow([*known, *(f"z{unit}" for unit in range(codes["mean"].shape[1]))])
        for index, mean in enumerate(codes["mean"]):
            writer.writerow([*(codes[name][index] for name in known), *(f"{value:.7g}" for value in mean)])
