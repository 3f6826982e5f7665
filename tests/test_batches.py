"""Order and noise as functions of (seed, step)."""

from itertools import chain

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.data import ImageData
from vae_sweep.data.batches import Images, Order, TrainBatches, ValBatches, generator

CPU = torch.device("cpu")


def image_data(n: int = 10) -> ImageData:
    pixels = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), dtype=np.uint8)
    return ImageData(images=pixels, train=np.arange(0, n - 3), val=np.arange(n - 3, n), fingerprint="f", name="x")


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 2**32 - 1), epochs=st.integers(1, 4))
def test_every_image_once_per_epoch(n: int, batch_size: int, seed: int, epochs: int) -> None:
    order = Order(n, batch_size, seed)
    steps = -(-n * epochs // batch_size)
    stream = np.concatenate([order[step] for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10))
def test_a_step_does_not_depend_on_what_was_asked_before(steps: list[int]) -> None:
    order = Order(7, 4, seed=1)
    for step in steps:
        assert np.array_equal(order[step], Order(7, 4, seed=1)[step])


def test_batches_are_images_in_unit_range_channels_first() -> None:
    images = Images(image_data(), np.arange(10), torch.float32, CPU)
    batch = images[np.array([0, 5])]
    assert batch.shape == (2, 3, 2, 2)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch[:, 0, 0, 0], torch.tensor([0, 5 / 255]))


def test_float_images_pass_unscaled_in_float64() -> None:
    data = image_data()
    data = ImageData(data.images.astype(np.float32) / 10, data.train, data.val, "f", "x")
    assert Images(data, data.train, torch.float64, CPU)[np.array([5])][0, 0, 0, 0] == np.float32(0.5)


def test_loop_lasts_until_the_next_validation_and_continues_in_the_middle() -> None:
    images = Images(image_data(), np.arange(7), torch.float32, CPU)

    def loops(first: int, times: int) -> list[list[torch.Tensor]]:
        batches = TrainBatches(images, [Order(7, 3, 0)], stops=[4, 8, 10], first_step=first)
        return [list(batches) for _ in range(times)]

    whole = loops(0, 3)
    assert [len(loop) for loop in whole] == [4, 4, 2]
    continued = loops(5, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole[1][1:] + whole[2], chain(*continued), strict=True))


def test_seeds_differ_and_members_of_one_seed_share_a_batch() -> None:
    images = Images(image_data(), np.arange(7), torch.float32, CPU)
    orders = [Order(7, 3, seed) for seed in (0, 0, 1)]
    assert next(iter(TrainBatches(images, orders[:2], [1]))).shape == (3, 3, 2, 2)
    stacked = next(iter(TrainBatches(images, orders, [1])))
    assert stacked.shape == (3, 3, 3, 2, 2)
    assert torch.equal(stacked[0], stacked[1])
    assert not torch.equal(stacked[0], stacked[2])


def test_processes_share_out_a_batch() -> None:
    images = Images(image_data(), np.arange(7), torch.float32, CPU)
    whole = next(iter(TrainBatches(images, [Order(7, 4, 0)], [1])))
    parts = [next(iter(TrainBatches(images, [Order(7, 4, 0)], [1], rank=rank, world=2))) for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


def test_validation_has_all_images_in_order() -> None:
    data = image_data(9)
    batches = ValBatches(Images(data, np.arange(7), torch.float32, CPU), 3)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert len(batches) == 3
    assert torch.equal(torch.cat(list(batches))[:, 0, 0, 0] * 255, torch.arange(7.0))


def test_generators_follow_their_key() -> None:
    draws = [torch.randn(4, generator=generator("cpu", *key)) for key in (("a", 0, 1), ("a", 0, 1), ("a", 1, 0))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
