"""The standard sets, by torchvision: read once into the cache by a child process, so that only the child loads torch.

`train` is the set's own training split and `val` its own test split (CelebA: its own validation split).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_sweep.data import children
from vae_sweep.data.cache import cached_folder
from vae_sweep.data.image_data import DataError
from vae_sweep.data.resizing import resized

_VERSION = 1
_BINARIZE_SEED = 0


@dataclass(frozen=True)
class StandardSet:
    """title: for messages. torchvision: the class. files: where torchvision keeps it below the root."""

    title: str
    torchvision: str
    files: tuple[str, ...]


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SETS = {
    "mnist": StandardSet("MNIST", "MNIST", tuple(f"MNIST/raw/{file}" for file in _IDX)),
    "fashion_mnist": StandardSet("Fashion-MNIST", "FashionMNIST", tuple(f"FashionMNIST/raw/{file}" for file in _IDX)),
    "cifar10": StandardSet(
        "CIFAR-10",
        "CIFAR10",
        tuple(f"cifar-10-batches-py/{f}" for f in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")),
    ),
    "celeba": StandardSet(
        "CelebA",
        "CelebA",
        tuple(f"celeba/{f}" for f in ("img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt")),
    ),
}


def ensure_files(name: str, root: Path, download: bool) -> None:
    """Raises DataError, which says what to do, if the files are not there and cannot be had."""
    wanted = SETS[name]
    missing = [file for file in wanted.files if not (root / file).exists()]
    if not missing:
        return
    where = f"{wanted.title} is not in {root} (no {missing[0]})"
    if not download:
        raise DataError(
            f"data.root: {where}; data.download=true fetches it, or name the folder where torchvision put it"
        )
    if error := _in_child({"do": "download", "set": name, "root": str(root)}):
        raise DataError(f"data.download: {where}, and fetching it failed: {error}")


def read_standard_set(name: str, root: Path, image_size: int, binarize: bool, cache_dir: Path) -> Path:
    """Folder with images.npy (N, H, W, C) uint8, labels.npy (N,) and n_train.npy; the training images come first.

    binarize: every pixel x becomes 255 with probability x/255, else 0, drawn once from a fixed seed.
    """
    files = [(file, (root / file).stat()) for file in SETS[name].files]
    key = {
        "kind": name,
        "version": _VERSION,
        "root": str(root),
        "files": [[file, status.st_size, status.st_mtime_ns] for file, status in files],
        "image_size": image_size,
        "binarize": binarize,
    }

    def build(folder: Path) -> None:
        if error := _in_child({"do": "read", "set": name, "root": str(root), "folder": str(folder)}):
            raise DataError(f"data.root: {SETS[name].title} in {root} cannot be read: {error}")
        images = np.load(folder / "images.npy")
        has_margin = images.shape[-1] == 1
        images = resized(images, min(image_size, images.shape[1]) if has_margin else image_size)
        if binarize:
            threshold = np.random.default_rng(_BINARIZE_SEED).random(images.shape, np.float32)
            images = np.where(images > 255 * threshold, np.uint8(255), np.uint8(0))
        # Grey sets get a wider margin, as is the custom to reach a power of two; they are not blown up.
        np.save(folder / "images.npy", padded(images, image_size))

    return cached_folder(cache_dir, key, SETS[name].title, build)


def celeba_partition(folder: Path) -> dict[str, int]:
    """File name -> 0 (training), 1 (validation) or 2 (test)."""
    path = folder / "list_eval_partition.txt"
    try:
        return {
            name: int(part) for name, part in (line.split() for line in path.read_text("utf-8").splitlines() if line)
        }
    except (OSError, ValueError) as error:
        raise DataError(f"data.root: {path}: not lines of a name and a number ({error})") from None


def celeba_attributes(folder: Path) -> tuple[dict[str, list[bool]], tuple[str, ...]]:
    """(file name -> has it each attribute, the attributes' names). First line: a count; second: names; then -1 or 1."""
    path = folder / "list_attr_celeba.txt"
    try:
        _, names, *lines = path.read_text("utf-8").splitlines()
        rows = {name: [value == "1" for value in values] for name, *values in map(str.split, lines)}
    except (OSError, ValueError) as error:
        raise DataError(f"data.root: {path}: not in the format of CelebA ({error})") from None
    return rows, tuple(names.split())


def padded(images: np.ndarray, size: int) -> np.ndarray:
    """Zeros around (N, H, W, C) up to `size`; larger images are left alone."""
    before = [max(size - side, 0) // 2 for side in images.shape[1:3]]
    after = [max(size - side, 0) - first for side, first in zip(images.shape[1:3], before, strict=True)]
    return np.pad(images, ((0, 0), *zip(before, after, strict=True), (0, 0)))


# The child -----------------------------------------------------------------------------------------------------------


def _in_child(task: dict[str, str]) -> str | None:
    """`perform` below in a Python of its own; what went wrong, in one line, or None."""
    return children.failure("vae_sweep.data.torchvision_sets", task)


def perform(task: dict[str, str]) -> None:
    """{"do": "download" | "read", "set", "root"}; to read: with the "folder" that receives the arrays."""
    name = SETS[task["set"]].torchvision
    import torchvision

    factory = getattr(torchvision.datasets, name)
    if task["do"] == "download":
        factory(task["root"], download=True)
        return
    parts = [factory(task["root"], train=train, download=False) for train in (True, False)]
    images = np.concatenate([np.asarray(part.data) for part in parts])
    folder = Path(task["folder"])
    np.save(folder / "images.npy", images if images.ndim == 4 else images[..., None])
    np.save(folder / "labels.npy", np.concatenate([np.asarray(part.targets) for part in parts]).astype(np.int64))
    np.save(folder / "n_train.npy", len(parts[0]))


if __name__ == "__main__":
    children.serve(perform)
