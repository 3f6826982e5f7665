"""A real SLURM on this machine, with pretend GPUs; the training is a fake one. Needs root and Debian's packages."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import importing
import pytest
from sweeping import TARGET, attempts, jobs, run, statuses

from vae_sweep.engine.slurm import Cluster
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.reading import load_sweep

pytestmark = pytest.mark.slurm
SCRIPTS = Path(__file__).parent


@pytest.fixture(scope="module")
def controller():
    if os.geteuid() != 0 or not (shutil.which("slurmctld") or shutil.which("apt-get")):
        pytest.skip("needs root, and SLURM or Debian's packages of it")
    # Not below pytest's folder: a socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        subprocess.run([SCRIPTS / "up.sh", folder], check=True, timeout=300)
        try:
            yield Path(folder) / "slurm.conf"
        finally:
            subprocess.run([SCRIPTS / "down.sh", folder], check=True, timeout=60)


@pytest.fixture
def sweep(controller, tmp_path, monkeypatch):
    """sweep([weights], kind={weight: kind}, on_event=...) -> (outcome, what was printed)"""
    monkeypatch.setenv("SLURM_CONF", str(controller))
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))

    def sweep(weights, kind=None, on_event=lambda event: None, **changes):
        place = Watched({"jobs": None}, cpus_per_task=1, poll_s=0.5, partition="low", target=TARGET)
        place.on_event = on_event
        return run(jobs(tmp_path / "outputs", weights, kind, trainer__accelerator="auto", **changes), place)

    return sweep


class Watched(Cluster):
    """Lets a test do something at an event."""

    def run(self, packs, slots, folder, watch):
        def watch_and_act(event):
            watch(event)
            self.on_event(event)

        return super().run(packs, slots, folder, watch_and_act)


def once_in_the_middle(tmp_path, weight, act):
    """Act, once, when the member is in the middle of its first attempt, waiting for a stop."""
    done = []

    def on_event(event):
        folders = list((tmp_path / "outputs" / "s").glob(f"*-kl_weight={weight}-*"))
        if not done and folders and (folders[0] / "waiting").exists():
            done.append(folders[0])
            act(folders[0])

    return on_event


def job_of(run_folder):
    known = read_json(run_folder.parent / "slurm.json")
    return known[run_folder.name.rsplit("-", 1)[1]]


def complete(run):
    return [row["step"] for row in read_rows(run.folder / "metrics.jsonl")] == list(range(1, 11))


def test_every_job_has_its_own_device(sweep):
    """Four wait for each other, so they run at once."""
    outcome, _ = sweep([1, 2, 3, 4, 5, 6], {1: "meets", 2: "meets", 3: "meets", 4: "meets"})
    assert (statuses(outcome), outcome.exit_code) == (["done"] * 6, 0)
    runs = load_sweep(outcome.folder).runs
    devices = [(run.folder / "device").read_text() for run in runs]
    assert sorted(devices[:4]) == ["0", "1", "2", "3"]
    assert all(len(device) == 1 for device in devices)


def test_a_preempted_job_is_requeued_and_continues(sweep, tmp_path):
    def preempt(_):
        wrap = ["sbatch", "-p", "high", "--exclusive", "-o", "/dev/null", "--wrap", "true"]
        subprocess.run(wrap, check=True, capture_output=True)

    outcome, text = sweep([1, 2], {1: "stops"}, once_in_the_middle(tmp_path, 1, preempt))
    assert statuses(outcome) == ["done", "done"], text
    run = load_sweep(outcome.folder).runs[0]
    assert attempts(run) >= 2  # SLURM may preempt it again while the other job still waits for the node
    assert complete(run)


def test_a_job_that_runs_out_of_time_continues(sweep, tmp_path):
    def warn(folder):
        subprocess.run(["scancel", "--signal=USR2", job_of(folder)], check=True)

    outcome, _ = sweep([1], {1: "stops"}, once_in_the_middle(tmp_path, 1, warn))
    assert statuses(outcome) == ["done"]
    assert attempts(load_sweep(outcome.folder).runs[0]) == 2


def test_a_killed_job_loses_no_results_and_the_same_command_continues_it(sweep, tmp_path):
    def kill(folder):
        subprocess.run(["scancel", "--signal=KILL", f"{job_of(folder)}.0"], check=True)  # its processes, all at once

    outcome, text = sweep([1, 2], {1: "stops"}, once_in_the_middle(tmp_path, 1, kill))
    assert (statuses(outcome), outcome.exit_code) == (["failed", "done"], 1)
    assert "SLURM ended job" in text
    again, _ = sweep([1, 2], {1: "stops"})
    assert statuses(again) == ["done", "done"]
    assert complete(load_sweep(outcome.folder).runs[0])


def test_a_killed_worker_is_told_by_its_job(sweep):
    outcome, text = sweep([1, 2], {1: "kills"})
    assert statuses(outcome) == ["failed", "done"]
    assert outcome.results[0]["error"]["type"] == "SIGKILL"
    assert "killed by SIGKILL" in text
    again, _ = sweep([1, 2], {1: "kills"})
    assert statuses(again) == ["done", "done"]


def test_ctrl_c_checkpoints_and_cancels(sweep, tmp_path):
    def interrupt(_):
        os.kill(os.getpid(), signal.SIGINT)

    outcome, _ = sweep([1], {1: "stops"}, once_in_the_middle(tmp_path, 1, interrupt))
    assert (statuses(outcome), outcome.exit_code) == (["interrupted"], 130)
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout == ""
    again, _ = sweep([1], {1: "stops"})
    assert statuses(again) == ["done"]


def test_jobs_outlive_a_killed_parent_and_are_found_again(sweep, tmp_path):
    script = (
        "from sweeping import *; from vae_sweep.engine.slurm import Cluster\n"
        "place = Cluster({'jobs': None}, cpus_per_task=1, poll_s=0.5, partition='low', target=TARGET)\n"
        f"run(jobs({str(tmp_path / 'outputs')!r}, [1], {{1: 'patient'}}, trainer__accelerator='auto'), place)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    folder = tmp_path / "outputs" / "s"
    wait_for(lambda: list(folder.glob("*/waiting")), "the member to begin")
    parent.kill()
    parent.wait()
    released = once_in_the_middle(tmp_path, 1, lambda run: (run / "go").touch())
    outcome, _ = sweep([1], {1: "patient"}, released)
    assert statuses(outcome) == ["done"]
    assert attempts(load_sweep(outcome.folder).runs[0]) == 1


def wait_for(condition, what):
    from waiting import wait_until

    wait_until(condition, what)
