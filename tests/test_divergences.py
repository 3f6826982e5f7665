"""The split of the KL against exact mixtures, exhaustive enumeration and a Gaussian with known correlation."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.func import vmap

from vae_sweep.models.divergences import free_bits, split_kl
from vae_sweep.models.posteriors import POSTERIORS, Diagonal, FullCovariance

D = 3


def posterior_of(n, family=Diagonal, seed=0):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(n, family.n_params(D), dtype=torch.float64, generator=generator)
    noise = torch.randn(n, D, dtype=torch.float64, generator=generator)
    q = family.from_params(h, D)
    return h, q, q.sample(noise)


def exact_log_mixture(components, z):
    uniform = Categorical(probs=torch.ones(components.batch_shape))
    return MixtureSameFamily(uniform, components).log_prob(z)


@pytest.mark.parametrize("family", POSTERIORS.values(), ids=POSTERIORS.keys())
@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_the_parts_add_up_to_the_log_ratio(family, estimator):
    _, q, z = posterior_of(5, family)
    split = split_kl(q, z, n_train=1000, estimator=estimator)
    ratio = q.log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(sum(split), ratio)


@pytest.mark.parametrize("family", [Diagonal, FullCovariance])
def test_a_batch_of_all_images_gives_the_exact_aggregate_posterior(family):
    _, q, z = posterior_of(6, family)
    covariance = torch.diag_embed(q.variance) if family is Diagonal else q.cholesky @ q.cholesky.mT
    log_q_z = exact_log_mixture(MultivariateNormal(q.mean, covariance), z)
    log_product = sum(exact_log_mixture(Normal(q.mean[:, j], q.variance[:, j].sqrt()), z[:, j]) for j in range(D))
    split = split_kl(q, z, n_train=6)
    torch.testing.assert_close(split.mutual_information, q.log_prob(z) - log_q_z)
    torch.testing.assert_close(split.total_correlation, log_q_z - log_product)


def test_stratified_estimate_of_the_density_is_unbiased():
    information, log_q, exact = all_batches_with_image_0()
    torch.testing.assert_close((log_q - information).exp().mean(), exact.exp())


def test_information_is_never_underestimated_on_average():
    """The stated bias: -ln of an unbiased density is too large (Jensen)."""
    information, log_q, exact = all_batches_with_image_0()
    assert information.mean() > log_q - exact
    assert information.max() <= math.log(6) + 1e-9


def all_batches_with_image_0(n=6, batch=3):
    """(information of z_0 by every batch of 3 out of 6, ln q(z_0|x_0), exact ln q(z_0))"""
    h, q, z = posterior_of(n)
    estimates = []
    for others in itertools.combinations(range(1, n), batch - 1):
        chosen = [0, *others]
        part = Diagonal.from_params(h[chosen], D)
        estimates.append(split_kl(part, z[chosen], n_train=n).mutual_information[0])
    components = Independent(Normal(q.mean, q.variance.sqrt()), 1)
    return torch.stack(estimates), q.log_prob(z)[0], exact_log_mixture(components, z[:1])[0]


def test_stratified_weights_are_chens_averaged_over_the_order_of_the_batch():
    """Chen et al. 2018, appendix C.2: for z_i, 1/N itself, 1/M the others but one, (N - M)/(N M) that one."""
    n, batch = 50, 4
    m = batch - 1
    _, q, z = posterior_of(batch)
    densities = q.log_prob(z[:1, None])[0].exp()  # of z_0 under all
    estimates = []
    for order in itertools.permutations(range(1, batch)):
        weights = [1 / n, *[1 / m] * (m - 1), (n - m) / (n * m)]
        estimates.append(sum(w * densities[j] for w, j in zip(weights, [0, *order], strict=True)))
    ours = (q.log_prob(z)[0] - split_kl(q, z, n_train=n).mutual_information[0]).exp()
    torch.testing.assert_close(ours, torch.stack(estimates).mean())


def test_weighted_estimate_is_minibatch_weighted_sampling():
    n, batch = 50, 4
    _, q, z = posterior_of(batch)
    components = Independent(Normal(q.mean, q.variance.sqrt()), 1)
    log_mean = exact_log_mixture(components, z)
    split = split_kl(q, z, n_train=n, estimator="weighted")
    torch.testing.assert_close(split.mutual_information, q.log_prob(z) - log_mean + math.log(n))


def test_a_gaussian_with_known_information_and_correlation():
    """z = A u + s e with u ~ N(0, I): q(z) is Gaussian, so every part has a closed form."""
    n, s = 1500, 0.5
    mix = torch.tensor([[0.8, 0.3], [0.1, 0.7]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    u, e = torch.randn(2, n, 2, dtype=torch.float64, generator=generator)
    mean = u @ mix.T
    q = Diagonal(mean, torch.full_like(mean, 2 * math.log(s)))
    split = split_kl(q, q.sample(e), n_train=n)

    covariance = mix @ mix.T + s**2 * torch.eye(2)
    variances = covariance.diagonal()
    information = 0.5 * torch.logdet(covariance / s**2)
    correlation = 0.5 * (variances.log().sum() - torch.logdet(covariance))
    dimension_wise = 0.5 * (variances - 1 - variances.log()).sum()
    for part, expected in zip(split, (information, correlation, dimension_wise), strict=True):
        # Five standard errors, and the bias of a density estimated from 1500 images.
        tolerance = 5 * part.std().item() / math.sqrt(n) + 0.01
        assert part.mean().item() == pytest.approx(expected.item(), abs=tolerance)


def test_information_is_zero_for_equal_posteriors_and_ln_n_for_distant_ones():
    noise = torch.randn(8, D, dtype=torch.float64)
    equal = Diagonal(torch.zeros(8, D), torch.zeros(8, D))
    torch.testing.assert_close(split_kl(equal, noise, n_train=500).mutual_information, torch.zeros(8).double())
    distant = Diagonal(100 * torch.arange(8.0).double()[:, None].expand(8, D), torch.zeros(8, D).double())
    information = split_kl(distant, distant.sample(noise), n_train=500).mutual_information
    torch.testing.assert_close(information, torch.full((8,), math.log(500)).double())


def test_split_under_vmap_equals_a_loop():
    batches = [posterior_of(5, seed=seed)[0] for seed in range(3)]
    noise = torch.randn(5, D, dtype=torch.float64)

    def parts(h):
        q = Diagonal.from_params(h, D)
        return torch.stack(split_kl(q, q.sample(noise), n_train=100))

    torch.testing.assert_close(vmap(parts)(torch.stack(batches)), torch.stack([parts(h) for h in batches]))


def test_free_bits_take_the_mean_before_the_maximum():
    kl = torch.tensor([[0.0, 1.0, 0.2, 0.1], [0.8, 3.0, 0.2, 0.1]])  # means 0.4, 2.0, 0.2, 0.1
    assert free_bits(kl, 0.5, groups=4).item() == pytest.approx(0.5 + 2.0 + 0.5 + 0.5)
    assert free_bits(kl, 0.5, groups=2).item() == pytest.approx(2.4 + 0.5)
    assert free_bits(kl, 0.5, groups=1).item() == pytest.approx(2.7)
    assert free_bits(kl, 0.0, groups=4).item() == pytest.approx(kl.sum(1).mean().item())


def test_free_bits_do_not_push_what_is_below_them():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]], requires_grad=True)
    gradient = torch.autograd.grad(free_bits(kl, 0.5, groups=2), kl)[0]
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))
