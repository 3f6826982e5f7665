"""What a machine may be like: a sweep there ends with the numbers that it has anywhere, or says in a line why not."""

import os
import shutil
from pathlib import Path

import pytest
from campaign import IN_A_NAMESPACE, Sweep, can_mount, compared, differing, draw_pictures
from waiting import wait_until

from vae_sweep.runs.files import read_json
from vae_sweep.runs.reading import load_sweep

pytestmark = pytest.mark.slow

LINEAR = (
    "data=image_folder", "model=linear", "model.latent_dim=2", "data.batch_size=5", "trainer.max_steps=8",
    "trainer.accelerator=cpu", "data.image_size=8", "data.channels=1", "loss.kl_weight=1,0.1", "logger.wandb=disabled",
)  # fmt: skip
LONGER = (*(word for word in LINEAR if "max_steps" not in word), "trainer.max_steps=400",
          "trainer.checkpoint_every_s=0.05")  # fmt: skip
NO_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
# Words in front of the command; what they need.
MACHINES = {
    "HOME unset": (("env", "-u", "HOME"), True),
    "HOME read-only": ((*NO_RIGHTS, "env", "HOME=home"), not NO_RIGHTS or shutil.which("setpriv")),
    "no TMPDIR": (("env", "TMPDIR=/nowhere"), True),
    "a strict umask, no asserts, no backend": (
        ("sh", "-c", 'umask 077; PYTHONOPTIMIZE=2 MPLBACKEND=anything exec "$@"', "sh"),
        True,
    ),
    "no /dev/shm": (
        (*IN_A_NAMESPACE, "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"),
        can_mount(),
    ),
    "a clock that is behind and slow": (("faketime", "-f", "-3d x0.5"), shutil.which("faketime")),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"), 24)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> dict:
    whole = Sweep(tmp_path_factory.mktemp("whole") / "whole", pictures, LINEAR)
    whole.finish()
    return compared(whole)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_same(machine: str, tmp_path: Path, pictures: Path, wanted: dict) -> None:
    before, there = MACHINES[machine]
    if not there:
        pytest.skip("this machine has not what it takes")
    sweep = Sweep(tmp_path / "s", pictures, LINEAR, before)
    (sweep.folder / "home").mkdir(mode=0o555)
    sweep.finish()
    assert differing(compared(sweep), wanted) == []
    assert "Traceback" not in sweep.said


def test_a_limit_on_the_size_of_files_is_a_line_and_without_it_the_same_command_goes_on(
    tmp_path: Path, pictures: Path, wanted: dict
) -> None:
    limited = Sweep(tmp_path / "s", pictures, LINEAR, ("bash", "-c", 'ulimit -f 8; exec "$@"', "bash"))
    assert limited.ended() == 1
    assert "File too large" in limited.said
    assert "Traceback" not in limited.said
    sweep = Sweep(tmp_path / "s", pictures, LINEAR)
    sweep.finish()
    assert differing(compared(sweep), wanted) == []


def test_outputs_that_cannot_be_written_are_a_line(tmp_path: Path, pictures: Path, wanted: dict) -> None:
    if NO_RIGHTS and not shutil.which("setpriv"):
        pytest.skip("root may write anywhere")
    sweep = Sweep(tmp_path / "s", pictures, LINEAR, NO_RIGHTS)
    (sweep.folder / "outputs").mkdir(mode=0o555)
    assert sweep.ended() == 1
    assert sweep.said.splitlines()[-1] == "error: output_dir=outputs: cannot be written: Permission denied"
    (sweep.folder / "outputs").chmod(0o755)
    sweep.finish()
    assert differing(compared(sweep), wanted) == []


ELSEWHERE = {
    "here": (),
    "as another user": (
        "setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",  # this Python may lie in the home of root
    ),
    "on another host with one core": (
        *IN_A_NAMESPACE, "--uts", "sh", "-c", 'hostname elsewhere; exec taskset -c 0 "$@"', "sh",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> tuple[Sweep, dict]:
    """(a sweep whose command was killed in its middle, what it would have come to)"""
    place = tmp_path_factory.mktemp("stopped")
    whole, stopped = (Sweep(place / name, pictures, LONGER) for name in ("whole", "stopped"))
    whole.finish()
    with stopped.started() as process:
        wait_until(lambda: stopped.rows() > 6 or process.poll() is not None, "some rows")
        process.kill()
    assert {run.status for run in load_sweep(stopped.outputs).runs} & {"running", "queued"}
    return stopped, compared(whole)


def without_places(found: dict) -> dict:
    """Without the settings that a checkpoint is of, which tell where the pictures lie."""
    return {
        key: {name: held for name, held in value.items() if name != "hyper_parameters"}
        if key.endswith("checkpoint")
        else value
        for key, value in found.items()
    }


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_folder_that_was_copied_goes_on_where_it_is(
    place: str, stopped: tuple[Sweep, dict], pictures: Path, tmp_path: Path
) -> None:
    """All else at another path, too: pictures, cache, the place of the command."""
    if ELSEWHERE[place] and (os.getuid() or not all(map(shutil.which, ("setpriv", "taskset", "unshare")))):
        pytest.skip("needs root and util-linux")
    before, wanted = stopped
    moved = Sweep(tmp_path / "elsewhere", shutil.copytree(pictures, tmp_path / "pictures"), LONGER, ELSEWHERE[place])
    shutil.copytree(before.folder / "outputs", moved.folder / "outputs")
    if "user" in place:
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, 12345, 12345)
    moved.finish()
    assert differing(without_places(compared(moved)), without_places(wanted)) == []
    hosts = {read_json(run.folder / "result.json")["hostname"] for run in load_sweep(moved.outputs).runs}
    assert ("elsewhere" in hosts) == ("host" in place)


def test_a_folder_that_was_renamed_is_the_sweep_of_its_name(tmp_path: Path, pictures: Path, wanted: dict) -> None:
    sweep = Sweep(tmp_path / "s", pictures, LINEAR)
    sweep.finish()
    sweep.outputs.rename(sweep.outputs.with_name("t"))
    sweep.command[-1] = "sweep=t"
    sweep.finish()
    assert "2 members, 0 to train" in sweep.said
    sweep.outputs.with_name("t").rename(sweep.outputs)
    assert differing(compared(sweep), wanted) == []
