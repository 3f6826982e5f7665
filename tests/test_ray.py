"""A real Ray cluster on this machine, of nodes that share nothing; nodes and drivers are killed.

An undisturbed sweep of the local launcher says what the numbers must be.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import importing
import pytest
import torch
from waiting import wait_until

from vae_sweep.data import load
from vae_sweep.runs.files import read_rows
from vae_sweep.runs.reading import load_sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"),  # whose import takes a second
]
AN_HOUR_S = 3600  # for sweeps that one core may be left to; only what hangs takes so long
ON_A_NODE = "VAE_SWEEP_TEST_NODE"  # in the environment of everything that runs on a node
COMMAND = [
    sys.executable, "-m", "vae_sweep.run", "-m", "kl_schedule=linear",
    "model.latent_dim=2,3", "model.channels=4", "model.latent_grid=1", "data=arrays",
    "data._target_=test_ray.pictures", "data.batch_size=8", "trainer.max_steps=250", "trainer.accelerator=cpu",
    "trainer.precision=32", "trainer.checkpoint_every_s=0.5", "logger.wandb=disabled",
    "launcher.jobs=2",
]  # fmt: skip
KINDS = {  # 6 members, 12 members
    "single": ("loss.kl_weight=1,0.1,0.01", "launcher.pack=off"),
    "packs": ("loss.kl_weight=1,0.3,0.1,0.03,0.01,0.003", "launcher.pack=2"),
}


def pictures(**settings):
    """A data set that is on the machine of the driver alone."""
    assert ON_A_NODE not in os.environ, "this file is not on the node"
    return load({"_target_": "vae_sweep.data.arrays", **settings})


def environ():
    own = {"PYTHONPATH": importing.path(importing.HERE), "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    return os.environ | own


class Nodes:
    """A cluster whose head trains nothing. threads: cores of each node, for one pack at a time."""

    def __init__(self, folder, threads):
        from ray import cluster_utils

        self.folder, self.threads = folder, threads
        self.cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, **self.surroundings(0)}
        )
        self.nodes = [self.add(number) for number in (1, 2)]

    def surroundings(self, number):
        own = self.folder / f"node-{number}"
        for name in ("tmp", "cache"):
            (own / name).mkdir(parents=True)
        environ = {"TMPDIR": own / "tmp", "XDG_CACHE_HOME": own / "cache", ON_A_NODE: number,
                   "PYTHONPATH": importing.path(importing.HERE)}  # fmt: skip
        return {"env_vars": {name: str(value) for name, value in environ.items()}, "include_dashboard": False}

    def add(self, number):
        return self.cluster.add_node(num_cpus=self.threads, **self.surroundings(number))

    def checkpoints(self, number):
        """Of the runs that train on a node, by the names of their folders."""
        return {path.parents[1].name: path for path in (self.folder / f"node-{number}" / "tmp").rglob("last.ckpt")}

    def kill(self, number):
        self.cluster.remove_node(self.nodes[number - 1], allow_graceful=False)

    def processes(self):
        """Pids of the workers on all nodes."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"vae_sweep.engine.worker" in words and any(str(self.folder).encode() in word for word in words):
                found.append(int(path.parent.name))
        return found


@pytest.fixture(scope="module", params=KINDS)
def undisturbed(request, images, tmp_path_factory):
    """(the command, a sweep of the local launcher)"""
    folder = tmp_path_factory.mktemp("local")
    command = [*COMMAND, *KINDS[request.param], f"data.path={images}", "sweep=s"]
    done = subprocess.run(command, cwd=folder, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return command, load_sweep(folder / "outputs" / "s")


@pytest.fixture
def nodes(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # a cluster for a minute, on the loopback
    nodes = Nodes(tmp_path, undisturbed[1].manifest["plan"]["threads"][0])
    yield nodes
    nodes.cluster.shutdown()


@pytest.fixture
def begin(undisturbed, nodes, tmp_path):
    """begin() -> the process of the command on the cluster"""
    command = [
        *undisturbed[0], "hydra/launcher=ray", f"hydra.launcher.address={nodes.cluster.address}",
        f"hydra.launcher.cpus_per_task={nodes.threads}",
    ]  # fmt: skip
    started = []

    def begin():
        process = subprocess.Popen(command, cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def in_the_middle(nodes, number, sweep):
    """Wait for a run that trains on that node to have rows and a checkpoint here."""

    def found():
        here = [sweep / name for name in nodes.checkpoints(number) if (sweep / name / "checkpoints/last.ckpt").exists()]
        return [run for run in here if len(read_rows(run / "metrics.jsonl")) > 8]

    wait_until(found, f"a run on node {number} to be in its middle")


def same(found, expected):
    assert [run.folder.name for run in found.runs] == [run.folder.name for run in expected.runs]
    for run, reference in zip(found.runs, expected.runs, strict=True):
        assert (run.status, run.metrics) == ("done", reference.metrics)
        rows, reference_rows = ([{**row, "time_s": 0} for row in one.rows()] for one in (run, reference))
        assert rows == reference_rows
        assert {path.name for path in run.folder.iterdir()} == {path.name for path in reference.folder.iterdir()}
        for name in ("evaluation.json", "evaluation.npz"):
            assert (run.folder / name).read_bytes() == (reference.folder / name).read_bytes(), name
        assert numbers(run) == numbers(reference)


def numbers(run):
    """Every number of the last checkpoint: weights, optimiser, progress."""

    def plain(value):
        if isinstance(value, torch.Tensor):
            return str(value.dtype), value.tolist()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    return plain(torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True))


def test_a_node_dies_and_its_pack_goes_on_elsewhere(undisturbed, nodes, begin, tmp_path):
    process = begin()
    sweep = tmp_path / "outputs" / "s"
    in_the_middle(nodes, 2, sweep)
    nodes.kill(2)
    said, _ = process.communicate(timeout=AN_HOUR_S)
    assert process.returncode == 0, said
    assert "its node was lost, it goes on elsewhere" in said
    same(load_sweep(sweep), undisturbed[1])
    caches = [len(list((tmp_path / f"node-{number}" / "cache").rglob("images.npy"))) for number in (0, 1, 2)]
    assert caches == [0, 1, 1]  # the images were brought to each node once


def goes_on_without_its_driver(process, nodes, begin):
    """Kill the driver; the same command trains what is left."""
    process.kill()
    process.wait()
    wait_until(lambda: not nodes.processes(), "the workers to end")
    again = begin()
    said, _ = again.communicate(timeout=AN_HOUR_S)
    assert again.returncode == 0, said


def test_the_driver_dies_and_the_same_command_goes_on(undisturbed, nodes, begin, tmp_path):
    process = begin()
    sweep = tmp_path / "outputs" / "s"
    in_the_middle(nodes, 1, sweep)
    goes_on_without_its_driver(process, nodes, begin)
    same(load_sweep(sweep), undisturbed[1])


def test_a_node_dies_and_then_the_driver(undisturbed, nodes, begin, tmp_path):
    process = begin()
    sweep = tmp_path / "outputs" / "s"
    in_the_middle(nodes, 2, sweep)
    nodes.kill(2)
    wait_until(lambda: any(run.status == "done" for run in load_sweep(sweep).runs), "a run to be done")
    in_the_middle(nodes, 1, sweep)
    goes_on_without_its_driver(process, nodes, begin)
    same(load_sweep(sweep), undisturbed[1])


def test_ctrl_c_brings_the_checkpoints_back(undisturbed, nodes, begin, tmp_path):
    process = begin()
    sweep = tmp_path / "outputs" / "s"
    in_the_middle(nodes, 1, sweep)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=AN_HOUR_S)
    assert process.returncode == 130, said
    assert "continue  " in said
    statuses = {run.status for run in load_sweep(sweep).runs}
    assert "interrupted" in statuses
    assert statuses <= {"interrupted", "queued", "done"}
    assert nodes.processes() == []
    again = begin()
    said, _ = again.communicate(timeout=AN_HOUR_S)
    assert again.returncode == 0, said
    same(load_sweep(sweep), undisturbed[1])
