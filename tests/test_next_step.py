"""The command to paste: the very weights that were tried, settings that are accepted, the sweep that has the runs."""

import shlex

import numpy as np
import pytest
from synthetic_sweep import write_sweep

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.next_step import _exact, _list, _seeds
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.files import read_json, write_json
from vae_sweep.runs.reading import load_sweep


def next_of(*folders) -> dict[str, str]:
    """The settings of the command."""
    study = studies.read([load_sweep(folder) for folder in folders])
    verdicts = judge(study)
    command = answer(study, recommend(study, verdicts), verdicts).next.command
    return dict(word.split("=", 1) for word in shlex.split(command) if "=" in word)


def test_weights_that_were_tried_are_named_to_the_last_digit(tmp_path):
    weights = tuple(10 ** (k / 2) for k in (1, -1, -3))
    asked = next_of(write_sweep(tmp_path / "s", weights=weights, latent_dims=(64,)))
    again = [float(word) for word in asked["loss.kl_weight"].split(",")]
    assert again
    assert set(again) <= set(weights)


def test_new_weights_are_round():
    assert _list([0.3183, 1e-5, 0.15], []) == "0.3,1e-05,0.15"
    assert _list([0.031, 0.5], [10**-1.5]) == f"{10**-1.5!r},0.5"


@pytest.mark.parametrize("number", [1, 0.1, 1e-7, 2_000_000, 1_233_333, 10**-0.5, 60.0, 2.5, np.float64(0.3)])
def test_a_number_is_typed_as_it_is_read(number):
    assert float(_exact(number)) == number
    if float(number).is_integer():
        assert int(_exact(number)) == number


def test_seeds_are_added_to_those_there_are(tmp_path):
    points = studies.read([load_sweep(write_sweep(tmp_path / "s", weights=(1.0,), seeds=(0, 2, 7)))]).points
    assert _seeds(points) == "1,3"
    assert _seeds(points, 5) == "0,1,2,3,7"
    assert _seeds(points, 2) == "0,2,7"


def test_of_two_sweeps_the_one_that_has_the_runs_goes_on(tmp_path):
    for name, weights, latents in (("c", (3.0, 1.0), (16,)), ("d", (1.0, 0.3, 0.1, 0.03), (64,))):
        write_sweep(tmp_path / name, weights=weights, latent_dims=latents)
        manifest = read_json(tmp_path / name / "sweep.json")
        write_json(tmp_path / name / "sweep.json", manifest | {"command": ["run.py", "-m", f"output_dir=of_{name}"]})
    asked = next_of(tmp_path / "c", tmp_path / "d")
    assert (asked["sweep"], asked["output_dir"]) == ("d", "of_d")


@pytest.mark.parametrize("order", [("c", "d"), ("d", "c")])
def test_of_a_member_of_two_sweeps_the_run_that_is_done_counts(tmp_path, order):
    write_sweep(tmp_path / "c", weights=(1.0, 0.3))
    write_sweep(tmp_path / "d", weights=(1.0, 0.3), failed=(0,))
    found = studies.read([load_sweep(tmp_path / name) for name in order])
    assert [point.status for point in found.points] == ["done"] * len(found.points)
