"""What is called a difference: against scipy's tests, and by Monte Carlo at equal truths."""

import itertools

import numpy as np
import pytest
from scipy import stats

from vae_sweep.analysis import chance


def test_between_is_the_t_test_of_equal_variances():
    rng = np.random.default_rng(0)
    a, b = rng.normal(10, 1, 3), rng.normal(11, 1, 4)
    found, known = chance.between(a, b, 10), stats.ttest_ind(b, a)
    assert found.p == pytest.approx(known.pvalue)
    low, high = known.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))
    assert not found.assumed


def test_like_settings_lend_their_spread():
    """Fisher's least significant difference: the pooled variance of an analysis of variance."""
    rng = np.random.default_rng(1)
    a, b, c = (rng.normal(10, 1, 3) for _ in range(3))
    pooled = np.mean([x.var(ddof=1) for x in (a, b, c)])
    t = (b.mean() - a.mean()) / np.sqrt(pooled * 2 / 3)
    assert chance.between(a, b, 10, chance.spread(c)).p == pytest.approx(2 * stats.t.sf(abs(t), 6))


def test_a_spread_without_some_of_its_groups_is_that_of_the_others():
    rng = np.random.default_rng(6)
    groups = [rng.normal(mean, sd, count) for mean, sd, count in ((0, 1, 4), (1e3, 2, 2), (-5, 0.1, 3), (7, 1, 1))]
    left = chance.spread(*groups) - chance.spread(groups[0], groups[1])
    assert left.squares == pytest.approx(2 * groups[2].var(ddof=1))
    assert left.freedom == 2
    assert chance.spread(*groups) - chance.spread(*groups) == chance.spread() == chance.Spread()


def test_paired_is_the_paired_t_test():
    rng = np.random.default_rng(2)
    a = rng.normal(10, 5, 40)
    b = a + rng.normal(0.1, 0.2, 40)
    found, known = chance.paired(a, b), stats.ttest_rel(b, a)
    assert found.p == pytest.approx(known.pvalue)
    low, high = known.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))


def test_one_seed_finds_nothing_within_three_per_cent():
    assert chance.between([100.0], [103.0], 100).p > chance.LEVEL
    assert chance.between([100.0], [105.0], 100).p < chance.LEVEL
    assert chance.between([100.0], [103.0], 100).assumed
    assert chance.noticeable(1) > 0.03


def test_holm_is_what_the_step_down_says():
    assert chance.holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert chance.holm([]) == []
    assert chance.holm([0.2]) == [False]


def differences_found(seeds: int, settings: int, rng: np.random.Generator, sd: float = 0.015) -> bool:
    """Whether any pair of settings of equal truth is called different."""
    groups = rng.normal(100, 100 * sd, (settings, seeds))
    pairs = list(itertools.combinations(range(settings), 2))
    ps = [
        chance.between(groups[i], groups[j], 100, chance.spread(*(np.delete(groups, (i, j), axis=0)))).p
        for i, j in pairs
    ]
    return any(chance.holm(ps))


def rate_of_false_differences(seeds: int, settings: int, trials: int) -> float:
    rng = np.random.default_rng(3)
    return float(np.mean([differences_found(seeds, settings, rng) for _ in range(trials)]))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("settings", [2, 4])
def test_at_equal_truths_at_most_one_comparison_in_twenty_finds_a_difference(seeds, settings):
    """docs/validity.md has these figures; their standard error is 0.3 %."""
    assert rate_of_false_differences(seeds, settings, 4000) <= 0.05


def test_a_few_trials_at_equal_truths():
    assert rate_of_false_differences(2, 3, 300) <= 0.1


def test_the_interval_of_a_mean_covers_it():
    """A rule that returns its argument: the bootstrap of a mean, against the t-interval's width."""
    rng = np.random.default_rng(4)
    values = [rng.normal(5, 2, (1, 400))]
    low, high = chance.interval(lambda means: float(means[0]), values, [1e-9], draws=1000)  # seeds hardly differ
    width = 2 * stats.norm.ppf(0.95) * values[0].std() / 20
    assert high - low == pytest.approx(width, rel=0.1)
    assert chance.interval(lambda means: None, values, [1.0]) is None


def coverage(seeds: int, trials: int, sd: float = 0.03) -> tuple[float, float]:
    """How often the interval holds the true mean of one of four weights, and the true difference of two.

    Seeds whose sd is a share of a unit of each weight's own; images that all runs share, noise of its own on each.
    """
    rng = np.random.default_rng(5)
    units, truths = np.array([1.0, 3.0, 10.0, 0.1]), np.array([2.0, 5.0, 1.0, 4.0])
    rules = (lambda means: float(means[3]), lambda means: float(means[1] / 3 - means[2] / 10))
    true, held = [rule(truths) for rule in rules], np.zeros(2)
    for _ in range(trials):
        shared = rng.normal(0, 0.1, 50)
        values = [
            truth + unit * (rng.normal(0, sd, (seeds, 1)) + shared + rng.normal(0, sd, (seeds, 50)))
            for truth, unit in zip(truths, units, strict=True)
        ]
        for k, rule in enumerate(rules):
            low, high = chance.interval(rule, values, list(units))
            held[k] += low <= true[k] <= high
    return tuple(held / trials)


@pytest.mark.parametrize("seeds", [2, 3])
def test_ninety_per_cent_of_the_intervals_of_few_seeds_hold_the_truth(seeds):
    assert all(0.84 < share < 0.97 for share in coverage(seeds, 120))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_coverage_of_intervals(seeds):
    """docs/validity.md has these figures; their standard error is 0.7 %."""
    assert all(0.87 < share < 0.94 for share in coverage(seeds, 2000))


def test_one_seed_is_taken_to_be_as_uncertain_as_is_assumed():
    values = [np.full((1, 7), 5.0)]
    low, high = chance.interval(lambda means: float(means[0]), values, [2.0], draws=4000)
    half = stats.norm.ppf(0.95) * 2 * chance.ASSUMED_SD
    assert (low, high) == pytest.approx((5 - half, 5 + half), abs=0.05 * half)
