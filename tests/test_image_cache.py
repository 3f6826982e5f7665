"""A folder of pictures becomes one array: once, whatever happens meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from marks import slow
from PIL import Image
from waiting import wait_until

from vae_sweep.data import image_cache
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.folder import find_images
from vae_sweep.data.image_cache import decoded
from vae_sweep.data.image_data import DataError

HOW = Decoding(8)


def paint(root: Path, *names: str) -> None:
    """A plain picture per name, all of different colours, the same for the same name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = np.random.default_rng(list(name.encode())).integers(0, 256, 3)
        Image.new("RGB", (12, 10), tuple(colour.tolist())).save(path)


def read(root: Path, cache: Path, how: Decoding = HOW) -> image_cache.DecodedFiles:
    return decoded(root, find_images(root), how, cache)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    paint(root, *(f"{artist}/{number}.png" for artist in ("Klee", "Münter") for number in range(10)))
    return root


# Finding -------------------------------------------------------------------------------------------------------------


def test_found_by_extension_in_depth_without_hidden_ones(tmp_path: Path):
    paint(tmp_path, "b.PNG", "a/b/c/d.jpeg", "日本/浮世絵.webp", "x y.tif")
    paint(tmp_path, ".hidden.png", ".thumbnails/a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in find_images(tmp_path)] == ["a/b/c/d.jpeg", "b.PNG", "x y.tif", "日本/浮世絵.webp"]


def test_links_are_followed_and_loops_end(tmp_path: Path):
    paint(tmp_path, "b/1.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b")  # sorts first, but b is the folder's own name
    (tmp_path / "self").symlink_to(tmp_path / "self")
    paint(tmp_path.parent / "elsewhere", "2.png")
    (tmp_path / "away").symlink_to(tmp_path.parent / "elsewhere")
    (tmp_path / "one.png").symlink_to(tmp_path / "b" / "1.png")
    assert [file.name for file in find_images(tmp_path)] == ["away/2.png", "b/1.png", "one.png"]


def test_a_link_to_nowhere_is_an_unreadable_file(root: Path, tmp_path: Path):
    (root / "lost.png").symlink_to(root / "nowhere.png")
    assert read(root, tmp_path / "cache").unreadable == [("lost.png", "No such file or directory")]


def test_no_images(tmp_path: Path):
    with pytest.raises(DataError, match=f"no images in {tmp_path}"):
        find_images(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="among its 1 files"):
        find_images(tmp_path)


# Decoding ------------------------------------------------------------------------------------------------------------


def test_rows_are_the_files_pixels(root: Path, tmp_path: Path):
    files = find_images(root)
    result = decoded(root, files, HOW, tmp_path / "cache", workers=3)
    assert result.images.shape == (20, 8, 8, 3)
    assert isinstance(result.images, np.memmap)
    assert not result.images.flags.writeable
    assert sorted(result.files) == list(range(20))
    assert result.file_digests == sorted(result.file_digests)
    for row, file in enumerate(result.files):
        with Image.open(root / files[file].name) as image:
            assert result.images[row, 0, 0].tolist() == list(image.getpixel((0, 0)))


def test_the_second_time_nothing_is_decoded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = read(root, tmp_path / "cache")
    monkeypatch.setattr(image_cache, "_decode_all", None)
    again = read(root, tmp_path / "cache")
    assert np.array_equal(first.images, again.images)
    assert first.pixel_digests == again.pixel_digests
    assert first.files.tolist() == again.files.tolist()


@pytest.mark.slow
def test_names_and_places_do_not_matter_but_contents_do(root: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    for number, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        copy = elsewhere / path.parent.name / f"renamed {number}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    first, second = read(root, tmp_path / "cache"), read(elsewhere, tmp_path / "cache")
    assert np.array_equal(first.images, second.images)
    paint(elsewhere, "one more.png")
    assert len(read(elsewhere, tmp_path / "cache").images) == 21


@pytest.mark.parametrize("change", ["file", *slow("size", "fit", "channels")])
def test_what_changes_pixels_changes_the_entry(root: Path, tmp_path: Path, change: str):
    read(root, tmp_path / "cache")
    how = {"size": Decoding(16), "fit": Decoding(8, fit="pad"), "channels": Decoding(8, channels=1)}.get(change, HOW)
    if change == "file":
        path = root / "Klee/3.png"
        Image.new("RGB", (12, 10), (1, 2, 3)).save(path)
        os.utime(path, ns=(0, 12345))
    result = read(root, tmp_path / "cache", how)
    assert result.images.shape[1:] == how.shape
    if change == "file":
        assert [1, 2, 3] in result.images[:, 0, 0].tolist()


def test_unreadable_files_are_left_out_and_told(root: Path, tmp_path: Path):
    (root / "Klee/empty.png").write_bytes(b"")
    (root / "Klee/text.jpg").write_text("no picture")
    result = read(root, tmp_path / "cache")
    assert len(result.images) == 20
    assert result.unreadable == [
        ("Klee/empty.png", "empty file"),
        ("Klee/text.jpg", "not an image, or damaged at its start"),
    ]


def test_nothing_readable_is_an_error_and_no_entry(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 unreadable file\(s\) in .*: a.png \(empty file\)"):
        read(tmp_path, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_names_that_are_no_text(tmp_path: Path):
    if sys.platform == "darwin":
        pytest.skip("file names are always text there")
    paint(tmp_path, "a.png")
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")
    (tmp_path / "line\nbreak.png").write_bytes(b"")
    result = read(tmp_path, tmp_path / "cache")
    assert len(result.images) == 1
    message = image_cache.unreadable_message(tmp_path, result.unreadable)
    assert "\n" not in message
    assert message.encode()


def test_many_unreadable_files_are_counted_not_listed():
    message = image_cache.unreadable_message(Path("x"), [(f"{k}.png", "empty file") for k in range(300)])
    assert message.startswith("300 unreadable file(s) in x: 0.png (empty file); 1.png")
    assert message.endswith("; and 295 more")


def test_no_room_is_said_before_decoding(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"data.cache_dir: .*no room for the 0 MB"):
        read(root, tmp_path / "cache")


def test_a_decoder_that_dies_is_named_with_its_file(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = image_cache.children.start

    def start(module, *arguments, stderr):
        code = 'import sys; sys.stdin.readline(); print(\'{"unreadable": "x"}\', flush=True); sys.exit(9)'
        monkeypatch.setattr(image_cache.children, "start", real)
        return subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    monkeypatch.setattr(image_cache.children, "start", start)
    with pytest.raises(DataError, match=r"decoder ended with code 9 at .*Klee/1.png"):
        decoded(root, find_images(root), HOW, tmp_path / "cache", workers=1)


# Processes -----------------------------------------------------------------------------------------------------------

LOAD = """
import logging, sys
from pathlib import Path
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.folder import find_images
from vae_sweep.data.image_cache import decoded
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
root = Path(sys.argv[1])
print(len(decoded(root, find_images(root), Decoding(8), Path(sys.argv[2]), workers=2).images))
"""

STUCK = """
import contextlib, threading
from vae_sweep.data import image_cache

@contextlib.contextmanager
def stuck(what, total):
    yield lambda: print("one decoded", flush=True) or threading.Event().wait()

image_cache.progress = stuck
"""


def load_in_a_process(root: Path, cache: Path, code: str = LOAD) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, str(root), str(cache)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_decode_a_cold_cache_once(root: Path, tmp_path: Path):
    processes = [load_in_a_process(root, tmp_path / "cache") for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert all(output.endswith("20\n") for output in outputs)
    assert sum("decoding 20 images" in output for output in outputs) == 1


@pytest.mark.slow
def test_killed_in_mid_decode_leaves_no_torn_cache_and_no_process(root: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    process = load_in_a_process(root, cache, STUCK + LOAD)
    assert process.stdout is not None
    assert "one decoded\n" in iter(process.stdout.readline, "")
    assert list(cache.glob("*.tmp/unordered"))
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(cache.glob("*/manifest.json"))
    wait_until(lambda: not any(is_alive(worker) for worker in workers), "the decoders to end")
    assert len(read(root, cache).images) == 20
    assert not list(cache.glob("*.tmp"))


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in listing.splitlines()) if int(parent) == pid]


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
