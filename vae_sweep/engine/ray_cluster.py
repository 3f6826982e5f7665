"""A Ray cluster as a place where a sweep runs: one actor per pack (ray_node.py), nothing shared but the network.

Run folders come back as they grow; the images travel once to every node. What happens:

    a node dies            the pack goes on elsewhere, from the checkpoint that has come back, bit for bit
    a worker dies          it is told like anywhere else; the same command takes it up
    this process dies      Ray ends the actors, and they the workers; the same command goes on from what has come back
    Ctrl-C                 workers write checkpoints, which come back
    no room                packs wait; Ray's autoscaler, if there is one, sees what they ask for
"""

import importlib
import importlib.util
import os
import re
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vae_sweep.checks import SettingsError, check_all, integer, number, optional, text
from vae_sweep.cores import cores
from vae_sweep.data import load
from vae_sweep.data.carried import parts, without_images
from vae_sweep.engine.pack import Pack, start_order
from vae_sweep.engine.pack_process import entries_of, last_word
from vae_sweep.engine.place import Watch
from vae_sweep.engine.ray_node import Order, PackOnNode, Told, mirrored
from vae_sweep.engine.slots import Slot
from vae_sweep.engine.stop import StopRequest, stop_request
from vae_sweep.engine.worker import STOPPED, TARGET, interrupted
from vae_sweep.environment import install
from vae_sweep.runs.mirror import Mirror, take
from vae_sweep.runs.reading import MANIFEST
from vae_sweep.runs.schema import Entry, Error, Event
from vae_sweep.runs.withheld import resolved
from vae_sweep.runs.writing import cause_of, error_record

_CONNECT_S = 10.0
_LISTEN_S = 1.0
_TICK_S = 0.25
_AHEAD = 4  # packs that ask for a place beyond those that there are: for nodes that come, not thousands at once
_PATIENCE_S = 20.0  # before it is said that no node has room
_LOSSES = 3  # of a pack without a checkpoint between them: it may be what kills its nodes
_ENV = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")
_CHECKS = {
    "address": optional(text),
    "cpus_per_task": integer(1),
    "gpu_memory_gb": number(above=0),
    "grace_s": number(above=0),
}


class RayCluster:
    """Parameters as in conf/hydra/launcher/ray.yaml; launcher: cfg.launcher; accelerator: trainer.accelerator.

    Connects when it is first asked how large the cluster is. Raises SettingsError where there is none.
    """

    shares_cores = False

    def __init__(
        self,
        launcher: Mapping[str, Any],
        accelerator: str = "auto",
        address: str | None = None,
        cpus_per_task: int = 1,
        gpu_memory_gb: float = 16,
        grace_s: float = 60,
        runtime_env: Mapping[str, Any] | None = None,
        target: str = TARGET,
    ):
        given = {"address": address, "cpus_per_task": cpus_per_task, "gpu_memory_gb": gpu_memory_gb, "grace_s": grace_s}
        check_all("hydra.launcher.", given, _CHECKS)
        if str(address).startswith("ray://"):
            raise SettingsError(
                f"hydra.launcher.address={address}: Ray Client is not supported; on a machine in the cluster's network,"
                " HOST:PORT"
            )
        self.jobs: int | None = launcher["jobs"]
        self.jobs_per_gpu: int = launcher["jobs_per_gpu"]
        self.accelerator = accelerator
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.cpus_per_task = cpus_per_task
        self.gpu_memory = gpu_memory_gb * 1e9
        self.grace_s = grace_s
        self.runtime_env = dict(runtime_env or {})
        self.target = target

    @cached_property
    def ray(self) -> Any:
        """The module, connected."""
        if importlib.util.find_spec("ray") is None:
            raise SettingsError(f"hydra/launcher=ray needs Ray: {install('ray')}")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray: Any = importlib.import_module("ray")
        if not ray.is_initialized():
            here: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if self.address == "local" else {}
            try:
                _answers(self.address)
                ray.init(self.address, runtime_env=self.runtime_env, log_to_driver=False, logging_level="error", **here)
            except Exception as error:  # of many kinds, as addresses and environments are
                said = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
                raise SettingsError(f"hydra.launcher.address={self.address}: cannot be used: {said}") from None
        return ray

    @cached_property
    def nodes(self) -> list[dict[str, float]]:
        """What each has."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    @property
    def room(self) -> int:
        """Packs of one device that the nodes had room for when they were first asked."""
        return sum(self._room(node, 1) for node in self.nodes)

    @property
    def gpu(self) -> bool:
        if self.accelerator == "auto":
            return any(node.get("GPU") for node in self.nodes)
        return self.accelerator == "cuda"

    @property
    def memory(self) -> float | None:
        return self.gpu_memory / self.jobs_per_gpu if self.gpu else None

    def slots(self, wanted: int) -> tuple[list[Slot], int]:
        room = self.jobs or self.room
        if not room:
            raise SettingsError(
                f"hydra/launcher=ray: no node has {self.asked(1)}; launcher.jobs=N asks for nodes that are not there"
            )
        return [Slot("ray", share) for share in range(max(1, min(wanted, room)))], self.cpus_per_task

    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int:
        if self.jobs is None and not any(self._room(node, devices) for node in self.nodes):
            raise ValueError(f"trainer.devices={devices}: no node has {self.asked(devices)}")
        return devices

    def preloading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Watch) -> StopRequest:
        sweep = _Sweep(self, packs, folder, watch)  # connects, and with that takes the signals: before stop_request
        with stop_request() as stop:
            try:
                sweep.run(stop)
            finally:
                sweep.kill_all()
        return stop

    def resources(self, width: int) -> dict[str, float]:
        """What a pack on so many devices asks for, as Ray's actors have it."""
        share = width if width > 1 else 1 / self.jobs_per_gpu
        return {"num_cpus": self.cpus_per_task * width, "num_gpus": share if self.gpu else 0}

    def _room(self, node: Mapping[str, float], width: int) -> int:
        """Packs of that width that fit on it."""
        wanted = self.resources(width)
        shares = [node.get("CPU", 0) / wanted["num_cpus"]]
        shares += [node.get("GPU", 0) / wanted["num_gpus"] + 1e-6] if wanted["num_gpus"] else []
        return int(min(shares))

    def asked(self, width: int) -> str:
        """In words."""
        wanted = self.resources(width)
        return f"{wanted['num_cpus']} CPUs" + (f" and {wanted['num_gpus']:g} GPUs" if wanted["num_gpus"] else "")


def _answers(address: str) -> None:
    """Raises OSError if nobody listens at HOST:PORT, which Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


class _Actor:
    """A pack that is somewhere. pending: what it has been asked for and not answered yet."""

    def __init__(self, pack: Pack, handle: Any, pending: Any):
        self.pack = pack
        self.handle = handle
        self.pending = pending
        self.began = False
        self.groups = [pack.members]  # that train together: several once it has been split


class _Sweep:
    def __init__(self, place: RayCluster, packs: Sequence[Pack], folder: Path, watch: Watch):
        self.place, self.ray, self.folder, self.watch = place, place.ray, folder, watch
        self.queue = deque(start_order(packs))
        self.actors: list[_Actor] = []
        self.entries: dict[str, Entry] = entries_of(folder)
        self.manifest = self.ray.put((folder / MANIFEST).read_bytes())
        self.images: dict[str, list[Any]] = {}  # by fingerprint, what `begin` is told of them
        self.remote = self.ray.remote(PackOnNode)
        self.ended: set[str] = set()  # members whose result has been passed on
        self.losses: dict[tuple[str, ...], tuple[object, int]] = {}  # (the checkpoints they were with, how many)

    def run(self, stop: StopRequest) -> None:
        asked_since, deadline = time.monotonic(), 0.0
        while self.queue or self.actors:
            if stop.over:
                self.give_up_waiting()
            else:
                self.ask()
            if stop.asked and not deadline:
                deadline = time.monotonic() + self.place.grace_s
                stop.announce(self.watch, self.place.grace_s)
                for actor in self.actors:
                    actor.handle.stop.remote()
            if stop.asked and (stop.count > 1 or time.monotonic() > deadline):
                break
            by_ref = {actor.pending: actor for actor in self.actors}
            ready, _ = self.ray.wait(list(by_ref), timeout=_TICK_S) if by_ref else ([], [])
            for ref in ready:
                self.hear(by_ref[ref], ref, stop)
            if any(actor.began for actor in self.actors):
                asked_since = time.monotonic()
            elif self.actors and time.monotonic() > asked_since + _PATIENCE_S:
                wanted = self.place.asked(self.actors[0].pack.width)
                self.watch({"event": "note", "text": f"waiting for the Ray cluster: no node has {wanted} free"})
            stop.heed(self.watch({"event": "tick"}))
        for actor in self.actors[:]:  # that have not come to their end in time
            self.end(actor, stopping=True)

    def ask(self) -> None:
        """Ask for places for the next packs."""
        begun = sum(actor.began for actor in self.actors)
        most = self.place.jobs or max(self.place.room, begun) + _AHEAD
        while self.queue and len(self.actors) < most:
            pack = self.queue.popleft()
            files = Mirror(self.folder, mirrored(self.entries, pack.members)).changes()
            order = Order(pack.members, pack.threads, self.place.target, self.environ(pack))
            handle = self.remote.options(max_restarts=0, **self.place.resources(pack.width)).remote()
            answer = handle.begin.remote(order, self.manifest, files, *self.images_of(pack))
            self.actors.append(_Actor(pack, handle, answer))

    def images_of(self, pack: Pack) -> list[Any]:
        """Put into Ray's store, from which every node takes them once."""
        entry = self.entries[pack.members[0]]
        if (fingerprint := entry["data_fingerprint"]) not in self.images:
            data = load(resolved(entry["config"], ["data"])["data"])
            stored = [self.ray.put(part) for part in parts(data.images)]
            self.images[fingerprint] = [self.ray.put(without_images(data)), len(data.images), stored]
        return self.images[fingerprint]

    def environ(self, pack: Pack) -> dict[str, str]:
        """What of this process's environment the members ask for, and what people set for W&B, but folders; and which
        GPUs to see.
        """
        asked = {name for member in pack.members for name in _ENV.findall(str(self.entries[member]["config"]))}
        asked |= {name for name in os.environ if name.startswith("WANDB_") and not name.endswith(("_DIR", "_SERVICE"))}
        found = {name: os.environ[name] for name in asked if name in os.environ}
        return {**found, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if self.place.gpu else {**found, "CUDA_VISIBLE_DEVICES": ""}

    def hear(self, actor: _Actor, ref: Any, stop: StopRequest) -> None:
        try:
            answer = self.ray.get(ref)
            if isinstance(answer, Told):
                take(self.folder, answer.changes)
        except (self.ray.exceptions.RayTaskError, OSError) as error:  # raised by the node, or by our own disk
            self.end(actor, False, getattr(error, "cause", error))
            return
        except self.ray.exceptions.RayError as error:
            self.lost(actor, str(error) or type(error).__name__, stop)
            return
        if not isinstance(answer, Told):
            actor.began = True
            self.watch({"event": "started", "ids": list(actor.pack.members), "slots": [answer]})
        else:
            for event in answer.events:
                self.pass_on(actor, event)
            if answer.code == STOPPED and not stop.asked:
                self.lost(actor, "its worker was told to end", stop)
                return
            if answer.code is not None:
                self.end(actor, stop.asked)
                return
        actor.pending = actor.handle.listen.remote(_LISTEN_S)

    def pass_on(self, actor: _Actor, event: Event) -> None:
        if event["event"] == "result":
            if event["status"] == "interrupted" or event["id"] in self.ended:
                return  # interrupted: whether it goes on is decided at the end of its worker
            self.ended.add(event["id"])
        elif event["event"] == "split":
            into = [tuple(part) for part in event["into"]]
            actor.groups = [group for group in actor.groups if not set(group) & set(into[0])] + into
        self.watch(event)

    def lost(self, actor: _Actor, why: str, stop: StopRequest) -> None:
        """Its node, or its process: what has not ended goes on elsewhere."""
        why = why.strip().splitlines()[0]
        if stop.asked:
            self.end(actor, True)
            return
        self.let_go(actor)
        for group in actor.groups:
            if set(group) <= self.ended:
                continue
            pack = replace(actor.pack, members=group)
            stands = [self._checkpoint(member) for member in group]
            before, count = self.losses.get(group, (None, 0))
            self.losses[group] = (stands, count + 1 if stands == before else 1)
            if self.losses[group][1] < _LOSSES:
                self.queue.appendleft(pack)
                name = self.entries[group[0]]["folder"]
                self.watch({"event": "note", "text": f"{name}: its node was lost, it goes on elsewhere ({why})"})
            else:
                self.report(group, False, {"type": "Ray", "message": f"lost {_LOSSES} times: {why}", "traceback": ""})

    def _checkpoint(self, member: str) -> int | None:
        path = self.folder / self.entries[member]["folder"] / "checkpoints" / "last.ckpt"
        return path.stat().st_mtime_ns if path.exists() else None

    def end(self, actor: _Actor, stopping: bool, error: BaseException | None = None) -> None:
        """It has come to its end, or `error` has kept it from it."""
        self.let_go(actor)
        if error is not None:
            cause, record = cause_of(error), error_record(error)
            for member in set(actor.pack.members) - self.ended:
                self.ended.add(member)
                self.watch({"event": "result", "id": member, "status": "failed", "cause": cause, "error": record})
        self.report(actor.pack.members, stopping, {"type": "Ray", "message": "no word of its end", "traceback": ""})

    def report(self, members: Sequence[str], stopping: bool, lost: Error) -> None:
        for member in members:
            if member not in self.ended:
                self.ended.add(member)
                self.watch(last_word(self.folder / self.entries[member]["folder"], member, stopping, lost))

    def give_up_waiting(self) -> None:
        """What has not begun."""
        for actor in [actor for actor in self.actors if not actor.began]:
            self.let_go(actor)
            self.queue.append(actor.pack)
        for pack in self.queue:
            for member in set(pack.members) - self.ended:
                self.watch(interrupted(member))
        self.queue.clear()

    def let_go(self, actor: _Actor) -> None:
        self.actors.remove(actor)
        self.ray.kill(actor.handle)

    def kill_all(self) -> None:
        for actor in self.actors[:]:
            self.let_go(actor)
