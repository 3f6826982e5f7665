"""Pictures changed a little at every step, as a function of (seed, step): mirrored, or moved within their frame."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 16  # a crop moves a picture by up to a sixteenth of its side


def augmented(x: Tensor, kind: str, seed: int, step: int, share: slice = slice(None), batch_size: int = 0) -> Tensor:
    """Images (B, C, H, W) of a step, each mirrored with probability 1/2 (flip), moved by up to a sixteenth of its side
    with its edges reflected (crop), or both. The same for every member of a seed.

    share: of the `batch_size` images of the step (default: all of x), which of them these are.
    """
    if kind == "none":
        return x
    key = np.array([seed, step + 2**63], np.uint64)  # apart from the order of an epoch
    draw = np.random.Generator(np.random.Philox(key=key))
    count = batch_size or len(x)
    mirrored = torch.from_numpy(draw.random(count) < 0.5)[share].to(x.device)
    down, right = max(1, x.shape[-2] // _REACH), max(1, x.shape[-1] // _REACH)
    tops, lefts = draw.integers(0, 2 * down + 1, count)[share], draw.integers(0, 2 * right + 1, count)[share]
    if "flip" in kind:
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    if "crop" in kind:
        wide = F.pad(x, (right, right, down, down), mode="reflect")
        moved = torch.empty_like(x)
        for image, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
            moved[image] = wide[image, :, top : top + x.shape[-2], left : left + x.shape[-1]]
        x = moved
    return x
