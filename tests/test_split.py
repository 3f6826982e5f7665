"""The split is a function of the contents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.data.split import digest, split, subset

contents = st.lists(st.integers(0, 60), min_size=2, max_size=80).filter(lambda drawn: len(set(drawn)) > 1)
fractions = st.floats(0.01, 0.9)


def hashed(drawn: list[int]) -> list[bytes]:
    return [digest(str(content).encode()) for content in drawn]


@given(contents, fractions)
def test_every_image_is_on_one_side_and_duplicates_on_the_same(drawn: list[int], fraction: float):
    train, val = split(hashed(drawn), fraction)
    assert sorted([*train, *val]) == list(range(len(drawn)))
    assert len(train)
    assert len(val)
    assert not {drawn[row] for row in train} & {drawn[row] for row in val}
    assert abs(len({drawn[row] for row in val}) - fraction * len(set(drawn))) <= 1


@given(contents, fractions, st.randoms())
def test_the_order_does_not_matter(drawn: list[int], fraction: float, random):
    _, val = split(hashed(drawn), fraction)
    shuffled = random.sample(drawn, len(drawn))
    _, again = split(hashed(shuffled), fraction)
    assert sorted(drawn[row] for row in val) == sorted(shuffled[row] for row in again)


@pytest.mark.slow
@given(st.sets(st.integers(0, 10_000), min_size=100, max_size=200), st.integers(20_000, 30_000))
def test_one_more_image_moves_at_most_one_other(drawn: set[int], added: int):
    before, after = sorted(drawn), sorted(drawn | {added})
    val = {before[row] for row in split(hashed(before), 0.2)[1]}
    then = {after[row] for row in split(hashed(after), 0.2)[1]}
    assert len((val ^ then) - {added}) <= 1


def test_ranks_decide_and_contents_tie():
    """Rows 0 and 3 are equal pixels from different files: they go by the lower of the two files' ranks."""
    pixels = [b"p", b"q", b"r", b"p", b"s"]
    files = [b"9", b"5", b"6", b"1", b"7"]
    train, val = split(pixels, 0.25, files)
    assert val.tolist() == [0, 3]
    assert train.tolist() == [1, 2, 4]


@given(contents, st.integers(1, 90))
def test_subsets_are_nested(drawn: list[int], count: int):
    rows = subset(hashed(drawn), count)
    assert len(rows) == min(count, len(drawn))
    assert set(rows) <= set(subset(hashed(drawn), count + 5))
