"""Mutual information and its gap against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from vae_sweep.metrics.disentanglement import mutual_information, mutual_information_gap


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_mutual_information_is_scikit_learns(n: int, kinds_a: int, kinds_b: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, kinds_a, (3, n)), rng.integers(0, kinds_b, n)
    b = np.where(rng.random(n) < 0.5, a[1] % kinds_b, b)
    expected = [mutual_info_score(one, b) for one in a]
    assert mutual_information(a, b) == pytest.approx(expected, abs=1e-9)


def test_mig_of_perfect_and_of_shared_codes() -> None:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 4, 2000), rng.random(2000), np.full(2000, 7.0)], axis=1)
    noise = rng.standard_normal((2000, 2))
    perfect = np.concatenate([factors[:, :2], noise], axis=1)
    found = mutual_information_gap(perfect, factors)
    assert found.per_factor[:2] == pytest.approx([1, 1], abs=0.1)
    assert np.isnan(found.per_factor[2])  # never varies
    assert found.score == pytest.approx(found.per_factor[:2].mean())
    twice = np.concatenate([factors[:, :1], factors[:, :1], noise], axis=1)
    assert mutual_information_gap(twice, factors[:, :1]).score == pytest.approx(0, abs=1e-9)


def test_mig_by_hand_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    factor = rng.integers(0, 3, 500)
    codes = factor[:, None] * np.array([1.0, 0.5, 0.0]) + rng.standard_normal((500, 3))
    binned = [np.digitize(code, np.histogram(code, 20)[1][1:-1]) for code in codes.T]
    scores = sorted(mutual_info_score(code, factor) for code in binned)
    expected = (scores[-1] - scores[-2]) / mutual_info_score(factor, factor)
    assert mutual_information_gap(codes, factor[:, None]).score == pytest.approx(expected)


def test_mig_needs_two_units() -> None:
    with pytest.raises(ValueError, match="at least two"):
        mutual_information_gap(np.zeros((5, 1)), np.zeros((5, 1)))
