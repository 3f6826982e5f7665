"""What a machine may be like: a sweep there ends with the numbers that it has anywhere, or says in a line why not."""

import os
import shutil
from pathlib import Path

import pytest
from campaign import IN_A_NAMESPACE, Sweep, can_mount, compared, differing, draw_pictures

pytestmark = pytest.mark.slow

LINEAR = (
    "data=image_folder", "model=linear", "model.latent_dim=2", "data.batch_size=5", "trainer.max_steps=8",
    "trainer.accelerator=cpu", "data.image_size=8", "data.channels=1", "loss.kl_weight=1,0.1", "logger.wandb=disabled",
)  # fmt: skip
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


def test_a_folder_that_was_renamed_is_the_sweep_of_its_name(tmp_path: Path, pictures: Path, wanted: dict) -> None:
    sweep = Sweep(tmp_path / "s", pictures, LINEAR)
    sweep.finish()
    sweep.outputs.rename(sweep.outputs.with_name("t"))
    sweep.command[-1] = "sweep=t"
    sweep.finish()
    assert "2 members, 0 to train" in sweep.said
    sweep.outputs.with_name("t").rename(sweep.outputs)
    assert differing(compared(sweep), wanted) == []
