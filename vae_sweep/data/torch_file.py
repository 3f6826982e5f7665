"""Tensors that `torch.save` wrote, as arrays in the cache. Nothing in the file is run.

A tensor is the images; of a pair of tensors, the images and the labels; those of a mapping keep their names. Read by a
child process, since the one that plans a sweep does without torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.data import children
from vae_sweep.data.cache import cached_folder
from vae_sweep.data.image_data import DataError

TORCH = (".pt", ".pth")


def as_arrays(path: Path, cache_dir: Path) -> Path:
    """A .npy or .npz file in the cache. Raises DataError."""
    if not path.is_file():
        raise DataError(f"data.path: no such file: {path}")
    status = path.stat()
    key = {"kind": "torch file", "path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}

    def build(folder: Path) -> None:
        if error := children.failure("vae_sweep.data.torch_file", {"path": str(path), "folder": str(folder)}):
            raise DataError(f"data.path: {path} {error}")

    folder = cached_folder(cache_dir, key, f"tensors of {path.name}", build)
    return next(file for file in folder.iterdir() if file.suffix in (".npy", ".npz"))


def arrays_of(content: Any) -> dict[str, np.ndarray]:
    """Raises ValueError, a line, for what holds no tensors."""
    import torch

    named = {}
    if isinstance(content, torch.Tensor):
        named = {"images": content}
    elif isinstance(content, Mapping):
        named = {str(name): found for name, found in content.items() if isinstance(found, torch.Tensor)}
    elif isinstance(content, (tuple, list)) and content and all(isinstance(one, torch.Tensor) for one in content):
        if len({one.shape for one in content}) == 1:
            if len(types := sorted({str(one.dtype).removeprefix("torch.") for one in content})) > 1:
                raise ValueError(f"holds tensors of {' and '.join(types)}: numbers of several types make no one set")
            named = {"images": torch.stack(list(content))}
        elif len(content) == 2:
            named = dict(zip(("images", "labels"), content, strict=True))
        else:
            raise ValueError(f"holds {len(content)} tensors of several shapes, of which none is known to be the images")
    if not named:
        raise ValueError(f"holds {type(content).__name__}, not tensors")
    return {name: numpy_of(tensor) for name, tensor in named.items()}


def numpy_of(tensor: Any) -> np.ndarray:
    """Of floats that numpy has not, such as bfloat16, float32."""
    import torch

    known = not tensor.is_floating_point() or tensor.dtype in (torch.float16, torch.float32, torch.float64)
    array: np.ndarray = (tensor if known else tensor.float()).detach().cpu().numpy()
    return array


def convert(task: Mapping[str, str]) -> None:
    """{"path", "folder"}: the tensors of a file as arrays in a folder."""
    import torch

    try:
        content = torch.load(task["path"], map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" not in str(error):
            raise
        raise ValueError("holds more than tensors, and running what it holds is not safe; save tensors") from None
    found: dict[str, Any] = arrays_of(content)
    if list(found) == ["images"]:  # which can be mapped
        np.save(Path(task["folder"]) / "images.npy", found["images"])
    else:
        np.savez(Path(task["folder"]) / "arrays.npz", **found)


if __name__ == "__main__":
    children.serve(convert)
