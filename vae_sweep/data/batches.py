"""Batches as a function of the step: the order of images and all noise follow from (seed, step) alone.

So a run that continues from step s sees exactly what an uninterrupted one would have seen, members of a pack see what
they would have seen alone, and nothing needs a state to be saved.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data import ImageData
from vae_sweep.data.augment import augmented


class Images:
    """One split of a data set, served as float images in [0, 1], channels last in memory.

    The uint8 pixels stay where they are: in a memory map (whose pages all processes share) or, on a GPU with room for
    them, on the device.
    """

    def __init__(self, data: ImageData, rows: np.ndarray, dtype: torch.dtype, device: torch.device):
        self.pixels = data.images
        self.rows = rows
        self.dtype = dtype
        self.device = device
        self.on_device: Tensor | None = None
        if device.type == "cuda" and self.nbytes < torch.cuda.mem_get_info(device)[0] // 4:
            self.on_device = torch.from_numpy(np.ascontiguousarray(self.pixels[rows])).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        return len(self.rows) * int(np.prod(self.pixels.shape[1:])) * self.pixels.itemsize

    def __getitem__(self, positions: np.ndarray) -> Tensor:
        """positions (B,) within the split -> (B, C, H, W)."""
        if self.on_device is not None:
            batch = self.on_device[self._moved(torch.from_numpy(positions))]
        else:
            batch = self._moved(torch.from_numpy(self.pixels[self.rows[positions]]))  # while it is uint8, and small
        scale = 255 if batch.dtype == torch.uint8 else 1
        return batch.to(self.dtype).div_(scale).permute(0, 3, 1, 2)

    def _moved(self, tensor: Tensor) -> Tensor:
        """On the device. A GPU takes it from pinned memory when it comes to it; nobody waits."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class Order:
    """The endless stream of shuffled epochs, cut into full batches: each image once per epoch.

    A batch may straddle two epochs; so all batches have one size, and the last images of an epoch are not left out.
    """

    def __init__(self, images: int, batch_size: int, seed: int):
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, step: int) -> np.ndarray:
        """Positions (batch_size,) of the images of a step."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, offsets = np.divmod(places, self.images)
        if epochs[0] == epochs[-1]:
            return self._epoch(int(epochs[0]))[offsets]
        return np.array([self._epoch(int(epoch))[offset] for epoch, offset in zip(epochs, offsets, strict=True)])

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {old: order for old, order in self._epochs.items() if old == epoch - 1}
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._epochs[epoch] = generator.permutation(self.images)
        return self._epochs[epoch]


class TrainBatches:
    """The batches of training: one `for` loop over it covers the steps up to the next validation.

    orders: one per member of a pack. Members of one seed share a batch (B, C, H, W); of several seeds they get
    (N, B, C, H, W). `rank` of `world` processes sees its share of every batch. augment: see data/augment.py.
    """

    def __init__(
        self,
        images: Images,
        orders: Sequence[Order],
        stops: Sequence[int],
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        augment: str = "none",
    ):
        self.images = images
        self.augment = augment
        self.orders = orders
        self.stops = stops
        self.next_step = first_step
        self.share = slice(rank, None, world)
        self.shared = len({order.seed for order in orders}) == 1

    def __iter__(self) -> Iterator[Tensor]:
        first = self.next_step
        self.next_step = min(stop for stop in self.stops if stop > first)
        for step in range(first, self.next_step):
            yield self._batch(step)

    def _batch(self, step: int) -> Tensor:
        if self.shared:
            return self._of(self.orders[0], step)
        return torch.stack([self._of(order, step) for order in self.orders])

    def _of(self, order: Order, step: int) -> Tensor:
        x = self.images[order[step][self.share]]
        return augmented(x, self.augment, order.seed, step, self.share, order.batch_size)


class Stretches:
    """Batches for the Trainer in one piece: its "batch" is the stretch of all batches up to the next validation.

    Lightning's own loop takes longer than a step of a small network, so it goes round once per stretch.
    """

    def __init__(self, batches: Iterable[Tensor]):
        self.batches = batches

    def __iter__(self) -> Iterator[Iterable[Tensor]]:
        yield self.batches


class ValBatches:
    """All images of a split in order; the last batch may be smaller."""

    def __init__(self, images: Images, batch_size: int):
        self.images = images
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for first in range(0, len(self.images), self.batch_size):
            yield self.images[np.arange(first, min(first + self.batch_size, len(self.images)))]


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A random generator that is a function of its key."""
    seed = int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "little")
    return torch.Generator(device=device).manual_seed(seed)


def binarized(x: Tensor, randomness: torch.Generator) -> Tensor:
    """x' ~ Bernoulli(x): dynamic binarisation (Burda et al. 2016)."""
    return torch.bernoulli(x, generator=randomness)
