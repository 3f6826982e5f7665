"""Grids of codes and linear paths: exact at step 0, of any size, in packs and for all weights."""

import functools
import math

import numpy as np
import pytest
import torch
from marks import slow
from torch.utils.flop_counter import FlopCounterMode

from vae_sweep.models import networks
from vae_sweep.models.costs import cost
from vae_sweep.models.layout import layout, settled
from vae_sweep.models.likelihoods import likelihood
from vae_sweep.models.multi_rate import MultiRateVAE
from vae_sweep.models.objective import Objective
from vae_sweep.models.posteriors import POSTERIORS
from vae_sweep.models.start import Start
from vae_sweep.theory import start as theory
from vae_sweep.theory.covariance import Pixels, spectrum
from vae_sweep.theory.linear import linear_vae
from vae_sweep.training.lit_pack import LitPack
from vae_sweep.training.lit_vae import LitVAE

SHAPE = (3, 24, 24)


def pictures(count=120, shape=SHAPE, seed=0):
    """(N, H, W, C) float: smooth random fields, so that low frequencies carry most, as in photographs."""
    channels, height, width = shape
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    spread = 1 / (0.03 + np.hypot(rows, columns)) ** 1.5
    noise = rng.standard_normal((count, channels, height, width))
    fields = np.fft.ifft2(np.fft.fft2(noise) * spread).real
    fields = 0.15 * fields / fields.std() + 0.5 + 0.1 * rng.standard_normal((1, channels, height, width))
    return np.ascontiguousarray(fields.clip(0, 1).transpose(0, 2, 3, 1)).astype(np.float32)


def moments(images, at, flips=False):
    return theory.moments(images, np.arange(len(images)), at.picture_codes, at.cell, at.cells, flips)


@functools.cache
def known_moments(latent_dim, latent_grid, flips):
    """Of pictures()."""
    return moments(pictures(), layout(SHAPE, latent_dim, latent_grid, True), flips)


@functools.cache
def known_spectrum():
    return spectrum(Pixels(pictures()))


def tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).double()


def begun(weight, latent_dim=150, latent_grid=4, images=None, flips=False, name="conv", **options):
    """(vae in double precision, its moments, its layout)"""
    shape = SHAPE if images is None else (images.shape[3], *images.shape[1:3])
    at = layout(shape, latent_dim, latent_grid, True)
    known = known_moments(latent_dim, latent_grid, flips) if images is None else moments(images, at, flips)
    build = getattr(networks, name)
    vae = build(shape, latent_dim, latent_grid=latent_grid, linear_path=True, start=Start(known, weight), **options)
    return vae.double(), known, at


@torch.no_grad()
def expected_loss(vae, x, weight):
    """SSE + weight KL of a decoder that is linear, exact: noise +- sqrt(d) along each axis stands for all noise."""
    posterior = vae.encode(x)
    at_zero = vae.decode(torch.zeros_like(posterior.mean[:1]))
    error = ((vae.decode(posterior.mean) - x) ** 2).flatten(1).sum(1)
    columns = vae.decode(torch.eye(vae.latent_dim, dtype=x.dtype)) - at_zero
    noise = posterior.variance @ (columns**2).flatten(1).sum(1)
    return (error + noise + weight * posterior.kl()).mean().item()


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("weight", [3.0, *slow(0.3, 0.002)])
@pytest.mark.parametrize("latent_grid", [1, 4])
def test_a_path_begins_at_the_closed_form(weight, latent_grid, flips):
    images = pictures()
    vae, known, at = begun(weight, 150 if latent_grid > 1 else 40, latent_grid, flips=flips)
    x = tensor(images)
    if flips:
        x = torch.cat([x, x.flip(-1)])
    path = theory.linear_path(known, at.picture_codes, at.cell_codes, weight / 2)
    assert expected_loss(vae, x, weight) == pytest.approx(path.distortion + weight * path.rate, rel=1e-5)
    if latent_grid == 1 and not flips:  # then it is the linear VAE of as many latents
        linear = linear_vae(known_spectrum(), 40, weight)
        assert (path.distortion, path.rate) == (
            pytest.approx(linear.distortion, rel=1e-5),
            pytest.approx(linear.rate, rel=1e-5, abs=1e-5),
        )


@pytest.mark.slow
def test_where_the_grid_goes_beyond_the_picture_the_closed_form_is_a_bound():
    """It counts what the cells beyond the edges decode, which nobody sees."""
    images = pictures(shape=(3, 32, 24))
    vae, known, at = begun(0.002, images=images)
    path = theory.linear_path(known, at.picture_codes, at.cell_codes, 0.001)
    bound = path.distortion + 0.002 * path.rate
    assert 0.98 * bound < expected_loss(vae, tensor(images), 0.002) < bound


@pytest.mark.slow
def test_no_other_scale_of_a_unit_is_better_at_the_start():
    """Every part of the path is at an optimum of its own: scaled up or down, or given another variance, it loses."""
    images, weight = pictures(), 0.002
    vae, *_ = begun(weight)
    x, path, cell_decode = tensor(images), vae.decoder.path, vae.decoder.cell_decode.weight
    best = expected_loss(vae, x, weight)
    assert path.cell_logvar.max() < -0.1  # all are on
    for tensor_of_path in (path.cell_encode.weight, cell_decode, path.logvar, path.cell_logvar):
        for factor in (0.98, 1.02):
            before = tensor_of_path.data.clone()
            tensor_of_path.data.mul_(factor)
            assert expected_loss(vae, x, weight) > best
            tensor_of_path.data.copy_(before)


def test_moments_of_cells_are_those_of_brute_force():
    images = pictures(30, (2, 10, 13))
    found = theory.moments(images, np.arange(30), 4, 4, 4, flips=True)
    both = np.concatenate([images, images[:, :, ::-1]])
    flat = both.transpose(0, 3, 1, 2).reshape(60, -1).astype(np.float64)
    centred = flat - flat.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / 60)
    np.testing.assert_allclose(found.eigenvalues, values[::-1][:4], rtol=1e-4)
    overlap = np.abs(found.basis.T.astype(np.float64) @ vectors[:, ::-1][:, :4])
    np.testing.assert_allclose(overlap, np.eye(4), atol=2e-3)
    np.testing.assert_allclose(found.variance, values.sum(), rtol=1e-5)
    padded = np.zeros((60, 2, 16, 16))
    padded[:, :, :10, :13] = centred.reshape(60, 2, 10, 13)
    cells = [padded[:, :, i : i + 4, j : j + 4].reshape(60, -1) for i in range(0, 16, 4) for j in range(0, 16, 4)]
    cells = np.concatenate(cells)
    np.testing.assert_allclose(found.cells, cells.T @ cells / len(cells), atol=1e-6)


def test_the_leading_eigenvectors_are_those_of_a_full_solver():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    matrix = turn @ np.diag(0.9 ** np.arange(300)) @ turn.T
    vectors, values = theory.leading(matrix, 20)
    np.testing.assert_allclose(values, 0.9 ** np.arange(20), rtol=1e-6)
    np.testing.assert_allclose(np.abs(vectors.T @ turn[:, :20]), np.eye(20), atol=1e-4)


@pytest.mark.parametrize("name", ["conv", "resnet"])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize(("latent_dim", "grid", "path"), [(70, 1, True), (96, 4, True), (32, 4, False), (5, 4, True)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 10, 17), (3, 5, 5)], ids=str)
def test_shapes_and_cost(name, posterior, latent_dim, grid, path, shape):
    build = getattr(networks, name)
    vae = build(shape, latent_dim, posterior, channels=4, latent_grid=grid, linear_path=path)
    out, q, z = vae(torch.rand(2, *shape), torch.randn(2, latent_dim))
    assert out.shape == (2, *shape)
    assert z.shape == q.mean.shape == q.kl_per_unit().shape == (2, latent_dim)
    with FlopCounterMode(display=False) as counter:
        vae.encoder(torch.rand(2, *shape))
        vae.decoder(torch.rand(2, latent_dim))
    section = {
        "_target_": f"vae_sweep.models.{name}", "latent_dim": latent_dim, "posterior": posterior, "channels": 4,
        "blocks": 1, "latent_grid": grid, "linear_path": path,
    }  # fmt: skip
    counted = cost(section, shape, 2)
    assert counted.flop == 3 * counter.get_total_flops()
    assert counted.params == sum(parameter.numel() for parameter in vae.parameters())
    assert counted.held == sum(buffer.numel() for buffer in vae.buffers())
    assert cost(section, shape, 2, averaged=True).held == counted.held + counted.params


def test_latents_that_do_not_fill_the_cells_are_refused():
    with pytest.raises(ValueError, match=r"model.latent_dim=30: expected a multiple of the 16 cells"):
        layout((3, 32, 32), 30, 4, False)


def test_auto_is_what_the_documents_say():
    model = {"latent_dim": "auto", "latent_grid": "auto", "linear_path": True}
    found = {size: settled(model, (3, size, size)) for size in (28, 64, 128, 256)}
    assert {size: (m["latent_grid"], m["latent_dim"]) for size, m in found.items()} == {
        28: (7, 64 + 49 * 8), 64: (8, 64 + 64 * 16), 128: (16, 64 + 256 * 16), 256: (16, 64 + 256 * 32),
    }  # fmt: skip
    assert settled(model | {"latent_grid": 1}, (3, 64, 64))["latent_dim"] == 128
    assert settled(model | {"linear_path": False}, (3, 64, 64))["latent_dim"] == 64 * 16


def test_an_image_does_not_see_the_others_of_its_batch():
    vae, *_ = begun(0.1)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        x, noise = tensor(pictures(6, seed=3)), torch.randn(6, 150, dtype=torch.float64)
        together = vae(x, noise)[0]
        alone = torch.cat([vae(x[i : i + 1], noise[i : i + 1])[0] for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


def test_every_parameter_learns_where_a_unit_is_on():
    """What begins at zero must not stay there: after one step all parameters get a gradient."""
    vae, *_ = begun(0.02)
    x, noise = tensor(pictures(8, seed=1)), torch.randn(8, 150, dtype=torch.float64)
    objective = Objective(vae, likelihood("sse"))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        objective(x, noise, 0.02)[0].backward()
        optimizer.step()
    dead = [name for name, parameter in vae.named_parameters() if parameter.grad.abs().max() == 0]
    assert not dead


@pytest.mark.parametrize("weight", [0.05, 0.5, *slow(2.0)])
def test_one_model_for_all_weights_begins_at_the_closed_form_of_each(weight):
    images = pictures()
    known = known_moments(40, 1, False)
    vae = networks.conv(SHAPE, 40, latent_grid=1, linear_path=True, start=Start(known, 0.0))
    model = MultiRateVAE(vae, 0.1, [0.001, 10.0]).double().at(weight)
    x = tensor(images)
    with torch.no_grad():
        posterior = model.encode(x)
        error = ((model.decode(posterior.mean) - x) ** 2).flatten(1).sum(1)
        columns = model.decode(torch.eye(40).double()) - model.decode(torch.zeros(1, 40).double())
        noise = posterior.variance @ (columns**2).flatten(1).sum(1)
        loss = (error + noise + weight * posterior.kl()).mean().item()
    assert loss == pytest.approx(linear_vae(known_spectrum(), 40, weight).loss, rel=2e-3)


@pytest.mark.parametrize("weight", [1.0, *slow(4.0, 0.1)])
def test_a_bernoulli_path_begins_below_its_bound(weight):
    """Boehning's bound, -ln p(x) <= c + 2 ||u - (x - p)||^2: L at the start is at most that of the linear optimum."""
    images = (pictures(200, (1, 16, 16)) > 0.5).astype(np.float32)
    at = layout((1, 16, 16), 100, 4, True)
    known = moments(images, at)
    start = Start(known, weight / 2, logits=True)
    vae = networks.conv((1, 16, 16), 100, latent_grid=4, linear_path=True, start=start).double()
    x = tensor(images)
    objective = Objective(vae, likelihood("bernoulli"))
    with torch.no_grad():
        loss = np.mean([objective(x, torch.randn(200, 100).double(), weight)[0].item() for _ in range(5)])
    path = theory.linear_path(known, at.picture_codes, at.cell_codes, weight / 4)
    mean = tensor(images).mean(0).clamp(1e-3, 1 - 1e-3)
    entropy = -(mean * mean.log() + (1 - mean) * (1 - mean).log()).sum().item()
    # The bound's constant: at u = 0 the bound is -ln p(x | mean), whose mean over images is the entropy.
    bound = entropy + 2 * (path.distortion - known.variance) + weight * path.rate
    assert loss < bound + 0.05
    assert loss < entropy or path.rate == 0
    assert math.isfinite(loss)


@pytest.mark.parametrize("recon", ["sse", *slow("bernoulli")])
def test_a_pack_of_paths_has_the_numbers_of_separate_runs(recon):
    """Members of three weights, three steps of Adam: the losses are those that each has alone."""
    images = pictures(48)
    at = layout(SHAPE, 150, 4, True)
    known = moments(images, at)
    weights = [1.0, 0.1, 0.02]

    def members():
        made = []
        for weight in weights:
            torch.manual_seed(0)
            start = Start(known, weight, recon == "bernoulli")
            vae = networks.conv(SHAPE, 150, channels=4, latent_grid=4, linear_path=True, start=start)
            made.append(LitVAE(Objective(vae, likelihood(recon)), kl_weight=weight, total_steps=10).double())
        return made

    batches = [tensor(images[:16]), tensor(images[16:32]), tensor(images[32:])]
    together = LitPack(members())
    together.manual_backward = lambda loss: loss.backward()
    together.configure_optimizers()
    apart = members()
    for member in apart:
        member.manual_backward = lambda loss: loss.backward()
        member.configure_optimizers()
    for batch in batches:
        together.train_on(batch)
        for member in apart:
            member.train_on(batch)
    for one, other in zip(together.members, apart, strict=True):
        for (name, left), right in zip(one.objective.named_parameters(), other.objective.parameters(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-8, msg=name)
        x = batches[0]
        torch.testing.assert_close(one.objective.vae.encode(x).mean, other.objective.vae.encode(x).mean)
