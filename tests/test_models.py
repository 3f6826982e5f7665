"""Networks: shapes, independence of the images of a batch, the linear model's algebra."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer
from torch import nn

from vae_sweep.models.networks import ACTIVATIONS, conv, linear, mlp, resnet
from vae_sweep.models.posteriors import POSTERIORS
from vae_sweep.sweep.settings import CHECKS

SMALL = {
    "conv": lambda shape, **options: conv(shape, channels=4, **options),
    "resnet": lambda shape, **options: resnet(shape, channels=4, **options),
    "mlp": lambda shape, **options: mlp(shape, hidden=[16, 8], **options),
    "linear": linear,
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (3, 64, 64), (2, 33, 50)], ids=str)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_shapes(name: str, shape: tuple[int, int, int], posterior: str) -> None:
    vae = SMALL[name](shape, latent_dim=5, posterior=posterior)
    out, q, z = vae(torch.rand(2, *shape), torch.randn(2, 5))
    assert out.shape == (2, *shape)
    assert z.shape == q.mean.shape == (2, 5)
    assert torch.equal(vae(torch.zeros(2, *shape), None)[2], vae.encode(torch.zeros(2, *shape)).mean)


def test_activations_offered_are_those_of_the_settings() -> None:
    for name, activation in ACTIVATIONS.items():
        assert CHECKS["model.activation"](name) is None
        layers = list(mlp((1, 4, 4), latent_dim=2, hidden=[8, 6], activation=name).encoder)
        assert [type(layer) for layer in layers[2::2]] == [activation, activation]
    assert "did you mean 'tanh'" in str(CHECKS["model.activation"]("tanhh"))


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_conv_halves_down_to_four_cells(size: int) -> None:
    vae = conv((3, size, size), latent_dim=2, channels=2)
    strided = [layer for layer in vae.encoder if isinstance(layer, nn.Conv2d)]
    assert 2 ** len(strided) == size // 4


@pytest.mark.parametrize("name", SMALL)
def test_an_image_does_not_see_the_others_of_its_batch(name: str) -> None:
    torch.manual_seed(0)
    vae = SMALL[name]((3, 16, 16), latent_dim=4).double()
    x, noise = torch.rand(6, 3, 16, 16, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    together = vae(x, noise)[0]
    alone = torch.cat([vae(x[i : i + 1], noise[i : i + 1])[0] for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


@fewer
@given(height=st.integers(4, 70), width=st.integers(4, 70), channels=st.integers(1, 4))
def test_conv_takes_any_size(height: int, width: int, channels: int) -> None:
    shape = (channels, height, width)
    assert conv(shape, latent_dim=2, channels=2)(torch.rand(1, *shape), None)[0].shape == (1, *shape)


def test_linear_model_is_affine_with_one_scale_for_all_images() -> None:
    torch.manual_seed(0)
    vae = linear((1, 4, 4), latent_dim=3).double()
    x, y = torch.rand(2, 5, 1, 4, 4, dtype=torch.float64)
    halfway = vae.encode((x + y) / 2).mean
    torch.testing.assert_close(halfway, (vae.encode(x).mean + vae.encode(y).mean) / 2)
    assert torch.equal(vae.encode(x).variance, vae.encode(y).variance)
