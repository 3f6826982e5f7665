"""Costs counted from settings, against torch's own count on the built networks."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vae_sweep.models import networks as models
from vae_sweep.models.costs import cost


@pytest.mark.parametrize("posterior", ["diagonal", "shared_scale", "full"])
@pytest.mark.parametrize("image_shape", [(3, 32, 32), (1, 28, 28), (3, 10, 24)])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("conv", {"channels": 4}), ("resnet", {"channels": 4, "blocks": 2}), ("mlp", {"hidden": [9, 5]}), ("linear", {})],
)
def test_flop_and_parameters_are_those_of_the_network(name, settings, image_shape, posterior):
    batch, latent_dim = 2, 3
    vae = getattr(models, name)(image_shape, latent_dim, posterior, **settings)
    with FlopCounterMode(display=False) as counter:
        vae.encoder(torch.rand(batch, *image_shape))
        vae.decode(torch.rand(batch, latent_dim))
    section = {"_target_": f"vae_sweep.models.{name}", "latent_dim": latent_dim, "posterior": posterior, **settings}
    counted = cost(section, image_shape, batch)
    assert counted.flop == 3 * counter.get_total_flops()
    assert counted.params == sum(parameter.numel() for parameter in vae.parameters())


def test_nobody_can_count_a_network_of_ones_own():
    assert cost({"_target_": "somebody.Net"}, (3, 8, 8), 4) is None
