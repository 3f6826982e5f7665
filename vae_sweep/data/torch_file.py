"""Tensors that `torch.save` wrote, as arrays in the cache. Nothing in the file is run.

A tensor is the images; of a pair of tensors, the images and the labels; those of a mapping keep their names. Read by a
child process, since the one that plans a sweep does without torch.
"""

import json
import sys
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
        with children.start("vae_sweep.data.torch_file") as child:
            out, _ = child.communicate(json.dumps({"path": str(path), "folder": str(folder)}))
        if child.returncode:
            said = out.strip().splitlines()
            raise DataError(f"data.path: {path} {said[-1] if said else f'ended its reader: {child.returncode}'}")

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
            named = {"images": torch.stack(list(content))}
        elif len(content) == 2:
            named = dict(zip(("images", "labels"), content, strict=True))
        else:
            raise ValueError(f"holds {len(content)} tensors of several shapes, of which none is known to be the images")
    if not named:
        raise ValueError(f"holds {type(content).__name__}, not tensors")
    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
        for name, tensor in named.items()
    }


def main() -> None:
    """The child, which is asked on stdin. Exit code 0, or the reason as the last line of stdout."""
    import torch

    asked = json.load(sys.stdin)
    try:
        found: dict[str, Any] = arrays_of(torch.load(asked["path"], map_location="cpu", weights_only=True))
        if list(found) == ["images"]:  # which can be mapped
            np.save(Path(asked["folder"]) / "images.npy", found["images"])
        else:
            np.savez(Path(asked["folder"]) / "arrays.npz", **found)
    except Exception as error:  # anybody's file
        unsafe = "weights_only" in str(error)
        said = "holds more than tensors, and running what it holds is not safe; save tensors" if unsafe else error
        print(" ".join(str(said).split())[:300])
        sys.exit(1)


if __name__ == "__main__":
    main()
