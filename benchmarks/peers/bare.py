"""The floor: a VAE trained by a bare PyTorch loop, everything in memory, nothing logged, nothing saved."""

import math

import torch
from torch import Tensor

from benchmarks.peers.task import Task, decoded_once
from vae_sweep.models.networks import VAE


class BareLoop:
    """Minimises SSE + kl_weight KL by Adam under a cosine schedule. pixels: (N, H, W, C) uint8, all in memory."""

    def __init__(
        self,
        vae: VAE,
        pixels: Tensor,
        batch_size: int,
        total_steps: int,
        kl_weight: float = 1.0,
        lr: float = 2e-3,
        bf16: bool = False,
    ):
        self.vae = vae.to(memory_format=torch.channels_last)
        self.pixels = pixels
        self.batch_size = batch_size
        self.total_steps = total_steps
        self.kl_weight = kl_weight
        self.lr = lr
        self.bf16 = bf16
        self.adam = torch.optim.Adam(vae.parameters(), lr=lr, fused=True)
        self.step = 0
        self.order = torch.randperm(len(pixels))

    def train(self, steps: int) -> None:
        """The next `steps` optimiser steps; batches run through one shuffled epoch after another."""
        for _ in range(steps):
            x = self._images(self._next_batch())
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                sse, kl = self._terms(x)
            (sse + self.kl_weight * kl).mean().backward()
            for group in self.adam.param_groups:
                group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * self.step / self.total_steps))
            self.adam.step()
            self.adam.zero_grad()
            self.step += 1

    @torch.inference_mode()
    def validate(self, pixels: Tensor) -> tuple[float, float]:
        """Mean SSE and KL of `pixels` (N, H, W, C) uint8."""
        sums = torch.zeros(2)
        for part in pixels.split(self.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                sums += torch.stack([term.sum() for term in self._terms(self._images(part))])
        sse, kl = (sums / len(pixels)).tolist()
        return sse, kl

    def _images(self, pixels: Tensor) -> Tensor:
        return pixels.float().div_(255).permute(0, 3, 1, 2)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, posterior, _ = self.vae(x, torch.randn(len(x), self.vae.latent_dim))
        return (out - x).square().flatten(1).sum(1), posterior.kl()

    def _next_batch(self) -> Tensor:
        if len(self.order) < self.batch_size:
            self.order = torch.cat([self.order, torch.randperm(len(self.pixels))])
        batch, self.order = self.order[: self.batch_size], self.order[self.batch_size :]
        return self.pixels[batch]


def main() -> None:
    task = Task.from_command_line()
    train = decoded_once(task.root, task.train, task.image_size)
    pixels = (train * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    steps = math.ceil(task.epochs * len(pixels) / task.batch_size)
    for kl_weight in task.kl_weights:
        loop = BareLoop(task.network(), pixels, task.batch_size, steps, kl_weight, task.lr, task.bf16)
        loop.train(steps)
        task.save(kl_weight, loop.vae)


if __name__ == "__main__":
    main()
