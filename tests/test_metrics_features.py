"""Feature sets: what each sees and is blind to, on pictures whose difference is known."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vae_sweep.metrics.features import FEATURES, features
from vae_sweep.metrics.two_sample import KERNELS, distance, standardised


def pictures(seed: int, n: int = 48, side: int = 32, channels: int = 3) -> torch.Tensor:
    """Discs of a random place, size and colour on a random ground."""
    g = torch.Generator().manual_seed(seed)
    axis = torch.linspace(0, 1, side)
    place, size = 0.2 + 0.6 * torch.rand(n, 2, 1, 1, generator=g), 0.1 + 0.25 * torch.rand(n, 1, 1, generator=g)
    inside = ((axis[:, None] - place[:, 0]) ** 2 + (axis - place[:, 1]) ** 2 < size**2).float()[:, None]
    ground, colour = torch.rand(2, n, channels, 1, 1, generator=g)
    return ground * (1 - inside) + colour * inside


def blurred(x: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(F.adaptive_avg_pool2d(x, side), x.shape[2:], mode="bilinear")


def apart(a: torch.Tensor, b: torch.Tensor, name: str, kernel: str = "cubic") -> float:
    return distance(*standardised(features(a, name), features(b, name)), KERNELS[kernel]).value


@pytest.mark.parametrize("name", FEATURES)
def test_a_picture_s_features_are_its_own(name: str) -> None:
    x = pictures(0, 7)
    whole = features(x, name)
    assert torch.allclose(whole, torch.cat([features(one[None], name) for one in x]), atol=1e-5)
    assert torch.equal(whole, features(x, name))
    assert whole.isfinite().all()


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 28, 28), (3, 33, 20), (3, 128, 128)])
def test_pictures_of_any_size(name: str, shape: tuple[int, int, int]) -> None:
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    found = features(x, name)
    assert len(found) == 5
    assert found.isfinite().all()
    assert (found.std(0) > 0).any()
    assert features(torch.zeros(2, *shape), name).isfinite().all()  # flat pictures too


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["random_conv", "random_filters"])
def test_more_blur_is_farther(name: str, kernel: str) -> None:
    real = pictures(0)
    ways = [apart(blurred(real, side), real, name, kernel) for side in (16, 8, 4)]
    assert 0 < ways[0] < ways[1] < ways[2]


def test_pooled_pixels_are_blind_to_blur_and_see_layout() -> None:
    real, other = pictures(0), pictures(1)
    assert apart(blurred(real, 16), real, "pooled_pixels") < 0.01
    lower = other.clone()
    lower[:, :, 16:] = 0
    assert apart(lower, real, "pooled_pixels") > 20 * abs(apart(other, real, "pooled_pixels"))


def test_random_conv_is_blind_to_contrast_and_random_filters_see_it() -> None:
    """Against grey, half the contrast is half of every response."""
    real, other = pictures(0), pictures(1)
    pale = 0.5 + 0.25 * (other - 0.5)
    assert apart(pale, real, "random_conv") < 0.2 * apart(pale, real, "random_filters")


@pytest.mark.parametrize("name", FEATURES)
def test_coloured_noise_is_no_picture(name: str) -> None:
    real, other = pictures(0), pictures(1)
    noise = blurred(torch.rand(real.shape, generator=torch.Generator().manual_seed(2)), 8)
    noise = (0.5 + (noise - 0.5) * (real.std() / noise.std())).clamp(0, 1)
    assert apart(noise, real, name) > 5 * max(apart(other, real, name), 0.02)


def test_the_filters_are_numpy_s() -> None:
    """Not torch's generator, which differs between devices: the first features, from their definition."""
    picture = np.linspace(0, 1, 64).reshape(8, 8)
    bank = np.random.Generator(np.random.Philox(key=[7, 0])).standard_normal((32, 1, 7, 7))[:, 0] * np.sqrt(2 / 49)
    bank -= bank.mean((1, 2), keepdims=True)
    padded = np.pad(2 * picture - 1, 3)
    found = [
        [[(padded[i : i + 7, j : j + 7] * one).sum() for j in range(0, 8, 2)] for i in range(0, 8, 2)] for one in bank
    ]
    expected = np.abs(found).mean((1, 2))
    x = torch.from_numpy(picture)[None, None].float()
    assert features(x, "random_filters")[0, :32].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
