"""A training that costs nothing and does what its member's id says, to try the engine on. Not a test."""

import errno
import os
import signal
import subprocess
import sys
import time

from waiting import PATIENCE_S, wait_until

from vae_sweep.runs.files import read_json, write_json

IMPORTER = os.getpid()


def train_pack(folder, members, report, should_stop):
    assert "torch" not in sys.modules
    results = []
    for member in members:
        note(folder, member)
        kind = member.split("-")[0]
        outcome = KINDS[kind](folder, member, members, report, should_stop)
        results.append({"id": member, "status": "done", "metrics": {}, "error": None} | (outcome or {}))
    return results


def note(folder, member):
    """What the process of this member sees, for the tests to read."""
    seen = {
        "pid": os.getpid(),
        "importer": IMPORTER,
        "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    write_json(folder / "seen" / f"{member}.json", seen)  # there whole, or not at all


def fine(folder, member, members, report, should_stop):
    for step in range(3):
        report({"event": "step", "id": member, "step": step + 1, "total_steps": 3, "recon": 1.0, "kl": 2.0})


def raises(folder, member, members, report, should_stop):
    raise ValueError(f"{member} does not work")


def segfault(folder, member, members, report, should_stop):
    os.kill(os.getpid(), signal.SIGSEGV)


def sigkill(folder, member, members, report, should_stop):
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(folder, member, members, report, should_stop):
    os._exit(7)


def nan(folder, member, members, report, should_stop):
    """Training itself noticed, and went on with the others."""
    return {"status": "failed", "error": {"type": "Diverged", "message": "loss is nan", "traceback": ""}}


def memory(folder, member, members, report, should_stop):
    """Fits alone, not together."""
    if len(members) > 1:
        raise MemoryError


def party(folder, member, members, report, should_stop):
    """party-3-4-17: the 17th, waits until all 4 of the 3rd party are here: only if as many slots work at once."""
    _, number, size, _ = member.split("-")
    wait_until(lambda: len(list((folder / "seen").glob(f"party-{number}-*.json"))) == int(size), member)


def stoppable(folder, member, members, report, should_stop):
    wait_until(should_stop, "a request to stop")
    (folder / f"{member}.checkpoint").touch()
    return {"status": "interrupted"}


def deaf(folder, member, members, report, should_stop):
    """Hears no request to stop, and has a child."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({2 * PATIENCE_S})"])
    write_json(folder / "child", child.pid)
    time.sleep(2 * PATIENCE_S)


def endless(folder, member, members, report, should_stop):
    """Never asks whether to stop."""
    wait_until(lambda: False, "a KeyboardInterrupt")


KINDS = {
    function.__name__: function
    for function in (fine, raises, segfault, sigkill, leaves, nan, memory, party, stoppable, deaf, endless)
}


def train_members(sweep, members, report, should_stop):
    """Writes a run's files as training does: ten steps, continued from where `checkpoint` stands. What happens after
    the fifth, the first time, is said by model.kind."""
    from vae_sweep.runs.withheld import resolved
    from vae_sweep.runs.writing import RunFiles

    entries = {entry["id"]: entry for entry in read_json(sweep / "sweep.json")["members"]}
    results = []
    for member in members:
        entry = entries[member]
        files = RunFiles(sweep, entry, {"versions": {}, "data_fingerprint": "f", "device": "cpu"}, report)
        checkpoint = files.folder / "checkpoint"
        first = read_json(checkpoint) if checkpoint.exists() else 0
        files.begin(first, 10)
        attempt = sum(1 for _ in files.folder.glob("attempt-*"))
        (files.folder / f"attempt-{attempt}").touch()
        (files.folder / "device").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        status, step = "done", first
        for step in range(first + 1, 11):
            files.log_metrics({"train/loss": 1.0, "train/recon": 1.0 / step, "kl_weight": 1.0}, step)
            write_json(checkpoint, step)
            if step == 5 and attempt == 0:
                try:
                    status = MIDDLES[resolved(entry["config"])["model"]["kind"]](files.folder, should_stop) or "done"
                except (ValueError, OSError) as error:
                    files.end("failed", step, {}, error)
                    raise
            if status != "done":
                break
        results.append(files.end(status, step, {"val/recon": 0.1}))
    return results


def kills(folder, should_stop):
    os.kill(os.getpid(), signal.SIGKILL)


def stops(folder, should_stop):
    (folder / "waiting").touch()
    wait_until(should_stop, "a request to stop")
    return "interrupted"


def fails(folder, should_stop):
    raise ValueError("no good")


def fills_the_disk(folder, should_stop):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def meets(folder, should_stop):
    """Until four members are there at once."""
    (folder / "here").touch()
    wait_until(lambda: len(list(folder.parent.glob("*/here"))) == 4, "four members at once")


def patient(folder, should_stop):
    (folder / "waiting").touch()
    wait_until((folder / "go").exists, "a sign")


MIDDLES = {
    "fine": lambda folder, should_stop: None,
    "sesame-31415926": lambda folder, should_stop: None,  # said by the environment alone (test_withheld.py)
    "kills": kills,
    "stops": stops,
    "raises": fails,
    "fills the disk": fills_the_disk,
    "meets": meets,
    "patient": patient,
}
