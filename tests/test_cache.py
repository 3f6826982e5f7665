"""An entry of the cache is whole or absent, and made once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from waiting import PATIENCE_S, wait_until

from vae_sweep.data.cache import cached_folder
from vae_sweep.data.image_data import DataError


def no_build(folder: Path) -> None:
    raise AssertionError("built again")


def build(folder: Path) -> None:
    np.save(folder / "numbers.npy", np.arange(5))


def temporaries(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.name.endswith(".tmp")]


def test_built_once_and_found_again(tmp_path: Path):
    folder = cached_folder(tmp_path, {"a": 1}, "numbers", build)
    assert cached_folder(tmp_path, {"a": 1}, "numbers", no_build) == folder
    assert np.load(folder / "numbers.npy").tolist() == [0, 1, 2, 3, 4]
    assert cached_folder(tmp_path, {"a": 2}, "numbers", build) != folder
    assert not temporaries(tmp_path)


def test_a_failed_build_leaves_nothing(tmp_path: Path):
    def fails(folder: Path) -> None:
        build(folder)
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        cached_folder(tmp_path, {}, "numbers", fails)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("damage", ["missing", "short", "no manifest", "torn manifest"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str):
    folder = cached_folder(tmp_path, {}, "numbers", build)
    if damage == "missing":
        (folder / "numbers.npy").unlink()
    elif damage == "short":
        os.truncate(folder / "numbers.npy", 100)
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        os.truncate(folder / "manifest.json", 20)
    assert cached_folder(tmp_path, {}, "numbers", build) == folder
    assert np.load(folder / "numbers.npy").tolist() == [0, 1, 2, 3, 4]


def test_an_unwritable_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data.cache_dir: cannot write to .*file"):
        cached_folder(tmp_path / "file", {}, "numbers", build)


def test_a_full_disk_is_named(tmp_path: Path):
    def fills(folder: Path) -> None:
        build(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"data.cache_dir: .*No space left"):
        cached_folder(tmp_path, {}, "numbers", fills)
    assert not temporaries(tmp_path)


SLOW = """
import sys, time
from pathlib import Path
from vae_sweep.data.cache import cached_folder

def build(folder):
    (folder / "first").write_bytes(b"1" * 1000)
    with open(sys.argv[1] + ".built", "a") as log:
        log.write("x")
    time.sleep(float(sys.argv[2]))
    (folder / "second").write_bytes(b"2" * 1000)

print(cached_folder(Path(sys.argv[1]), {"slow": True}, "slow", build))
"""


def start(cache: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SLOW, str(cache), str(seconds)], stdout=subprocess.PIPE, text=True)


def test_two_processes_build_once(tmp_path: Path):
    processes = [start(tmp_path / "cache", 0.5) for _ in range(2)]
    folders = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(folders) == 1
    assert (tmp_path / "cache.built").read_text() == "x"


def test_a_killed_build_is_not_seen_and_is_cleared_away(tmp_path: Path):
    cache = tmp_path / "cache"
    process = start(cache, PATIENCE_S)
    wait_until((tmp_path / "cache.built").exists, "the build to begin")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(temporaries(cache)) == 1
    # Whoever builds something else clears it away, and the same entry can be built anew.
    cached_folder(cache, {"other": 1}, "numbers", build)
    assert not temporaries(cache)
    with start(cache, 0) as again:
        folder = Path(again.communicate()[0].strip())
    assert {path.name for path in folder.iterdir()} == {"first", "second", "manifest.json"}


def test_what_others_are_building_is_left_alone(tmp_path: Path):
    theirs = tmp_path / "0123.abcd.tmp"
    theirs.mkdir()
    with FileLock(tmp_path / "0123.lock", thread_local=False):
        cached_folder(tmp_path, {"a": 1}, "numbers", build)
        assert theirs.exists()
    cached_folder(tmp_path, {"a": 2}, "numbers", build)
    assert not theirs.exists()


def test_the_manifest_tells_what_is_in_there(tmp_path: Path):
    folder = cached_folder(tmp_path, {"size": 64}, "numbers", build)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["key"] == {"size": 64}
    assert manifest["files"] == {"numbers.npy": (folder / "numbers.npy").stat().st_size}
