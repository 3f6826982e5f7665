"""The engine on a training that costs nothing: real processes, real signals, no torch."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import importing
import pytest
from waiting import wait_until

from vae_sweep.engine import pool
from vae_sweep.engine.fork_server import ForkServer
from vae_sweep.engine.pack import Pack
from vae_sweep.engine.slots import Slot

TARGET = "fake_training:train_pack"
CPU = [Slot("cpu", share) for share in range(2)]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))


class Watch:
    """Keeps events, and results by member; a member's second result is an error."""

    def __init__(self, on_event=lambda event: None):
        self.events, self.results, self.on_event = [], {}, on_event

    def __call__(self, event):
        if event["event"] != "tick":
            self.events.append(event)
        if event["event"] == "result":
            assert event["id"] not in self.results
            self.results[event["id"]] = event
        self.on_event(event)

    def status(self, member):
        return self.results[member]["status"]


def run(folder, packs, slots=CPU, on_event=lambda event: None, **options):
    watch = Watch(on_event)
    packs = [pack if isinstance(pack, Pack) else Pack(tuple(pack)) for pack in packs]
    with ForkServer(TARGET) as server:
        stop = pool.run(packs, slots, folder, server, watch, **options)
    assert set(watch.results) == {member for pack in packs for member in pack.members}
    return watch, stop


def seen(folder, member):
    return json.loads((folder / "seen" / f"{member}.json").read_text())


def gone(pid):
    """Whether a process has ended (a zombie that waits for its parent has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_members_of_a_slot_share_one_warm_process(tmp_path):
    watch, stop = run(tmp_path, [[f"fine-{k}"] for k in range(6)])
    assert {result["status"] for result in watch.results.values()} == {"done"}
    assert len({seen(tmp_path, f"fine-{k}")["pid"] for k in range(6)}) <= 2
    assert stop.exit_code == 0
    steps = [event for event in watch.events if event["event"] == "step"]
    assert {event["id"] for event in steps} == set(watch.results)


@pytest.mark.parametrize(
    ("kind", "error_type", "text"),
    [
        ("raises", "ValueError", "does not work"),
        ("segfault", "SIGSEGV", "killed by SIGSEGV"),
        ("sigkill", "SIGKILL", "ran out of memory"),
        ("leaves", "WorkerExit", "exit code 7"),
        ("nan", "Diverged", "nan"),
    ],
)
def test_a_failure_stays_in_its_pack(tmp_path, kind, error_type, text):
    watch, stop = run(tmp_path, [["fine-0", kind, "fine-1"], ["fine-2"], ["fine-3"]], CPU[:1])
    error = watch.results[kind]["error"]
    assert (watch.status(kind), error["type"]) == ("failed", error_type)
    assert text in error["message"]
    assert watch.status("fine-2") == watch.status("fine-3") == "done"
    assert stop.exit_code == 0


def test_on_cores_a_narrow_pack_goes_to_a_warm_process(tmp_path):
    packs = [Pack(("fine-wide",), width=2, threads=2), Pack(("fine-0",)), Pack(("fine-1",))]
    watch, _ = run(tmp_path, packs)
    wide, *narrow = [seen(tmp_path, f"fine-{name}") for name in ("wide", 0, 1)]
    assert (wide["threads"], narrow[0]["threads"]) == ("2", "1")
    assert wide["pid"] in [sight["pid"] for sight in narrow]
    assert next(event["slots"] for event in watch.events if event["event"] == "started") == ["cpu.0", "cpu.1"]


def test_the_last_packs_share_the_cores(tmp_path):
    """Five packs on two cores: two, and then the three that wait for one another, all at once."""
    packs = [["fine-0"], ["fine-1"], *([f"party-0-3-{k}"] for k in range(3))]
    watch, _ = run(tmp_path, packs, [*CPU, Slot("cpu", 2, spare=True)])
    assert {result["status"] for result in watch.results.values()} == {"done"}
    running, most = set(), 0
    for event in watch.events:
        if event["event"] == "started":
            running |= set(event["ids"])
        elif event["event"] == "result":
            running -= {event["id"]}
        assert len(running) <= 2 or all(member.startswith("party") for member in running)
        most = max(most, len(running))
    assert most == 3


def test_imports_are_paid_once_and_nothing_is_left_behind(tmp_path):
    run(tmp_path, [["fine-0"], ["fine-1"], ["leaves"], ["fine-2"]])
    sights = [seen(tmp_path, member) for member in ("fine-0", "fine-1", "leaves", "fine-2")]
    workers = {sight["pid"] for sight in sights}
    [server] = {sight["importer"] for sight in sights}
    assert len(workers) > 1
    assert server not in workers
    assert all(gone(pid) for pid in workers | {server})


@pytest.mark.slow  # imports torch once more
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; elsewhere nothing is imported before the fork")
def test_what_training_imports_can_be_forked(monkeypatch):
    """No thread may run: a lock that one holds would stay locked in the workers for ever. Those that workers start
    sleep while they wait: OpenMP itself says so, when torch loads it."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    with ForkServer("vae_sweep.training.train:train_pack") as server:
        server.wait()
        said = os.pread(server._output.fileno(), 1 << 16, 0).decode()
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
        assert b"libtorch" in Path(f"/proc/{server.process.pid}/maps").read_bytes()
        assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) == 1


def test_a_killed_fork_server_takes_its_workers_along(tmp_path):
    def kill_server(event):
        if (
            event["event"] == "tick"
            and (tmp_path / "child").exists()
            and not gone(server := seen(tmp_path, "deaf")["importer"])
        ):
            os.kill(server, signal.SIGKILL)

    watch, stop = run(tmp_path, [["deaf"], ["fine-0"]], CPU[:1], kill_server)
    for result in watch.results.values():
        assert (result["status"], result["error"]["type"]) == ("failed", "SIGKILL")
    assert stop.exit_code == 0
    assert gone(seen(tmp_path, "deaf")["pid"])
    wait_until(lambda: gone(int((tmp_path / "child").read_text())), "the worker's child to end")


def test_a_fork_server_finds_what_this_process_finds(tmp_path, monkeypatch):
    """A network beside a script, or in a folder that a notebook has put on its path, is not in the current folder."""
    (tmp_path / "beside.py").write_text("def train_pack(*_, **__): ...")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with ForkServer("beside:train_pack") as server:
        server.wait()


def test_a_fork_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "exits_at_once.py").write_text("import os\nprint('no use')\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", importing.path(tmp_path))
    watch = Watch()
    with ForkServer("exits_at_once:train_pack") as server:
        pool.run([Pack(("a",))], CPU, tmp_path, server, watch)
    error = watch.results["a"]["error"]
    assert (error["type"], error["message"]) == ("WorkerExit", "the worker ended with exit code 3")
    assert "no use" in error["traceback"]


def test_a_python_failure_carries_its_traceback_and_is_told_at_once(tmp_path):
    watch, _ = run(tmp_path, [["raises"], ["fine-0"]], CPU[:1])
    assert "fake_training.py" in watch.results["raises"]["error"]["traceback"]
    assert list(watch.results) == ["raises", "fine-0"]


def test_a_crash_shows_where_python_was(tmp_path):
    watch, _ = run(tmp_path, [["segfault"]])
    assert "in segfault" in watch.results["segfault"]["error"]["traceback"]


def test_a_worker_that_cannot_start_fails_its_members(tmp_path):
    watch = Watch()
    with ForkServer("no_such_module:train_pack") as server:
        pool.run([Pack(("a",))], CPU, tmp_path, server, watch)
    error = watch.results["a"]["error"]
    assert (error["type"], error["message"]) == ("ModuleNotFoundError", "No module named 'no_such_module'")


def test_out_of_memory_splits_the_pack(tmp_path):
    watch, _ = run(tmp_path, [[f"memory-{k}" for k in range(3)]])
    assert {result["status"] for result in watch.results.values()} == {"done"}
    splits = [event["into"] for event in watch.events if event["event"] == "split"]
    assert splits == [[["memory-0"], ["memory-1", "memory-2"]], [["memory-1"], ["memory-2"]]]


def test_every_slot_is_busy_until_the_queue_is_empty(tmp_path):
    """18 members, 4 devices: four at a time wait for each other, so fewer working slots would hang."""
    slots = [Slot(str(device)) for device in range(4)]
    members = [f"party-{k // 4}-{min(4, 18 - k // 4 * 4)}-{k}" for k in range(18)]
    started = []

    def note(event):
        if event["event"] == "started":
            started.append(event)

    watch, _ = run(tmp_path, [[member] for member in members], slots, note)
    assert {result["status"] for result in watch.results.values()} == {"done"}
    for number in range(5):
        party = [member for member in members if member.startswith(f"party-{number}-")]
        assert len({seen(tmp_path, member)["device"] for member in party}) == len(party)
    for event in started:
        assert event["slots"] == [f"gpu {seen(tmp_path, event['ids'][0])['device']}"]


def test_wide_packs_take_devices_of_their_own(tmp_path):
    slots = [Slot(str(device), share) for share in range(2) for device in range(2)]
    run(tmp_path, [Pack(("fine-wide",), devices=2, width=2, threads=3), Pack(("fine-thin",), threads=1)], slots)
    wide = seen(tmp_path, "fine-wide")
    assert (wide["device"], wide["threads"]) == ("0,1", "3")
    assert seen(tmp_path, "fine-thin")["device"] in ("0", "1")


def test_stop_checkpoints_and_leaves_nothing_unfinished_behind(tmp_path):
    def ctrl_c(event):
        if event["event"] == "tick" and len(list((tmp_path / "seen").glob("*.json"))) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    watch, stop = run(tmp_path, [["stoppable-0"], ["stoppable-1"], ["fine-0"]], on_event=ctrl_c_once(ctrl_c))
    assert stop.exit_code == 130
    assert {result["status"] for result in watch.results.values()} == {"interrupted"}
    assert len(list(tmp_path.glob("*.checkpoint"))) == 2
    assert not (tmp_path / "seen" / "fine-0.json").exists()
    assert signal.getsignal(signal.SIGINT) is before


def ctrl_c_once(ctrl_c):
    state = {"stopping": False}

    def on_event(event):
        state["stopping"] |= event["event"] == "stopping"
        if not state["stopping"]:
            ctrl_c(event)

    return on_event


def test_a_worker_that_hears_nothing_is_killed_after_the_grace_time(tmp_path):
    def terminate(event):
        if event["event"] == "tick" and (tmp_path / "child").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    watch, stop = run(tmp_path, [["deaf"]], on_event=ctrl_c_once(terminate), grace_s=0.1)
    assert stop.exit_code == 143
    assert watch.status("deaf") == "interrupted"
    assert gone(seen(tmp_path, "deaf")["pid"])
    wait_until(lambda: gone(int((tmp_path / "child").read_text())), "the worker's child to end")


def in_this_process(folder, members, when_started=""):
    """A process that trains packs of one member itself, and prints the events that are no ticks. Without torch."""
    script = (
        "import os, signal, sys; from pathlib import Path; from vae_sweep.engine.pack import Pack\n"
        "from vae_sweep.engine.slots import Slot; from vae_sweep.engine.this_process import ThisProcess\n"
        "def watch(event):\n"
        "    if event['event'] != 'tick':\n"
        "        words = [event.get(key, '-') for key in ('event', 'signal', 'status')]\n"
        "        os.write(1, (' '.join(words) + '\\n').encode())\n"  # whole, whichever thread hears it
        f"    if event['event'] == 'started': {when_started or 'pass'}\n"
        f"packs = [Pack((member,)) for member in {members!r}]\n"
        f"sys.exit(ThisProcess({TARGET!r}).run(packs, [Slot('cpu')], Path({str(folder)!r}), watch).exit_code)\n"
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_what_trains_in_this_process_and_does_not_ask_is_ended_by_the_second_ctrl_c(first, tmp_path):
    with in_this_process(tmp_path, ["endless-0", "fine-0"]) as process:
        wait_until((tmp_path / "seen" / "endless-0.json").exists, "the member to begin")
        process.send_signal(first)
        said = iter(process.stdout.readline, "")
        assert next(said) == "started - -\n"
        assert next(said) == f"stopping {first.name} -\n"  # while the member goes on
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert list(said) == ["result - interrupted\n"] * 2
    assert process.returncode == 128 + first
    assert not (tmp_path / "seen" / "fine-0.json").exists()


def test_a_signal_that_comes_twice_leaves_what_trains_in_this_process_to_its_checkpoint(tmp_path):
    """A shell and the kernel both tell of a closed terminal."""
    twice = "os.kill(os.getpid(), signal.SIGHUP); os.kill(os.getpid(), signal.SIGHUP)"
    with in_this_process(tmp_path, ["stoppable-0"], twice) as process:
        said = process.stdout.readlines()
    assert sorted(said) == ["result - interrupted\n", "started - -\n", "stopping SIGHUP -\n"]
    assert process.returncode == 128 + signal.SIGHUP
    assert (tmp_path / "stoppable-0.checkpoint").exists()


def test_workers_die_with_a_killed_parent(tmp_path):
    script = (
        "from pathlib import Path; from vae_sweep.engine import pool; from vae_sweep.engine.pack import Pack\n"
        "from vae_sweep.engine.fork_server import ForkServer; from vae_sweep.engine.slots import Slot\n"
        "packs, slots = [Pack(('deaf',)), Pack(('stoppable',))], [Slot('cpu', 0), Slot('cpu', 1)]\n"
        f"with ForkServer({TARGET!r}) as server:\n"
        f"    pool.run(packs, slots, Path({str(tmp_path)!r}), server, lambda event: None)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: len(list((tmp_path / "seen").glob("*.json"))) == 2, "both members to begin")
    wait_until((tmp_path / "child").exists, "the deaf member's child")
    parent.kill()
    parent.wait()
    for pid in (seen(tmp_path, member)["pid"] for member in ("deaf", "stoppable")):
        wait_until(lambda pid=pid: gone(pid), f"worker {pid} to end")
    wait_until(lambda: gone(int((tmp_path / "child").read_text())), "the deaf worker's child to end")
    assert not (tmp_path / "stoppable.checkpoint").exists()


def test_the_parent_imports_no_torch():
    code = "import sys, vae_sweep.engine.pool, vae_sweep.engine.worker; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
