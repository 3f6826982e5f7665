import pytest

from vae_sweep.checks import SettingsError
from vae_sweep.engine.slots import (
    Slot,
    device_environment,
    find_devices,
    lay_out,
    spare_slots,
    thread_environment,
)
from vae_sweep.engine.slurm import Cluster


@pytest.mark.parametrize(
    ("accelerator", "visible", "devices"),
    [
        ("auto", "0,1", ["0", "1"]),
        ("cuda", "GPU-12ab, MIG-7", ["GPU-12ab", "MIG-7"]),
        ("auto", "", []),
        ("auto", "-1", []),
        ("cpu", "0,1", []),
    ],
)
def test_devices_are_the_visible_ones(accelerator, visible, devices, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert find_devices(accelerator, {"CUDA_VISIBLE_DEVICES": visible}) == devices


def test_a_cluster_without_its_package_is_refused_before_it_is_planned_for(monkeypatch):
    place = Cluster({"jobs": None})
    assert [slot.name for slot in place.slots(2)[0]] == ["slurm.0", "slurm.1"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="hydra/launcher=slurm needs submitit"):
        place.slots(2)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"trainer\.accelerator=cuda: no such device"):
        find_devices("cuda", {"CUDA_VISIBLE_DEVICES": ""})


@pytest.mark.parametrize(
    ("devices", "wanted", "jobs", "per_gpu", "names", "threads"),
    [
        ([], 9, None, 1, ["cpu.0", "cpu.1", "cpu.2", "cpu.3"], 1),  # one thread per core-slot
        ([], 1, None, 1, ["cpu.0"], 4),  # a single run has all cores
        ([], 9, 2, 1, ["cpu.0", "cpu.1"], 2),
        (["0", "1"], 9, None, 1, ["gpu 0", "gpu 1"], 2),
        (["0", "1"], 9, None, 2, ["gpu 0", "gpu 1", "gpu 0.1", "gpu 1.1"], 1),
        (["0", "1"], 9, 3, 2, ["gpu 0", "gpu 1", "gpu 0.1"], 1),
        (["0", "1"], 1, None, 2, ["gpu 0"], 4),
    ],
)
def test_layout_on_four_cores(devices, wanted, jobs, per_gpu, names, threads):
    slots, each = lay_out(devices, wanted, cores=4, jobs=jobs, jobs_per_gpu=per_gpu)
    assert ([slot.name for slot in slots], each) == (names, threads)


@pytest.mark.parametrize(
    ("users", "passive"), [({}, True), ({"OMP_WAIT_POLICY": "ACTIVE"}, False), ({"GOMP_SPINCOUNT": "5"}, False)]
)
def test_threads_sleep_while_they_wait_unless_the_user_said_otherwise(users, passive):
    found = thread_environment(3, users)
    assert found["OMP_NUM_THREADS"] == "3"
    assert found.get("OMP_WAIT_POLICY") == ("PASSIVE" if passive else None)


def test_a_process_sees_its_own_devices():
    assert device_environment(["2", "3"])["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert device_environment(["cpu"])["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("packs", "cores", "more"), [(3, 2, 1), (4, 2, 0), (5, 2, 1), (2, 4, 0), (6, 4, 2), (7, 4, 0), (9, 1, 0)]
)
def test_a_last_round_that_leaves_half_the_cores_idle_shares_them(packs, cores, more):
    spare = spare_slots([Slot("cpu", share) for share in range(cores)], packs)
    assert [slot.name for slot in spare] == [f"cpu.{cores + extra}" for extra in range(more)]
    assert all(slot.spare for slot in spare)


def test_slots_have_names_of_their_own():
    slots = [Slot(device, share) for device in ("cpu", "0", "mps") for share in range(2)]
    assert len({slot.name for slot in slots}) == len(slots)
