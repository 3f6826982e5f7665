"""Networks begin at the mean image and in the units of the data, so that faint data are learned as strong ones."""

import numpy as np
import pytest
import torch
from configs import member_config

from vae_sweep.models import networks
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.objective import Objective
from vae_sweep.models.start import Start
from vae_sweep.theory.covariance import Pixels, spectrum
from vae_sweep.theory.linear import linear_vae
from vae_sweep.theory.start import moments
from vae_sweep.training import starting
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


@pytest.mark.parametrize(
    ("recon", "learned", "worth"),
    [
        ("sse", False, lambda s: 1.0),
        ("gaussian", False, lambda s: 2 * 0.1**2),
        ("gaussian", True, lambda s: 2 * s**2),
        ("optimal_sigma", False, lambda s: 2 * s**2),
        ("laplace", False, lambda s: 2 * 0.1 * s),  # |e| / b <= e^2 / (2 b s) + s / (2 b)
        ("laplace", True, lambda s: 2 * s**2),  # and b comes to be the error too
        ("bernoulli", False, lambda s: 0.5),
    ],
)
def test_a_run_begins_at_the_squared_error_that_its_likelihood_is_nearest(recon, learned, worth):
    """Weight 0.5 of R is 0.5 c of SSE, c as written out for the pixel error s that is left there."""
    images = faint(1.0)
    config = member_config("model=conv", "model.latent_grid=1", "model.latent_dim=6", f"loss.recon={recon}")
    config["loss"] |= {"kl_weight": 0.5, "learn_scale": learned}
    if recon in ("gaussian", "laplace"):
        config["loss"]["scale"] = 0.1
    begun = starting.start_of(config, moments(images, np.arange(len(images)), 6, 8, 1), SHAPE)
    left = linear_vae(spectrum(Pixels(images)), 6, begun.weight).distortion
    assert begun.weight == pytest.approx(0.5 * worth((left / 64) ** 0.5), rel=1e-3)
    assert begun.logits == (recon == "bernoulli")
