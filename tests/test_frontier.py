"""Hull, slopes: against brute force, invariances, and the linear VAE's closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.analysis import frontier

numbers = st.integers(1, 1000).map(float)
clouds = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12, unique=True)
EIGENVALUES = np.geomspace(50, 0.01, 60)


def linear_vae(beta: float, latent_dim: int = 20) -> tuple[float, float]:
    """Rate and distortion of the optimum (Lucas et al. 2019)."""
    s2, kept = beta / 2, EIGENVALUES[:latent_dim]
    active = kept > s2
    rate = 0.5 * np.log(kept[active] / s2).sum()
    return rate, s2 * active.sum() + EIGENVALUES.sum() - kept[active].sum()


@given(clouds)
def test_the_hull_holds_exactly_the_minimisers_of_every_price(cloud):
    rate, distortion = np.array(cloud).T
    hull = frontier.lower_hull(rate, distortion)
    for price in [0.0, *np.geomspace(1e-4, 1e4, 200)]:
        cost = distortion + price * rate
        assert cost[hull].min() == pytest.approx(cost.min())
    corners = [-np.inf, *np.diff(distortion[hull]) / np.diff(rate[hull]), 0.0]
    assert corners == sorted(corners)
    for k, i in enumerate(hull):  # each vertex wins at a price between the slopes of its two legs
        low, high = -corners[k + 1], min(-corners[k], -corners[k + 1] + 2)
        cost = distortion + (low + high) / 2 * rate
        assert cost[i] == pytest.approx(cost.min())


@given(clouds)
def test_nothing_lies_below_the_hull(cloud):
    rate, distortion = np.array(cloud).T
    assert (frontier.above_hull(rate, distortion) >= -1e-9).all()


@given(clouds, st.floats(-500, 500))
def test_where_the_zero_is_arbitrary_a_scale_of_one_s_own_decides(cloud, shift):
    """Nats of a density may be negative: what is worse must not hang on their zero."""
    rate, distortion = np.array(cloud).T
    scale = np.full(len(rate), 100.0)
    moved = frontier.dominated(rate, distortion + shift, 0.05, scale)
    assert moved.tolist() == frontier.dominated(rate, distortion, 0.05, scale).tolist()
    assert frontier.above_hull(rate, distortion + shift) == pytest.approx(
        frontier.above_hull(rate, distortion), abs=1e-6
    )


@given(clouds, st.sampled_from([0.0, 0.05]))
def test_dominated_is_what_the_double_loop_says(cloud, tolerance):
    rate, distortion = np.array(cloud).T
    shrunk = 1 - tolerance
    expected = [any(s <= r and e <= d and (s < shrunk * r or e < shrunk * d) for s, e in cloud) for r, d in cloud]
    assert frontier.dominated(rate, distortion, tolerance).tolist() == expected


def test_optima_are_beaten_by_nobody_and_an_undertrained_run_is():
    beta = np.geomspace(10, 0.01, 8)
    rate, distortion = np.array([linear_vae(b) for b in beta]).T
    _, fraction = frontier.beaten(beta, rate, distortion)
    assert fraction == pytest.approx(0, abs=1e-12)
    distortion[3] *= 3
    loss = distortion + beta * rate
    who, better = frontier.beaten(beta, rate, distortion)
    fraction = better / loss
    assert fraction[3] > 0.1
    assert who[3] != 3
    assert np.delete(fraction, 3) == pytest.approx(0, abs=1e-12)


def test_chords_between_optima_lie_between_their_betas():
    beta = np.geomspace(10, 0.01, 8)
    rate, distortion = np.array([linear_vae(b) for b in beta]).T
    found = frontier.chords(beta, rate, distortion)
    assert len(found) == 7
    assert all(chord.low <= chord.slope <= chord.high and chord.factor == 1 for chord in found)


def test_a_chord_says_by_how_much_it_misses():
    [steep] = frontier.chords([1.0, 0.5], [10, 20], [60, 30])
    assert steep.slope == 3
    assert steep.factor == 3
    [flat] = frontier.chords([1.0, 0.5], [10, 20], [60, 58])
    assert flat.factor == pytest.approx(0.2 / 0.5)
    [rising] = frontier.chords([1.0, 0.5], [10, 20], [60, 70])
    assert rising.factor == 0
