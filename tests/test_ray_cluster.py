"""What the Ray launcher asks for and makes of the answers; Ray itself and the nodes are scripted ones."""

import os
import re
import signal
import socket
from types import SimpleNamespace

import numpy as np
import pytest
from sweeping import jobs, run, statuses

from vae_sweep.checks import SettingsError
from vae_sweep.data.image_data import ImageData
from vae_sweep.engine import ray_cluster
from vae_sweep.engine.ray_cluster import RayCluster
from vae_sweep.engine.ray_node import Told
from vae_sweep.engine.worker import STOPPED
from vae_sweep.environment import install
from vae_sweep.runs.files import write_json
from vae_sweep.runs.mirror import Change

LAUNCHER = {"jobs": None, "jobs_per_gpu": 1}
GPU_NODE, CPU_NODE = {"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0}


def place(*nodes, jobs=None, jobs_per_gpu=1, **parameters):
    made = RayCluster({"jobs": jobs, "jobs_per_gpu": jobs_per_gpu}, **parameters)
    made.__dict__["nodes"] = list(nodes)
    return made


@pytest.mark.parametrize(
    ("made", "slots", "resources"),
    [
        (place(CPU_NODE, CPU_NODE), 8, {"num_cpus": 1, "num_gpus": 0}),
        (place(CPU_NODE, CPU_NODE, cpus_per_task=3), 2, {"num_cpus": 3, "num_gpus": 0}),
        (place(GPU_NODE, CPU_NODE), 2, {"num_cpus": 1, "num_gpus": 1}),
        (place(GPU_NODE, jobs_per_gpu=3), 6, {"num_cpus": 1, "num_gpus": 1 / 3}),
        (place(GPU_NODE, accelerator="cpu"), 8, {"num_cpus": 1, "num_gpus": 0}),
        (place(jobs=5), 5, {"num_cpus": 1, "num_gpus": 0}),  # nodes that are not there yet
        (place(jobs=5, accelerator="cuda"), 5, {"num_cpus": 1, "num_gpus": 1}),
    ],
)
def test_the_nodes_are_filled(made, slots, resources):
    found, _ = made.slots(100)
    assert (len(found), made.resources(1)) == (slots, resources)
    assert len(made.slots(1)[0]) == 1


def test_several_devices_are_whole_ones_of_one_node():
    made = place(GPU_NODE, GPU_NODE, jobs_per_gpu=2)
    assert made.resources(2) == {"num_cpus": 2, "num_gpus": 2}
    assert made.width(2, 1, []) == 2
    with pytest.raises(ValueError, match=r"trainer.devices=3: no node has 3 CPUs and 3 GPUs"):
        made.width(3, 1, [])


def test_memory_is_that_of_a_share():
    assert place(CPU_NODE).memory is None
    assert place(GPU_NODE, jobs_per_gpu=2, gpu_memory_gb=24).memory == 12e9


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: place(CPU_NODE, cpus_per_task=0), "hydra.launcher.cpus_per_task=0: expected a whole number >= 1"),
        (lambda: place(address="ray://head:10001"), "address=ray://head:10001: Ray Client is not supported"),
        (lambda: place(CPU_NODE, grace_s="x"), "hydra.launcher.grace_s=x: expected a number"),
        (lambda: place(CPU_NODE, cpus_per_task=5).slots(1), "no node has 5 CPUs; launcher.jobs=N"),
        (lambda: place(CPU_NODE, accelerator="cuda").slots(1), "no node has 1 CPUs and 1 GPUs"),
    ],
)
def test_what_cannot_be_is_refused(made, said):
    with pytest.raises(SettingsError, match=said):
        made()


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=re.escape(install("ray"))):
        _ = RayCluster(LAUNCHER).ray


def test_a_cluster_that_does_not_answer_is_told_at_once():
    pytest.importorskip("ray")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        place = RayCluster(LAUNCHER, address=f"127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(SettingsError, match=r"address=127.0.0.1:\d+: cannot be used: .*refused"):
            _ = place.ray


# The driver, against scripted nodes ----------------------------------------------------------------------------------


class RayError(Exception): ...


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class ScriptedRay:
    """Every actor answers by the next of `scripts`, a list of what its calls give: answers, or errors that they raise.

    room: how many run at a time; the others do not answer.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, scripts, room=8):
        self.scripts, self.room = [list(script) for script in scripts], room
        self.alive, self.begun, self.stopped, self.most = [], [], [], 0

    def put(self, value):
        return value

    def remote(self, kind):
        return SimpleNamespace(options=lambda **resources: SimpleNamespace(remote=lambda: Actor(self)))

    def kill(self, actor):
        self.alive.remove(actor)

    def wait(self, refs, timeout):
        return [ref for ref in refs if ref.actor in self.alive[: self.room]][:1], []

    def get(self, ref):
        answer = ref.actor.script.pop(0)
        answer = answer(ref.actor) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


class Actor:
    def __init__(self, ray):
        self.ray = ray
        self.script = None
        ray.alive.append(self)
        ray.most = max(ray.most, len(ray.alive))
        for name in ("begin", "listen", "stop"):
            setattr(self, name, SimpleNamespace(remote=getattr(self, f"_{name}")))

    def _begin(self, order, manifest, files, *images):
        self.order, self.files = order, files
        self.script = self.ray.scripts.pop(0)
        self.ray.begun.append(order.members)
        return Ref(self)

    def _listen(self, seconds):
        return Ref(self)

    def _stop(self):
        self.ray.stopped.append(self.order.members)


class Ref:
    def __init__(self, actor):
        self.actor = actor


def told(*events, changes=(), code=None):
    return Told(list(events), list(changes), code)


def done(actor):
    """The end of a worker that went well."""
    return told(*(result(member) for member in actor.order.members), code=0)


def result(member, status="done"):
    return {"event": "result", "id": member, "status": status, "cause": None, "error": None, "metrics": {}}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """sweep(scripts, weights) -> (outcome, what was printed, the scripted Ray)"""
    images = ImageData(np.zeros((4, 2, 2, 1), np.uint8), np.arange(3), np.arange(3, 4), "f", "plain")
    monkeypatch.setattr(ray_cluster, "load", lambda section: images)

    def sweep(scripts, weights=(1,), room=8, jobs_at_once=None, **changes):
        ray = ScriptedRay(scripts, room)
        made = place({"CPU": float(room)}, jobs=jobs_at_once)
        made.__dict__["ray"] = ray
        outcome, text = run(jobs(tmp_path / "outputs", weights, **changes), made)
        assert ray.alive == []
        return outcome, text, ray

    return sweep


def folder_of(actor, tmp_path):
    (folder,) = (tmp_path / "outputs" / "s").glob(f"*-{actor.order.members[0]}")
    return folder


def test_files_come_before_the_events_that_tell_of_them(sweep, tmp_path):
    def ends(actor):
        name = folder_of(actor, tmp_path).name
        return told(result(actor.order.members[0]), changes=[Change(f"{name}/metrics.jsonl", 0, b"{}\n")], code=0)

    outcome, text, _ = sweep([["node-1", told(), ends]])
    assert "starts on node-1" in text
    assert (next(outcome.folder.glob("0*")) / "metrics.jsonl").read_bytes() == b"{}\n"


def test_a_lost_pack_goes_on_with_what_has_come_back(sweep, tmp_path):
    def saves(actor):
        name = folder_of(actor, tmp_path).name
        return told(changes=[Change(f"{name}/checkpoints/last.ckpt", 0, b"5")])

    seen = []

    def looks(actor):
        seen.extend(change for change in actor.files if change.path.endswith("last.ckpt"))
        return "node-2"

    _, text, ray = sweep([["node-1", saves, RayError("the node died\nof this")], [looks, done]])
    assert "its node was lost, it goes on elsewhere (the node died)" in text
    assert len(ray.begun) == 2
    assert [change.data for change in seen] == [b"5"]


def test_a_pack_that_is_lost_again_and_again_is_given_up_unless_it_gets_on(sweep, tmp_path):
    count = iter(range(100))

    def saves(actor):
        name = folder_of(actor, tmp_path).name
        return told(changes=[Change(f"{name}/checkpoints/last.ckpt", 0, b"%d" % next(count))])

    outcome, text, ray = sweep([["node", saves, RayError("gone")] for _ in range(5)] + [["node", done]])
    assert len(ray.begun) == 6
    outcome, text, ray = sweep([["node", RayError("gone")] for _ in range(5)], [2])
    assert len(ray.begun) == 3
    assert (outcome.results[0]["status"], outcome.results[0]["cause"]) == ("failed", "lost")
    assert "lost 3 times: gone" in text


def test_variables_that_are_asked_for_go_along(sweep, monkeypatch):
    """Not WANDB_SERVICE, which wandb sets: the address of a process of this machine."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_SERVICE", "PICTURES", "SECRET"):
        monkeypatch.setenv(name, f"of {name}")
    sent = []

    def looks(actor):
        sent.append(actor.order.environ)
        return "node"

    sweep([[looks, done]], data__cache_dir="${oc.env:PICTURES}/cache")
    assert sent[0] == {"WANDB_API_KEY": "of WANDB_API_KEY", "PICTURES": "of PICTURES", "CUDA_VISIBLE_DEVICES": ""}


def test_an_error_of_the_node_is_the_packs_failure(sweep):
    outcome, text, ray = sweep([[RayTaskError(OSError(28, "No space left on device"))], ["node", done]], [1, 2])
    assert (outcome.results[0]["error"]["type"], outcome.results[0]["cause"]) == ("OSError", "disk")
    assert "No space left" in text
    assert len(ray.begun) == 2


def test_a_worker_without_a_word_is_a_failure_that_says_so(sweep):
    outcome, _, _ = sweep([["node", told(code=1)]])
    assert outcome.results[0]["error"]["message"] == "no word of its end"


def test_a_worker_that_somebody_else_stopped_goes_on(sweep):
    _, _, ray = sweep([["node", lambda actor: told(result(actor.order.members[0], "interrupted"), code=STOPPED)],
                       ["node", done]])  # fmt: skip
    assert len(ray.begun) == 2


def test_halves_of_a_split_pack_go_on_as_halves(sweep):
    def splits(actor):
        first, second = actor.order.members
        return told({"event": "split", "pack": 0, "into": [[first], [second]]}, result(first))

    _, _, ray = sweep([["node", splits, RayError("gone")], ["node", done]], [1, 2], room=1, launcher__pack=2)
    assert ray.begun == [ray.begun[0], ray.begun[0][1:]]


def test_ctrl_c_waits_for_checkpoints_and_gives_up_what_waits(sweep, tmp_path):
    def interrupts(actor):
        signal.raise_signal(signal.SIGINT)
        return told()

    def ends(actor):
        member = actor.order.members[0]
        write_json(folder_of(actor, tmp_path) / "result.json", {"id": member, "status": "interrupted"})
        return told(result(member, "interrupted"), code=STOPPED)

    outcome, _, ray = sweep([["node", interrupts, ends], ["never"]], [1, 2], room=1)
    assert (outcome.exit_code, statuses(outcome)) == (130, ["interrupted", "queued"])
    assert ray.stopped == [ray.begun[0]]


@pytest.mark.parametrize(("jobs_at_once", "most"), [(2, 2), (None, 3 + 4)])
def test_no_more_ask_for_places_than_can_be_of_use(sweep, jobs_at_once, most):
    _, _, ray = sweep([["node", done]] * 12, range(1, 13), room=3, jobs_at_once=jobs_at_once)
    assert ray.most == most
    assert len(ray.begun) == 12
