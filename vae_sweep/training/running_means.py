"""Means over images of the loss and its terms, summed where they are computed: nothing waits for a GPU."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Sums of the terms per image, in float64, until `take` turns them into means.

    `add` accepts the terms of one member, loss () and terms (B,), or of the N members of a pack, (N,) and (N, B);
    `take_all` then gives N dictionaries.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | None = None  # (..., names)
        self.images = 0
        self.pixels = 0

    def add(self, loss: Tensor, terms: Mapping[str, Tensor], pixels: int) -> None:
        """loss: mean over the batch; terms: recon, sse and perhaps kl, per image; pixels: values per image."""
        names = tuple(name for name in ("recon", "kl", "sse") if name in terms)
        with torch.no_grad():
            sse = terms["sse"]
            columns = [loss[..., None].expand_as(sse), *(terms[name] for name in names), sse.log()]
            sums = _exact(torch.stack(columns, dim=-1)).sum(-2)  # (..., B, names) -> (..., names)
            self.sums = sums if self.sums is None else self.sums.to(sums.device) + sums
        self.names = ("loss", *names, "log_sse")
        self.images += sse.shape[-1]
        self.pixels = pixels

    def take(self) -> dict[str, float]:
        """Means of one member since the last call, with mse (per pixel) and psnr (dB, mean over images)."""
        return self.take_all()[0]

    def take_all(self) -> list[dict[str, float]]:
        """`take` of every member of a pack."""
        sums, images = self.sums, self.images
        self.sums, self.images = None, 0
        if sums is None:
            return [{}]
        rows = sums.reshape(-1, len(self.names)).tolist()
        return [self._means(dict(zip(self.names, row, strict=True)), images) for row in rows]

    def _means(self, sums: dict[str, float], images: int) -> dict[str, float]:
        means = {name: total / images for name, total in sums.items()}
        log_sse = means.pop("log_sse")
        psnr = -10 / math.log(10) * (log_sse - math.log(self.pixels))
        return means | {"mse": means["sse"] / self.pixels, "psnr": psnr}

    def state(self) -> dict[str, Any]:
        """Plain numbers, for the checkpoint of one member."""
        return self.states(1)[0]

    def states(self, members: int) -> list[dict[str, Any]]:
        """`state` of every member of a pack."""
        rows = [None] * members if self.sums is None else self.sums.reshape(members, -1).tolist()
        shared = {"names": list(self.names), "images": self.images, "pixels": self.pixels}
        return [shared | {"sums": row} for row in rows]

    def restore(self, state: Mapping[str, Any]) -> None:
        self.restore_all([state])
        self.sums = None if self.sums is None else self.sums[0]

    def restore_all(self, states: Sequence[Mapping[str, Any]]) -> None:
        """The members of a pack stand at the same step, so they differ in their sums alone."""
        first = states[0]
        self.names, self.images, self.pixels = tuple(first["names"]), first["images"], first["pixels"]
        rows = [state["sums"] for state in states]
        self.sums = None if first["sums"] is None else torch.tensor(rows, dtype=torch.float64)


def _exact(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()  # Apple's GPUs have no float64
