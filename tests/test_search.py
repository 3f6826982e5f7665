"""Weights that are looked for, on curves whose every weight is known in closed form (the linear VAE's)."""

import math

import numpy as np
import pytest
from marks import slow

from benchmarks.simulated import metrics
from vae_sweep.sweep.search import Frontier, Target, curve, triangle

D = 32
LOW, HIGH = 1e-3, 10.0


def visited(search, at, rounds=50):
    """All weights that are tried, in their order, with what they gave."""
    known = {}
    for _ in range(rounds):
        asked = search.next(known)
        assert not set(asked) & set(known)  # nothing is tried twice
        if not asked:
            return known
        known |= {weight: at(weight) for weight in asked}
    raise AssertionError("it does not end")


GOALS = [("psnr_mean", value) for value in np.linspace(13, 27, 10)] + [
    ("kl", value) for value in np.linspace(1, 55, 10)
]


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_a_goal_is_found_within_a_percent(name, goal, at_once):
    at = lambda weight: metrics(weight, D)[name]  # noqa: E731
    truth = _crossing(at, goal)
    search = Target(goal, LOW, HIGH, runs=16, at_once=at_once)
    known = visited(search, at)
    found = search.found(known)
    assert found.weight == pytest.approx(truth, rel=0.01)
    assert found.low <= truth * (1 + 1e-6)
    assert truth <= found.high * (1 + 1e-6)
    assert len(known) <= 16


def _crossing(at, goal):
    """By plain bisection, to the last digit."""
    low, high = LOW, HIGH
    rising = at(high) > at(low)
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (at(middle) < goal) == rising else (low, middle)
    return low


@pytest.mark.parametrize("noise", [0.1, *slow(0.02)])
def test_with_noise_the_interval_holds_the_truth(noise):
    held = 0
    goals = np.linspace(14, 26, 20)
    for number, goal in enumerate(goals):
        rng = np.random.default_rng(number)
        search = Target(goal, LOW, HIGH, runs=12)
        known = visited(search, lambda weight, rng=rng: metrics(weight, D)["psnr_mean"] + noise * rng.standard_normal())
        found = search.found(known)
        truth = _crossing(lambda weight: metrics(weight, D)["psnr_mean"], goal)
        slope = abs(metrics(truth * 1.01, D)["psnr_mean"] - metrics(truth / 1.01, D)["psnr_mean"]) / (
            2 * math.log(1.01)
        )
        assert abs(math.log(found.weight / truth)) < 4 * noise / slope + 0.01
        held += found.low <= truth * (1 + 3 * noise / slope) and truth <= found.high * (1 + 3 * noise / slope)
    assert held == len(goals)


def test_near_enough_in_the_metric_ends_early():
    search = Target(24.0, LOW, HIGH, within=0.1)
    known = visited(search, lambda weight: metrics(weight, D)["psnr_mean"])
    assert len(known) <= 6
    assert min(abs(value - 24) for value in known.values()) <= 0.1


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("goal", np.linspace(13, 22, 10))
def test_the_last_of_six_runs_is_within_a_tenth_of_a_decibel(goal, at_once):
    search = Target(goal, LOW, HIGH, runs=6, at_once=at_once)
    known = visited(search, lambda weight: metrics(weight, D)["psnr_mean"])
    assert len(known) <= 6
    assert min(abs(value - goal) for value in known.values()) <= 0.1


def test_a_count_is_crossed_between_two_weights():
    search = Target(12.5, LOW, HIGH, runs=20)
    known = visited(search, lambda weight: metrics(weight, D)["active_units"])
    found = search.found(known)
    assert metrics(found.low, D)["active_units"] > 12.5 > metrics(found.high, D)["active_units"]
    assert found.high / found.low <= 1.01


def test_what_cannot_be_reached_is_said():
    search = Target(60.0, LOW, HIGH)
    known = visited(search, lambda weight: metrics(weight, D)["psnr_mean"])
    found = search.found(known)
    assert (len(known), found.weight) == (2, None)
    assert "no weight from 0.001 to 10 reaches 60" in found.why


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("failing", ["both ends", "high end", "third", "every fourth"])
def test_runs_that_failed_are_gone_round(failing, at_once):
    tried = []

    def at(weight):
        tried.append(weight)
        fails = {
            "both ends": weight in (LOW, HIGH),
            "high end": weight == HIGH,
            "third": len(tried) == 3,
            "every fourth": len(tried) % 4 == 0,
        }
        return None if fails[failing] else metrics(weight, D)["psnr_mean"]

    search = Target(20.0, LOW, HIGH, runs=20, at_once=at_once)
    known = visited(search, at)
    if failing == "both ends" and at_once < 4:  # nothing is known of anything
        assert "fewer than two" in search.found(known).why
    else:
        assert search.found(known).weight == pytest.approx(
            _crossing(lambda w: metrics(w, D)["psnr_mean"], 20.0), rel=0.01
        )


@pytest.mark.parametrize("at", [lambda _: 12.0, lambda weight: None if weight == HIGH else 12.0])
def test_a_metric_that_does_not_move_cannot_be_brought_elsewhere(at):
    search = Target(20.0, LOW, HIGH, runs=6)
    known = visited(search, at)
    assert len(known) <= 6
    assert search.found(known).weight is None


def test_where_all_fail_the_search_ends():
    assert len(visited(Target(24.0, LOW, HIGH, runs=20), lambda _: None)) <= 20


def test_what_lies_beyond_a_run_that_failed_is_looked_for_and_what_cannot_be_is_not():
    search = Target(60.0, LOW, HIGH, runs=12)
    assert len(visited(search, lambda weight: None if weight == HIGH else metrics(weight, D)["psnr_mean"])) <= 4


@pytest.mark.parametrize("seed", range(40))
def test_noise_alone_is_answered_within_what_was_tried(seed):
    rng = np.random.default_rng(seed)
    search = Target(0.0, LOW, HIGH)
    found = search.found(visited(search, lambda _: rng.standard_normal()))
    if found.weight is not None:
        assert LOW <= found.low <= found.weight <= found.high <= HIGH


def test_a_run_that_has_the_very_value_is_where_it_is():
    known = {0.024075: 14.0, 0.056754: 10.0, 0.38191: 2.0}
    assert Target(2.0, 0.02, 0.5).found(known).weight == pytest.approx(0.38191)


def test_the_triangle_is_that_of_two_tangents():
    """D = 1 / R has the slope -1 / R^2: tangents at 1 and 1/2 meet where 2 - R = 4 (1 - R)."""
    height, slope = triangle(1.0, (1.0, 1.0), 4.0, (0.5, 2.0))
    meet = 2 / 3
    assert slope == pytest.approx(2)
    assert height == pytest.approx((2 - 2 * (meet - 0.5)) - (2 - meet))
    assert triangle(1.0, (0.5, 2.0), 4.0, (1.0, 1.0))[0] == 0  # noise has turned them round


@pytest.mark.parametrize("at_once", [2, *slow(1)])
def test_six_runs_are_nowhere_farther_from_the_curve_than_a_grid_of_twelve(at_once):
    at = lambda weight: (metrics(weight, D)["kl"], metrics(weight, D)["sse"])  # noqa: E731
    known = visited(Frontier(0.01, 10, runs=6, tolerance=0, at_once=at_once), at)
    assert len(known) == 6
    grid = [at(weight) for weight in np.geomspace(0.01, 10, 12)]
    rates, distortions = np.array([at(weight) for weight in np.geomspace(0.01, 10, 2000)]).T
    lines = np.interp(rates, *zip(*sorted(grid), strict=True))  # a grid as it is drawn
    assert np.abs(curve(known, rates) - distortions).max() <= np.abs(lines - distortions).max()


def test_a_parabola_is_met_by_the_curve_with_its_slopes():
    """D = (R - 3)^2 has the slope 2 (R - 3): a cubic with its values and slopes is the parabola itself."""
    known = {2 * (3 - rate): (rate, (rate - 3) ** 2) for rate in (0.0, 1.0, 2.5)}
    rates = np.linspace(0, 2.5, 26)
    assert curve(known, rates) == pytest.approx((rates - 3) ** 2)


def test_what_is_known_well_enough_is_not_tried_further():
    at = lambda weight: (metrics(weight, D)["kl"], metrics(weight, D)["sse"])  # noqa: E731
    search = Frontier(0.01, 10, runs=50, tolerance=0.01)
    known = visited(search, at)
    assert len(known) < 20
    assert search.unknown(known)[0][0] <= 0.01
    assert search.grid_for(known) > len(known)


@pytest.mark.parametrize(("low", "runs"), [(0.01, 4), (0.01, 6), (0.001, 8), (0.1, 12)])
def test_a_grid_that_would_do_as_well_is_as_large_as_one_of_the_curve_itself(low, runs):
    at = lambda weight: (metrics(weight, D)["kl"], metrics(weight, D)["sse"])  # noqa: E731
    search = Frontier(low, 0.3 / low**0.5, runs=runs, tolerance=0)
    known = visited(search, at)
    largest = search.unknown(known)[0][0]
    grids = (np.geomspace(min(known), max(known), size) for size in range(2, 50))
    does = (len(grid) for grid in grids if search.unknown({w: at(w) for w in grid})[0][0] <= largest)
    assert search.grid_for(known) == next(does)
