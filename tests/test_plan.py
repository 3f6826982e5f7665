"""Packs and their order, by rules that a person can check."""

import copy
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_sweep.engine.live import duration
from vae_sweep.engine.pack import Pack, start_order
from vae_sweep.engine.slots import Slot
from vae_sweep.models.costs import Cost
from vae_sweep.runs.members import Member
from vae_sweep.sweep import plan

BASE = {
    "objective": "vae",
    "loss": {"kl_weight": 1.0, "recon": "sse", "free_bits": 0.5},
    "kl_schedule": {"_target_": "vae_sweep.schedules.constant"},
    "model": {"_target_": "vae_sweep.models.mlp", "latent_dim": 8, "hidden": [4], "posterior": "diagonal"},
    "optimizer": {"lr": 1e-3},
    "trainer": {"max_epochs": 1, "devices": 1},
    "data": {"batch_size": 4},
    "seed": 0,
}
SMALL, LARGE = Cost(1e6, 1000, 1000), Cost(2e10, 2_000_000, 1e7)


def config(**changes):
    """config(loss__kl_weight=0.5)"""
    changed = copy.deepcopy(BASE)
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = changed
        for parent in parents:
            node = node[parent]
        node[last] = value
    return changed


def grid(**axes):
    points = itertools.product(*axes.values())
    return [Member(f"{n:08x}", config(**dict(zip(axes, point, strict=True)))) for n, point in enumerate(points)]


@pytest.mark.parametrize(
    ("change", "together"),
    [
        ({"loss__kl_weight": 0.1}, True),
        ({"optimizer__lr": 0.1}, True),
        ({"seed": 1}, True),
        ({"loss__free_bits": 0.25}, True),
        ({"loss__free_bits": None}, False),
        ({"loss__free_bits": 0}, False),
        ({"kl_schedule": {"_target_": "vae_sweep.schedules.linear", "warmup": 0.5}}, True),
        ({"kl_schedule": {"_target_": "vae_sweep.schedules.geco", "goal": 5}}, False),
        ({"loss__recon": "laplace"}, False),
        ({"model__latent_dim": 4}, False),
        ({"trainer__max_epochs": 2}, False),
        ({"objective": "autoencoder"}, False),
    ],
)
def test_what_may_train_together(change, together):
    assert (plan.pack_key(config(**change)) == plan.pack_key(BASE)) is together


@pytest.mark.parametrize(
    ("setting", "cost", "memory", "most"),
    [
        ("off", SMALL, None, 1),
        (False, SMALL, 1e12, 1),  # YAML's off
        (5, LARGE, None, 5),
        ("auto", SMALL, None, plan.CPU_PACK_LIMIT),
        ("auto", LARGE, None, 1),
        ("auto", Cost(1e6, 2_000_000, 1000), None, 1),
        ("auto", SMALL, 1e12, plan.GPU_PACK_LIMIT),
        ("auto", LARGE, 2 * LARGE.bytes / plan.MEMORY_SHARE, 2),
        ("auto", LARGE, 0.1 * LARGE.bytes, 1),
        ("auto", None, 1e12, 1),
    ],
)
def test_largest_pack(setting, cost, memory, most):
    assert plan.largest_pack(setting, cost, memory) == most


@pytest.mark.parametrize(
    ("limit", "slots", "sizes"),
    [(1, 2, [1] * 6), (16, 1, [6]), (16, 2, [3, 3]), (4, 1, [3, 3]), (16, 4, [1, 2, 1, 2]), (16, 9, [1] * 6)],
)
def test_packs_are_equal_and_fill_the_slots(limit, slots, sizes):
    packs = plan.make_packs(grid(loss__kl_weight=[6, 5, 4, 3, 2, 1]), lambda member: limit, slots)
    assert [len(pack) for pack in packs] == sizes


def test_a_member_of_several_devices_has_its_own_pack():
    packs = plan.make_packs(grid(trainer__devices=[2], seed=[0, 1]), lambda member: 16, 1)
    assert [len(pack) for pack in packs] == [1, 1]


@given(
    weights=st.integers(1, 7),
    sizes=st.integers(1, 4),
    limit=st.integers(1, 9),
    slots=st.integers(1, 9),
)
def test_every_member_is_in_one_pack_with_its_kind(weights, sizes, limit, slots):
    members = grid(loss__kl_weight=list(range(1, weights + 1)), model__latent_dim=list(range(1, sizes + 1)))
    packs = plan.make_packs(members, lambda member: limit, slots)
    assert sorted(itertools.chain(*packs)) == sorted(member.id for member in members)
    assert max(map(len, packs)) <= limit
    assert len(packs) >= min(slots, len(members))
    kinds = {member.id: plan.pack_key(member.config) for member in members}
    assert all(len({kinds[member] for member in pack}) == 1 for pack in packs)


def test_wide_and_long_packs_start_first():
    short, long = Pack(("a",), seconds=1), Pack(("b",), seconds=9)
    wide = Pack(("c",), devices=2, width=2, seconds=1)
    assert start_order([short, long, wide]) == [wide, long, short]
    equal = [Pack((name,), seconds=1) for name in "abc"]
    assert start_order(equal) == equal


def cpu(slots):
    return [Slot("cpu", share) for share in range(slots)]


@pytest.mark.parametrize(("seconds", "text"), [(12.2, "12 s"), (90, "1:30 min"), (5400, "1:30 h"), (59.9, "1:00 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text
