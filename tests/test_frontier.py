"""Hull, knee, slopes: against brute force, invariances, and the linear VAE's closed form."""

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


@given(clouds, st.sampled_from([0.0, 0.05]))
def test_dominated_is_what_the_double_loop_says(cloud, tolerance):
    rate, distortion = np.array(cloud).T
    shrunk = 1 - tolerance
    expected = [any(s <= r and e <= d and (s < shrunk * r or e < shrunk * d) for s, e in cloud) for r, d in cloud]
    assert frontier.dominated(rate, distortion, tolerance).tolist() == expected


def test_knee_is_the_corner_of_a_bent_line():
    rate = np.array([10.0, 20, 30, 60, 90])
    decibel = np.array([20.0, 17, 14, 13.5, 13])  # 0.3 dB per nat, then a sixtieth
    found = frontier.knee(rate, 10 ** (decibel / 10))
    assert found is not None
    assert found.index == 2
    assert found.gain == pytest.approx(6 / 7)
    assert found.cost == pytest.approx(20 / 80)
    assert found.last_price == pytest.approx((1 / 7) / (60 / 80))


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 50))
def test_knee_ignores_the_units_of_its_axes(a, b, shift):
    weights = np.geomspace(10, 0.01, 9)
    rate, distortion = np.array([linear_vae(w) for w in weights]).T
    found, scaled = frontier.knee(rate, distortion), frontier.knee(a * rate + shift, b * distortion)
    assert found is not None
    assert scaled is not None
    assert scaled.index == found.index
    assert scaled.gain == pytest.approx(found.gain)
    assert scaled.cost == pytest.approx(found.cost)


@pytest.mark.parametrize("points", [1, 2])
def test_two_points_have_no_knee(points):
    assert frontier.knee([1.0, 2.0][:points], [2.0, 1.0][:points]) is None


def test_optima_are_beaten_by_nobody_and_an_undertrained_run_is():
    beta = np.geomspace(10, 0.01, 8)
    rate, distortion = np.array([linear_vae(b) for b in beta]).T
    _, fraction = frontier.beaten(beta, rate, distortion)
    assert fraction == pytest.approx(0, abs=1e-12)
    distortion[3] *= 3
    who, fraction = frontier.beaten(beta, rate, distortion)
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


@pytest.mark.parametrize("latent_dim", [5, 20, 40])
def test_the_likelihood_optimal_weight_is_ppca_s_noise(latent_dim):
    """Tipping & Bishop 1999: s^2 = mean of the discarded eigenvalues, here with n = 60 pixels; beta = 2 s^2."""
    weights = np.geomspace(100, 1e-3, 200)
    mse = np.array([linear_vae(w, latent_dim)[1] for w in weights]) / len(EIGENVALUES)
    weight, where = frontier.crossing(weights, 2 * mse)
    assert where == "within"
    assert weight == pytest.approx(2 * EIGENVALUES[latent_dim:].mean(), rel=0.01)


def test_a_crossing_outside_the_range_is_said_to_be_outside():
    assert frontier.crossing([1, 0.5, 0.1], [0.03, 0.02, 0.01]) == (0.01, "below")
    assert frontier.crossing([1, 0.5, 0.1], [5, 4, 3]) == (5, "above")
    assert frontier.crossing([], []) == (None, "within")
