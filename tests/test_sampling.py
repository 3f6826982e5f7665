"""Which weights serve to sample, on distances written down: where sets agree, where they do not, and in words."""

from pathlib import Path
from typing import Any

import pytest

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.sampling import beyond_chance, closes, in_words, sampling
from vae_sweep.analysis.spots import Spot
from vae_sweep.runs.reading import Run

WEIGHTS = (10.0, 1.0, 0.1, 0.01)


def spot(weight: float, *evaluations: dict[str, Any]) -> Spot:
    points = []
    for evaluation in evaluations:
        point = object.__new__(Point)
        object.__setattr__(point, "run", Run(Path("none"), {}))
        object.__setattr__(point, "evaluation", evaluation)
        points.append(point)
    return Spot((), weight, weight, tuple(points), 1.0, 0.0, 1.0, 0.0)


def curve(prior: dict[str, list[float]], fitted: dict[str, list[float]], half: float = 0.05) -> list[Spot]:
    """distances by feature set, one for each weight; intervals of +- `half`."""

    def one(i: int) -> dict[str, Any]:
        def row(value: float) -> dict[str, float]:
            return {"value": value, "low": value - half, "high": value + half}

        sets = {f: {"cubic": {"prior": row(prior[f][i]), "fitted": row(fitted[f][i])}} for f in prior}
        return {"samples": {"images": 100, "distances": sets}}

    return [spot(weight, one(i)) for i, weight in enumerate(WEIGHTS)]


AGREED = curve(
    {"random_conv": [1.0, 0.3, 0.32, 2.0], "pooled_pixels": [0.5, 0.3, 0.31, 0.9]},
    {"random_conv": [0.8, 0.4, 0.2, 0.1], "pooled_pixels": [0.5, 0.2, 0.1, 0.12]},
)
SPLIT = curve(
    {"random_conv": [1.0, 0.3, 0.8, 2.0], "pooled_pixels": [0.2, 0.6, 0.9, 0.9]},
    {"random_conv": [0.8, 0.4, 0.2, 0.19], "pooled_pixels": [0.3, 0.1, 0.0, 0.01]},
)


def test_where_sets_agree() -> None:
    found = sampling(AGREED)
    assert found["prior"].serves == (1.0, 0.1)
    assert found["prior"].nearest == {("random_conv", "cubic"): 1.0, ("pooled_pixels", "cubic"): 1.0}
    # 0.1 is nearest by layout, but outside the interval of 0.01 by textures: 0.01 would be a compromise.
    assert not found["fitted"].agree
    assert closes(found) == [0.1, 0.01]
    assert [beyond_chance(found, w) for w in WEIGHTS] == [0, 1, 2, 2]
    words = in_words(found, reconstructs=(0.1, 0.01))
    assert "nearest to held-out pictures at 1 and 0.1; 0.1 also reconstructs" in words
    assert "closes the holes: at 0.1 and 0.01" in words


def test_a_fitted_sampler_is_advised_only_where_something_reconstructs() -> None:
    found = sampling(AGREED)
    advice = "so take the weight that reconstructs"
    assert advice in in_words(found, reconstructs=(0.01,))
    assert advice in in_words(found)  # what reconstructs is not known
    said = in_words(found, reconstructs=(1.0,))
    assert advice not in said
    assert "does better, though at no weight that reconstructs: at 0.1 and 0.01" in said


def test_where_they_do_not_no_weight_is_named() -> None:
    found = sampling(SPLIT)
    assert not found["prior"].agree
    assert found["fitted"].serves == (0.1, 0.01)
    words = in_words(found, reconstructs=(0.1, 0.01))
    assert "no weight can be named" in words
    assert "at 1 by textures and at 10 by layout and colour" in words
    assert "sample from the codes" in words


def test_weights_that_do_not_follow_one_another_are_no_range() -> None:
    spots = [spot(w, {}) for w in (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)]
    for one, value in zip(spots, (0.1, 0.1, 0.9, 0.1, 0.1, 0.1), strict=True):
        row = {"value": value, "low": value - 0.05, "high": value + 0.05}
        one.points[0].evaluation["samples"] = {"images": 9, "distances": {"random_conv": {"cubic": {"prior": row}}}}
    found = sampling(spots)["prior"]
    assert found.named(found.serves) == "10, 3, 0.3, 0.1 and 0.03"
    assert found.named(found.tried[:2]) == "10 and 3"
    assert found.named(found.tried) == "0.03 to 10"


def test_no_weight_does_both() -> None:
    assert "no weight does both with the prior" in in_words(sampling(AGREED), reconstructs=(0.01,))


def test_a_compromise_is_not_named_and_who_cannot_tell_has_no_vote() -> None:
    """0.1 lies within the interval of both bests; of the second sweep pixels see no difference between the weights."""
    torn = {"random_conv": [1.0, 1.2, 1.4, 3.0], "random_filters": [3.0, 2.5, 1.4, 1.0]}
    assert sampling(curve(torn, torn, half=0.5))["prior"].serves == ()
    blind = {"random_conv": [3.0, 2.0, 0.4, 0.3], "pooled_pixels": [0.0, 0.01, 0.02, 0.03]}
    assert sampling(curve(blind, blind, half=0.2))["prior"].serves == (0.1, 0.01)


def with_holes(curve: list[Spot], pair: str, holes: list[float], blur: list[float], features: str) -> list[Spot]:
    """The curve, at each weight with these distances; chance reaches to 0.1, an interval a tenth either way."""
    for spot, value, other in zip(curve, holes, blur, strict=True):
        rows = spot.points[0].evaluation["samples"]["distances"][features]["cubic"]
        rows[pair], rows["blur"] = {"value": value, "low": 0.9 * value, "null_high": 0.1}, {"value": other}
    return curve


def near(features: str = "random_conv") -> list[Spot]:
    """Draws come the nearer the less the weight, by the only way of looking."""
    return curve({features: [4.0, 3.0, 2.0, 1.0]}, {features: [4.0, 3.0, 2.0, 1.0]})


def test_where_holes_outweigh_blur_no_weight_serves() -> None:
    found = sampling(with_holes(near(), "holes", [0.05, 0.09, 0.5, 0.9], [2.0, 1.0, 0.4, 0.1], "random_conv"))["prior"]
    assert found.whole == (10.0, 1.0)
    assert found.torn == {0.1: ("random_conv",), 0.01: ("random_conv",)}
    assert found.serves == (1.0,)
    words = in_words({"prior": found}, reconstructs=(0.01,))
    assert "nearest to held-out pictures at 1, more weight than reconstructing wants" in words
    assert "At 0.1 and 0.01 they fall into holes" in words
    assert "by textures" in words


@pytest.mark.parametrize(
    ("holes", "blur"),
    [
        pytest.param([0.09] * 4, [0.0] * 4, id="within chance"),
        pytest.param([0.5] * 4, [0.6] * 4, id="less than blur"),
        pytest.param([0.5] * 4, [0.48] * 4, id="more than blur, but not beyond chance"),
    ],
)
def test_holes_that_do_not_matter(holes: list[float], blur: list[float]) -> None:
    found = sampling(with_holes(near(), "holes", holes, blur, "random_conv"))["prior"]
    assert found.torn == {}
    assert found.serves == (0.01,)


def test_what_hardly_sees_blur_does_not_weigh_holes_against_it() -> None:
    torn = [0.9] * 4, [0.0] * 4
    assert sampling(with_holes(near("pooled_pixels"), "holes", *torn, "pooled_pixels"))["prior"].torn == {}


def test_where_it_is_torn_does_not_hang_on_what_else_was_tried() -> None:
    whole = with_holes(near(), "holes", [0.05, 0.09, 0.5, 0.9], [2.0, 1.0, 0.4, 0.1], "random_conv")
    found = sampling(whole[2:])["prior"]
    assert found.torn == {0.1: ("random_conv",), 0.01: ("random_conv",)}
    assert (found.whole, found.serves, found.agree) == ((), (), False)
    assert "fall into holes at every weight tried" in in_words({"prior": found}, reconstructs=(0.1, 0.01))


def test_a_fitted_sampler_can_leave_holes() -> None:
    spots = curve({"random_conv": [4.0, 3.0, 2.0, 1.0]}, {"random_conv": [3.5, 2.5, 0.5, 0.4]})
    spots = with_holes(spots, "fitted_holes", [0.05, 0.09, 0.2, 0.9], [2.0, 1.0, 0.4, 0.1], "random_conv")
    found = sampling(with_holes(spots, "holes", [0.05, 0.09, 0.5, 0.9], [2.0, 1.0, 0.4, 0.1], "random_conv"))
    assert found["fitted"].whole == (10.0, 1.0, 0.1)
    assert closes(found) == [0.1]  # 0.01 is nearer still, and torn
    assert "at 0.1 its draws are nearer" in in_words(found, reconstructs=(0.1, 0.01))


def test_a_fitted_sampler_nearer_by_chance_closes_nothing() -> None:
    prior = {"random_conv": [1.0, 0.5, 0.4, 0.6]}
    by_chance, beyond = {"random_conv": [1.0, 0.6, 0.38, 0.6]}, {"random_conv": [1.0, 0.6, 0.34, 0.6]}
    assert closes(sampling(curve(prior, by_chance))) == []  # the prior's best is 0.4, from 0.35 to 0.45
    assert closes(sampling(curve(prior, beyond))) == [0.1]


def test_no_holes_to_close() -> None:
    """Codes that are the prior: what is fitted to them draws the same."""
    alike = {"random_conv": [0.9, 0.16, 0.1, 0.09], "pooled_pixels": [0.1, 0.0, 0.01, 0.0]}
    found = sampling(curve(alike, {way: [v + 0.01 for v in row] for way, row in alike.items()}))
    assert "hardly any holes to close" in in_words(found, reconstructs=(0.1, 0.01))
    assert "hardly any holes" not in in_words(sampling(AGREED), reconstructs=(0.1, 0.01))


def test_holes_that_stay_open() -> None:
    bad = {"random_conv": [1.0, 1.0, 1.0, 1.0]}
    found = sampling(curve({"random_conv": [0.5, 0.4, 0.6, 0.7]}, bad, half=0.01))
    assert closes(found) == []
    assert "closes the holes" not in in_words(found)


def test_seeds_are_averaged() -> None:
    row = lambda v: {"samples": {"distances": {"random_conv": {"cubic": {"prior": {"value": v, "low": v, "high": v}}}}}}  # noqa: E731
    found = sampling([spot(1.0, row(1.0), row(3.0)), spot(0.1, row(1.9), row(1.9))])
    assert found["prior"].distances[("random_conv", "cubic")][1.0] == (2.0, 2.0, 2.0)
    assert found["prior"].serves == (0.1,)
    assert "fitted" not in found


@pytest.mark.parametrize("judged", [[], [spot(1.0, {}), spot(0.1, {"samples": None})], AGREED[:1]])
def test_nothing_to_judge(judged: list[Spot]) -> None:
    assert sampling(judged) == {}
    assert "not judged" in in_words({})
