"""What runs on a node for one pack, without Ray: folders that are not shared, a fake training."""

import os
import subprocess
import sys
from pathlib import Path

import importing
import pytest
from sweeping import TARGET, jobs, run
from waiting import wait_until

from vae_sweep.engine.ray_node import Order, PackOnNode, mirrored
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.engine.worker import STOPPED
from vae_sweep.runs.files import read_rows
from vae_sweep.runs.mirror import Mirror, take
from vae_sweep.runs.reading import load_sweep, read_manifest


class Planned(ThisProcess):
    """Plans and trains nothing."""

    def run(self, packs, slots, folder, watch):
        return StopRequest()


@pytest.fixture
def node(tmp_path, monkeypatch):
    """node(kind) -> (sweep's folder, id of its member, a node that has begun it)"""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "node"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "node").mkdir()
    monkeypatch.setattr(sys, "path", [*importing.path(importing.HERE).split(os.pathsep), *sys.path])
    nodes = []

    def node(kind):
        outcome, _ = run(jobs(tmp_path / "outputs", [1], {1: kind}), Planned())
        nodes.append(begun(outcome.folder))
        return outcome.folder, read_manifest(outcome.folder)["members"][0]["id"], nodes[-1]

    yield node
    for begun_node in nodes:
        begun_node.kill()
        begun_node._worker.process.wait()


def begun(folder):
    entries = {entry["id"]: entry for entry in read_manifest(folder)["members"]}
    members = tuple(entries)
    files = Mirror(folder, mirrored(entries, members)).changes()
    node = PackOnNode()
    node.begin(Order(members, 1, TARGET), (folder / "sweep.json").read_bytes(), files)
    return node


def heard(node, folder):
    """All that it tells until the worker ends, its files put into `folder`: (events, exit code)"""
    events, code = [], None
    while code is None:
        told = node.listen(5.0)
        take(folder, told.changes)
        events += told.events
        code = told.code
    return events, code


def test_a_run_comes_back_and_nothing_stays(node, tmp_path):
    folder, member, begun_node = node("fine")
    events, code = heard(begun_node, folder)
    assert (code, events[-1]["event"], events[-1]["status"]) == (0, "result", "done")
    (found,) = load_sweep(folder).runs
    assert found.status == "done"
    assert [row["step"] for row in found.rows()] == list(range(1, 11))
    assert (folder / "logs" / f"pack-{member}.log").exists()
    assert not list((tmp_path / "node" / f"vae-sweep-{os.getuid()}").iterdir())


def test_a_stopped_run_goes_on_elsewhere_from_what_has_come_back(node, tmp_path):
    folder, _, first = node("stops")
    wait_until(lambda: list(first.folder.glob("*/waiting")), "the member to begin")
    first.stop()
    _, code = heard(first, folder)
    assert code == STOPPED
    assert load_sweep(folder).runs[0].status == "interrupted"
    _, code = heard(begun(folder), folder)
    assert code == 0
    (found,) = load_sweep(folder).runs
    assert [row["step"] for row in read_rows(found.folder / "metrics.jsonl")] == list(range(1, 11))
    assert len(list(found.folder.glob("attempt-*"))) == 2


def test_a_killed_worker_is_told_by_its_files(node):
    folder, _, begun_node = node("kills")
    events, code = heard(begun_node, folder)
    assert code == -9
    assert not [event for event in events if event["event"] == "result"]
    (found,) = load_sweep(folder).runs
    assert (found.status, found.cause, found.error["type"]) == ("failed", "killed", "SIGKILL")


@pytest.mark.slow
def test_a_worker_dies_with_who_has_started_it_and_its_folder_is_cleared_away(node, tmp_path):
    folder, _, _ = node("fine")
    outcome, _ = run(jobs(tmp_path / "outputs", [2], {2: "stops"}, sweep="other"), Planned())
    script = (
        "import sys, time; from pathlib import Path; from test_ray_node import begun\n"
        f"node = begun(Path({str(outcome.folder)!r}))\n"
        "print(node.folder, node._worker.process.pid, flush=True); time.sleep(600)"
    )
    environ = os.environ | {"PYTHONPATH": importing.path(importing.HERE)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environ) as starter:
        place, pid = starter.stdout.readline().split()
        wait_until(lambda: list(Path(place).glob("*/waiting")), "the member to begin")
        starter.kill()
    wait_until(lambda: not alive(int(pid)), "the worker to end")
    assert Path(place).exists()
    assert heard(begun(folder), folder)[1] == 0  # another pack on this node
    assert not Path(place).exists()


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_slots_of_a_cluster_have_names_of_their_own():
    assert [Slot("ray", share).name for share in range(2)] == ["ray.0", "ray.1"]
