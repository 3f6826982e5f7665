"""Networks begin at the mean image and in the units of the data, so that faint data are learned as strong ones."""

import numpy as np
import pytest
import torch

from vae_sweep.models import networks
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.models.start import Start
from vae_sweep.theory.covariance import Pixels, spectrum
from vae_sweep.theory.linear import linear_vae
from vae_sweep.theory.start import moments
from vae_sweep.training.lit_vae import OptimizerSettings

SHAPE = (1, 8, 8)


def faint(variance, count=128):
    """(N, 8, 8, 1): six directions carry most of a total variance, around 0.5."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    spread = np.concatenate([[0.4, 0.25, 0.15, 0.08, 0.06, 0.03], np.full(58, 0.03 / 58)])
    images = rng.standard_normal((count, 64)) * np.sqrt(spread * variance) @ directions.T
    return (0.5 + images - images.mean(0)).reshape(count, 8, 8, 1).astype(np.float32)


def start_of(images, weight=1.0, logits=False):
    return Start(moments(images, np.arange(len(images)), 0, 1, 8), weight, logits)


@pytest.mark.slow
@pytest.mark.parametrize("variance", [0.01, 0.046, 1.0, 100.0])
def test_the_linear_truth_holds_over_decades_of_the_total_variance(variance):
    """Trained as a sweep trains it, at a weight at which five of the six directions are worth their nats."""
    images, weight = faint(variance), 0.1 * variance
    truth = linear_vae(spectrum(Pixels(images)), 10, weight)
    assert truth.active_units == 5
    torch.manual_seed(0)
    vae = networks.linear(SHAPE, 10, start=start_of(images))
    objective, x = Objective(vae, likelihood("sse")), torch.from_numpy(images).permute(0, 3, 1, 2)
    settings, steps = OptimizerSettings(lr=5e-3, lr_schedule="plateau"), 1500
    adam = torch.optim.Adam(vae.parameters())
    noise = torch.Generator().manual_seed(1)
    for step in range(steps):
        adam.param_groups[0]["lr"] = settings.lr_at(step, steps)
        loss, _ = objective(x, torch.randn(len(x), 10, generator=noise), weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        terms = [objective(x, torch.randn(len(x), 10, generator=noise), weight)[1] for _ in range(20)]
    sse, kl = (torch.stack([term[name].mean() for term in terms]).mean().item() for name in ("sse", "kl"))
    assert sse + weight * kl == pytest.approx(truth.loss, rel=0.01)
    assert sse == pytest.approx(truth.distortion, rel=0.03)
    assert kl == pytest.approx(truth.rate, rel=0.03)


@pytest.mark.parametrize("variance", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", ["linear", "mlp", "conv", "resnet"])
def test_step_0_is_about_as_good_as_the_mean_image(name, variance):
    images = faint(variance)
    torch.manual_seed(0)
    vae = getattr(networks, name)(SHAPE, 6, start=start_of(images))
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        _, terms = Objective(vae, likelihood("sse"))(x, torch.randn(len(x), 6), 1.0)
    of_the_mean_image = float(((images - images.mean(0)) ** 2).sum() / len(images))
    assert 0.9 * of_the_mean_image < terms["sse"].mean().item() < 1.1 * of_the_mean_image


def test_logits_begin_at_the_mean_image_too():
    images = (faint(4.0) > 0.5).astype(np.float32)
    torch.manual_seed(0)
    vae = networks.conv(SHAPE, 6, start=start_of(images, logits=True))
    mean = images.mean(0).transpose(2, 0, 1)
    found = torch.sigmoid(vae.decode(torch.randn(200, 6))).mean(0)
    np.testing.assert_allclose(found.detach(), mean, atol=0.1)
