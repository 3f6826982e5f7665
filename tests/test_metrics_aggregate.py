"""Active units and the split of the aggregate KL against Gaussians whose split is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer

from vae_sweep.metrics import aggregate
from vae_sweep.metrics.aggregate import active_units, activity, aggregate_kl
from vae_sweep.models.posteriors import Diagonal, FullCovariance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_gaussian(
    images: int, covariance: torch.Tensor, variance: float, seed: int = 0
) -> tuple[Diagonal, torch.Tensor]:
    """Posteriors N(mean_i, variance I) whose means are drawn from N(0, covariance), and a sample of each."""
    d = len(covariance)
    mean = torch.randn(images, d, generator=generator(seed)) @ torch.linalg.cholesky(covariance).T
    posterior = Diagonal(mean, torch.full_like(mean, math.log(variance)))
    return posterior, posterior.sample(torch.randn(images, d, generator=generator(seed + 1)))


def test_activity_is_the_variance_of_the_means() -> None:
    mean = torch.tensor([[0.0, 1.0, 0.05], [2.0, 1.0, -0.05]])
    assert activity(mean).tolist() == pytest.approx([1.0, 0.0, 0.0025])
    assert active_units(mean) == 1
    assert active_units(mean, threshold=0.001) == 2


def test_split_of_a_correlated_gaussian() -> None:
    """q(z) = N(0, C + s I): everything is a determinant."""
    covariance, variance = torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.8, 0.2], [0.0, 0.2, 0.5]]), 0.5
    posterior, z = linear_gaussian(3000, covariance, variance)
    total = covariance + variance * torch.eye(3)
    marginals = total.diagonal()
    mi = 0.5 * (torch.logdet(total) - 3 * math.log(variance))
    tc = 0.5 * (marginals.log().sum() - torch.logdet(total))
    dwkl = 0.5 * (marginals - 1 - marginals.log()).sum()
    for found in aggregate_kl(posterior, z)[:2]:
        assert found.mutual_information == pytest.approx(float(mi), abs=0.05)
        assert found.total_correlation == pytest.approx(float(tc), abs=0.05)
        assert found.dimension_wise == pytest.approx(float(dwkl), abs=0.05)


def test_what_is_computed_once_is_the_density() -> None:
    posterior = Diagonal(torch.randn(4, 3, generator=generator()), torch.randn(4, 3, generator=generator(1)))
    z = 5 * torch.randn(6, 1, 3, generator=generator(2))
    expected = torch.distributions.Normal(posterior.mean, posterior.variance.sqrt()).log_prob(z)
    torch.testing.assert_close(aggregate._per_unit(posterior)(z), expected)

    class Own(Diagonal):
        def log_prob_per_unit(self, z: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(z - self.mean)

    assert not aggregate._per_unit(Own(posterior.mean, posterior.logvar))(z).any()


def test_mutual_information_is_bracketed() -> None:
    """In high dimensions N images are few: the two estimates part, and the truth lies between them."""
    d, variance = 12, 0.3
    truth = 0.5 * d * math.log((0.7 + variance) / variance)
    found = aggregate_kl(*linear_gaussian(400, 0.7 * torch.eye(d), variance))
    assert found.leave_in.mutual_information < truth < found.leave_one_out.mutual_information
    assert found.leave_in.mutual_information <= found.log_n
    assert found.leave_one_out.mutual_information > found.leave_in.mutual_information + 0.5


def test_posteriors_that_never_overlap_know_their_image() -> None:
    mean = 100.0 * torch.arange(8.0)[:, None].expand(8, 2)
    posterior = Diagonal(mean, torch.zeros(8, 2))
    found = aggregate_kl(posterior, mean.clone())
    assert found.log_n == pytest.approx(math.log(8))
    assert found.leave_in.mutual_information == pytest.approx(math.log(8))
    assert found.leave_one_out.mutual_information > 1000


def test_collapsed_posteriors_know_nothing() -> None:
    posterior = Diagonal(torch.zeros(50, 4), torch.zeros(50, 4))
    z = torch.randn(50, 4, generator=generator())
    for found in aggregate_kl(posterior, z)[:2]:
        assert list(found) == pytest.approx([0, 0, 0], abs=1e-5)


def brute_force(posterior: Diagonal, z: torch.Tensor, leave_out: bool) -> tuple[float, float, float]:
    """By torch.distributions and plain loops, in double precision."""
    normal = torch.distributions.Normal(posterior.mean.double(), posterior.variance.double().sqrt())
    prior = torch.distributions.Normal(0.0, 1.0)
    parts = []
    for i, point in enumerate(z.double()):
        keep = [j for j in range(len(posterior.mean)) if not (leave_out and j == i)]
        density = normal.log_prob(point).exp()  # (N, d)
        log_q = density[keep].prod(1).mean().log()
        log_product = density[keep].mean(0).log().sum()
        own = normal.log_prob(point)[i].sum()
        parts.append(torch.stack([own - log_q, log_q - log_product, log_product - prior.log_prob(point).sum()]))
    return tuple(torch.stack(parts).mean(0).tolist())


@fewer
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 1000))
def test_against_plain_loops(images: int, d: int, seed: int) -> None:
    randomness = generator(seed)
    posterior = Diagonal(
        torch.randn(images, d, generator=randomness), 0.5 * torch.randn(images, d, generator=randomness)
    )
    z = posterior.sample(torch.randn(images, d, generator=randomness))
    found = aggregate_kl(posterior, z)
    assert list(found.leave_in) == pytest.approx(brute_force(posterior, z, leave_out=False), abs=1e-4)
    assert list(found.leave_one_out) == pytest.approx(brute_force(posterior, z, leave_out=True), abs=1e-4)
    # The three parts of either estimate add up to the same sampled KL.
    log_q = posterior.log_prob(z).double().mean()
    sampled_kl = float(log_q - torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1).double().mean())
    assert sum(found.leave_in) == pytest.approx(sampled_kl, abs=1e-4)
    assert sum(found.leave_one_out) == pytest.approx(sampled_kl, abs=1e-4)
    assert found.leave_in.mutual_information <= math.log(images) + 1e-5


def test_some_samples_against_all_images_and_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, z = linear_gaussian(60, torch.eye(3), 0.5)
    rows = torch.tensor([5, 17, 59])
    some = aggregate_kl(posterior, z[rows], rows)
    single = [aggregate_kl(posterior, z[row, None], row[None]) for row in rows]
    for part in range(3):
        assert some.leave_one_out[part] == pytest.approx(sum(one.leave_one_out[part] for one in single) / 3, abs=1e-5)
    whole = aggregate_kl(posterior, z)
    monkeypatch.setattr(aggregate, "CHUNK", 7 * 60 * 3)
    assert list(aggregate_kl(posterior, z).leave_in) == pytest.approx(list(whole.leave_in), abs=1e-6)


def test_full_covariance_without_correlations_is_diagonal() -> None:
    diagonal, z = linear_gaussian(40, torch.eye(3), 0.5)
    full = FullCovariance(diagonal.mean, diagonal.logvar, torch.zeros(40, 3))
    assert list(aggregate_kl(full, z).leave_in) == pytest.approx(list(aggregate_kl(diagonal, z).leave_in), abs=1e-5)


def test_one_image_has_no_aggregate() -> None:
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        aggregate_kl(Diagonal(torch.zeros(1, 2), torch.zeros(1, 2)), torch.zeros(1, 2))
