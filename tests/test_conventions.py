"""The table of conversions against the formulas of the codes it converts from, written out again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.theory.conventions import REDUCTIONS, Sizes, factors, from_sum, to_sum

SIZES = Sizes(pixels=12288, latent_dim=64, batch_size=32)


@pytest.mark.parametrize(
    ("reduction", "weight", "ours"),
    [
        ("sum", 0.7, 0.7),
        ("half_sum", 0.5, 1.0),
        ("mean_pixels", 0.00025, 12288 * 0.00025),
        ("mean_pixels_latents", 0.1, 12288 * 0.1 / 64),
        ("mean_pixels_batch", 1e-5, 12288 * 32 * 1e-5),
        ("normalised", 0.01, 0.01 * 12288 / 64),
    ],
)
def test_weights_of_other_codes(reduction, weight, ours):
    assert to_sum(weight, reduction, SIZES) == pytest.approx(ours)


@given(
    weight=st.floats(1e-6, 1e6),
    reduction=st.sampled_from(list(REDUCTIONS)),
    sizes=st.builds(Sizes, *3 * [st.integers(1, 10**6)]),
)
def test_there_and_back(weight, reduction, sizes):
    assert from_sum(to_sum(weight, reduction, sizes), reduction, sizes) == pytest.approx(weight)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_weight_depends_on_the_sizes_it_says(reduction):
    moved = {
        size
        for size in Sizes._fields
        if to_sum(1.0, reduction, SIZES._replace(**{size: 7})) != pytest.approx(to_sum(1.0, reduction, SIZES))
    }
    assert moved == set(REDUCTIONS[reduction].depends_on)


def test_an_unknown_reduction_is_named():
    with pytest.raises(ValueError, match=r"loss.reduction=mean: expected one of sum, half_sum"):
        factors("mean", SIZES)
