"""Schedules at their landmark steps, their laws and their refusals."""

import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.schedules import capacity, constant, cosine, cyclical, linear, logistic
from vae_sweep.schedules.preview import REQUIRED, parameters
from vae_sweep.schedules.weight import in_force

T = 1000


def test_constant():
    assert [constant(T)(step) for step in (0, 500, T, 10 * T)] == [1, 1, 1, 1]


def test_linear():
    assert [linear(T, warmup=0.25)(step) for step in (0, 125, 250, 251, T)] == [0, 0.5, 1, 1, 1]
    assert [linear(T, warmup=0)(step) for step in (0, 1)] == [1, 1]
    assert linear(T, warmup_steps=200)(50) == 0.25


def test_cosine():
    values = [cosine(T, warmup=0.4)(step) for step in (0, 100, 200, 400, T)]
    assert values == pytest.approx([0, 0.5 - math.sqrt(0.125), 0.5, 1, 1])


def test_logistic_with_the_usual_numbers():
    """k = 0.0025, x0 = 2500."""
    schedule = logistic(10_000, centre_steps=2500, width_steps=400)
    for step in (0, 1000, 2500, 5000):
        assert schedule(step) == pytest.approx(1 / (1 + math.exp(-0.0025 * (step - 2500))))


def test_logistic_has_the_same_shape_at_every_length():
    for total in (40, T, 10**6):
        schedule = logistic(total)
        assert schedule(total // 4) == 0.5
        assert schedule(0) == pytest.approx(1 / (1 + math.exp(6.25)))
        assert schedule(total) > 1 - 1e-7


@pytest.mark.parametrize("shape", ["linear", "cosine", "logistic"])
def test_cyclical(shape):
    schedule = cyclical(T, cycles=4, ramp=0.5, shape=shape)
    for cycle in range(4):
        start = 250 * cycle
        assert schedule(start) < 0.002
        assert schedule(start + 62.5) == pytest.approx(0.5)  # middle of the ramp
        assert [schedule(start + 125), schedule(start + 249)] == [1, 1]
    assert [schedule(T), schedule(T + 3)] == [1, 1]


def test_cyclical_is_fus_formula():
    schedule = cyclical(T, cycles=3, ramp=0.7)
    for step in range(T):
        tau = math.fmod(step, T / 3) / (T / 3)
        assert schedule(step) == pytest.approx(min(1, tau / 0.7), abs=1e-9)


def test_capacity_counts_nats():
    schedule = capacity(T, maximum=25, warmup=0.5)
    assert [schedule(step) for step in (0, 100, 500, T)] == [0, 5, 25, 25]


def test_a_weight_in_force_is_a_multiple_of_its_target():
    weight = in_force(3.0, linear(T, warmup=0.5), T)
    assert (weight.target, [weight.at(step) for step in (0, 250, T)]) == (3.0, [0, 1.5, 3])


def test_a_schedule_that_ends_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"kl_schedule: ends at 0.5 times loss.kl_weight"):
        in_force(1.0, lambda step: 0.5, T)


SCHEDULES = st.sampled_from([constant, linear, cosine, logistic, cyclical])


@given(make=SCHEDULES, total=st.integers(4, 10**6), steps=st.lists(st.integers(0, 2 * 10**6), min_size=1))
def test_weights_lie_between_zero_and_their_target_which_they_reach(make, total, steps):
    schedule = make(total)
    assert all(0 <= schedule(step) <= 1 for step in steps)
    assert schedule(total) == pytest.approx(1)


@given(make=SCHEDULES, steps=st.lists(st.integers(0, 2 * T), min_size=1))
def test_a_weight_depends_on_its_step_alone(make, steps):
    schedule = make(T)
    before = {step: schedule(step) for step in steps}
    assert {step: make(T)(step) for step in reversed(steps)} == before
    assert {step: schedule(step) for step in reversed(steps)} == before


@given(make=st.sampled_from([linear, cosine]), warmup=st.integers(0, T), step=st.integers(0, T))
def test_a_fraction_is_as_many_steps(make, warmup, step):
    fraction, steps = make(T, warmup=warmup / T), make(T, warmup_steps=warmup)
    assert fraction(step) == pytest.approx(steps(step))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (linear, {"warmup": 1.5}, "kl_schedule.warmup=1.5: longer than the run of 1000 steps"),
        (cosine, {"warmup_steps": 1001}, "kl_schedule.warmup_steps=1001: longer than the run of 1000 steps"),
        (linear, {"warmup": -0.1}, "kl_schedule.warmup=-0.1: expected a length, 0 or more"),
        (linear, {"warmup": math.nan}, "kl_schedule.warmup=nan"),
        (linear, {"total_steps": 0}, "kl_schedule.total_steps=0: expected a number above 0"),
        (constant, {"total_steps": -1}, "kl_schedule.total_steps=-1"),
        (logistic, {"centre": 0.9}, "logistic reaches 0.92 of its weight in 1000 steps"),
        (logistic, {"width": 0.0}, "kl_schedule.width=0"),
        (logistic, {"centre_steps": 2500, "width_steps": 400}, "kl_schedule.centre_steps=2500: longer than"),
        (cyclical, {"cycles": 0}, "kl_schedule.cycles=0: expected a whole number from 1 to the 1000 steps"),
        (cyclical, {"cycles": 1.5}, "kl_schedule.cycles=1.5"),
        (cyclical, {"ramp": 0}, "kl_schedule.ramp=0: expected a fraction of a cycle"),
        (cyclical, {"shape": "sine"}, "kl_schedule.shape=sine: expected one of linear, cosine, logistic"),
        (capacity, {"maximum": -1}, "kl_schedule.maximum=-1: expected nats"),
        (capacity, {"warmup": 2}, "kl_schedule.warmup=2: longer than the run"),
    ],
)
def test_what_would_not_reach_its_weight_is_refused_by_name(make, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**{"total_steps": T} | arguments)


def test_schedules_are_light_enough_for_the_process_that_only_plans():
    code = "import sys, vae_sweep.schedules; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "conf/kl_schedule").glob("*.yaml")), ids=str)
def test_the_config_shows_the_defaults_of_the_code(path):
    config = yaml.safe_load(path.read_text())
    module, _, name = config.pop("_target_").rpartition(".")
    make = getattr(importlib.import_module(module), name)
    assert config.pop("kl_weight", "${loss.kl_weight}") == "${loss.kl_weight}"
    assert config == {key: "???" if value is REQUIRED else value for key, value in parameters(make).items()}
