"""Files that were damaged on a disk: mended where nothing is lost, else one line that names the file."""

import os
import shutil
import weakref
from pathlib import Path

import damage
import numpy as np
import pytest
import torch

import vae_sweep
from vae_sweep.analysis import study
from vae_sweep.data.cache import cached_folder
from vae_sweep.data.decoding import Decoding
from vae_sweep.data.folder import find_images
from vae_sweep.data.image_cache import decoded
from vae_sweep.data.image_data import DataError
from vae_sweep.runs import outcomes
from vae_sweep.runs.files import RecordError, read_json, write_arrays
from vae_sweep.runs.folder import write_manifest
from vae_sweep.runs.reading import latest_sweep, load_sweep, read_manifest, rows_checksum
from vae_sweep.runs.records import Damaged, read_arrays, read_record, write_record
from vae_sweep.runs.schema import Evaluation, Manifest, Result
from vae_sweep.runs.writing import error_record
from vae_sweep.training import checkpoints
from vae_sweep.training.checkpoints import LAST, PREVIOUS, common_checkpoints, load_checkpoint, save_checkpoints

KEPT = Path(__file__).parent / "older_sweep"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep that was trained, with its records as they are written today."""
    sweep = tmp_path / "old"
    shutil.copytree(KEPT / "sweep", sweep)
    for path in sweep.rglob("*.json"):
        write_record(path, read_json(path))
    return sweep


def flips(content: bytes, count: int) -> list[bytes]:
    """`content` with one bit flipped, at so many places."""
    rng = np.random.default_rng(0)
    found = []
    for bit in rng.integers(0, 8 * len(content), count):
        other = bytearray(content)
        other[bit // 8] ^= 1 << (bit % 8)
        found.append(bytes(other))
    return found


RECORDS = {"sweep.json": Manifest, "0/result.json": Result, "0/evaluation.json": Evaluation}


@pytest.mark.parametrize("name", RECORDS)
def test_no_flipped_bit_of_a_record_is_read_as_another_record(name: str, folder: Path) -> None:
    path = folder / name.replace("0/", f"{load_sweep(folder).runs[0].folder.name}/")
    kind, content = RECORDS[name], path.read_bytes()
    whole = read_record(path, kind)
    seen = 0
    for other in flips(content, 40):
        path.write_bytes(other)
        try:
            assert read_record(path, kind) == whole  # white space
        except RecordError:
            seen += 1
    assert seen > 30


def test_a_checksum_holds_whatever_wrote_the_same_content_and_records_without_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_record(path, {"val": {"sse": 0.1, "kl": float("nan"), "n": np.int64(3)}, "step": 1})
    found = read_record(path, Evaluation)
    assert found == {"val": {"sse": 0.1, "kl": None, "n": 3}, "step": 1}
    text = path.read_text()
    path.write_text(text.replace("\n", "").replace(" ", ""))
    assert read_record(path, Evaluation) == found
    path.write_text('{"val": {}}')
    assert read_record(path, Evaluation) == {"val": {}}


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "3", '{"id": 3, "status": "done"}', '{"id": "a", "status": "?"}', "\x00\xff", "["]
)
def test_a_record_of_other_types_is_named(text: str, folder: Path) -> None:
    broken, fine, _ = load_sweep(folder).runs
    (broken.folder / "result.json").write_text(text)
    runs = vae_sweep.load(folder)
    assert list(runs["status"])[1:] == ["done", "interrupted"] or "failed" in list(runs["status"])
    found = load_sweep(folder)
    assert (found.runs[0].status, found.runs[1].metrics) == ("failed", fine.metrics)
    assert str(broken.folder / "result.json") in found.runs[0].error["message"]
    assert outcomes.standing(broken.folder) == {}  # as if it had not begun: its checkpoint is taken up
    outcomes.repair(broken.folder)
    assert (broken.folder / "result.json.damaged").exists()
    outcomes.repair(fine.folder)
    assert outcomes.standing(fine.folder)["status"] == "done"


@pytest.mark.parametrize("how", damage.DAMAGES)
def test_a_manifest_is_read_from_its_copy(how: str, folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, manifest)
    damage.DAMAGES[how](folder / "sweep.json")
    if how == "newer schema":
        with pytest.raises(RecordError, match=r"newer version.*schema 99"):
            read_manifest(folder)
        return
    assert read_manifest(folder) == manifest
    assert how == "missing" or latest_sweep(folder.parent) == folder
    write_manifest(folder, manifest)  # in the place of whatever is there
    assert read_record(folder / "sweep.json", Manifest)["members"] == manifest["members"]


@pytest.mark.parametrize("how", [how for how in damage.DAMAGES if how not in ("missing", "newer schema")])
@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.npz", "metrics.jsonl"])
def test_what_was_measured_is_missing_and_said(how: str, name: str, folder: Path) -> None:
    run = load_sweep(folder).runs[0]
    result = read_json(run.folder / "result.json")
    result.pop("crc32")
    write_record(run.folder / "result.json", {**result, "rows_crc32": rows_checksum(run.folder / "metrics.jsonl")})
    damage.DAMAGES[how](run.folder / name)
    found = next(p for p in study.read([load_sweep(folder)]).points if p.id == run.id)
    assert (found.rows, found.arrays())[name == "evaluation.npz"] == ({} if "npz" in name else []) or "json" in name
    assert any(name in problem and str(run.folder) in problem for problem in found.problems)
    others = [p for p in study.read([load_sweep(folder)]).points if p.id != run.id]
    assert not [problem for p in others for problem in p.problems]


def checkpoint(step: int) -> dict:
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
    return {"schema": 1, "step": step, "state_dict": {"w": weights}, "hyper_parameters": {}}


def test_no_flipped_bit_of_a_checkpoint_gives_other_weights(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(1), path)
    content, seen = path.read_bytes(), 0
    for other in flips(content, 200):
        path.write_bytes(other)
        try:
            found = load_checkpoint(path)
        except RecordError:
            seen += 1
        else:
            torch.testing.assert_close(found["state_dict"], checkpoint(1)["state_dict"], rtol=0, atol=0)
    assert seen > 50


@pytest.mark.parametrize("how", [how for how in damage.DAMAGES if how != "newer schema"])
@pytest.mark.parametrize(("name", "left"), [(LAST, 1), (PREVIOUS, 2)])
def test_training_goes_on_from_the_checkpoint_that_is_whole(how: str, name: Path, left: int, tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoints([(tmp_path, checkpoint(step))])
    damage.DAMAGES[how](tmp_path / name)
    said: list[str] = []
    found = common_checkpoints([tmp_path], say=said.append)
    assert found is not None
    assert found[0]["step"] == left
    assert how == "missing" or f"{name.name}.damaged" in os.listdir(tmp_path / "checkpoints")
    assert how == "missing" or said[0].endswith(f"; set aside as {name.name}.damaged")
    save_checkpoints([(tmp_path, checkpoint(3))])
    assert load_checkpoint(tmp_path / LAST)["step"] == 3


def test_of_a_pack_s_checkpoints_only_those_it_goes_on_from_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in "abcd"]
    for step in (1, 2):
        save_checkpoints([(folder, checkpoint(step)) for folder in folders])
    read: list[weakref.ref] = []
    held: list[int] = []  # at every reading

    def load(path: Path) -> dict:
        found = load_checkpoint(path)
        read.append(weakref.ref(found["state_dict"]["w"]))
        held.append(sum(weights() is not None for weights in read))
        return found

    monkeypatch.setattr(checkpoints, "load_checkpoint", load)
    assert checkpoints.began_without_start(folders)  # its network has no frame
    assert held == [1]
    found = common_checkpoints(folders, lambda _, one: one["step"] == 1)
    assert [one["step"] for one in found] == [1] * 4
    assert held == [1] + [1] * 8 + [1, 2, 3, 4]


def test_a_pickle_is_never_opened_and_gets_our_line(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "done"), "w"))

    torch.save({**checkpoint(1), "evil": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(Damaged, match="is no checkpoint of vae-sweep") as refused:
        load_checkpoint(tmp_path / "last.ckpt")
    np.save(tmp_path / "x.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.array([Evil()], dtype=object))
    with pytest.raises(Damaged, match=r"x\.npz"):
        read_arrays(tmp_path / "x.npz")
    assert not (tmp_path / "done").exists()
    assert "weights_only" not in str(refused.value)


def test_no_flipped_bit_of_arrays_gives_other_numbers(tmp_path: Path) -> None:
    path, arrays = tmp_path / "a.npz", {"a": np.arange(900.0), "b": np.zeros((3, 4), np.uint8)}
    write_arrays(path, arrays)
    seen = 0
    for other in flips(path.read_bytes(), 100):
        path.write_bytes(other)
        try:
            found = read_arrays(path)
        except Damaged:
            seen += 1
        else:
            assert all(np.array_equal(found[name], arrays[name]) for name in found)
    assert seen > 50


@pytest.mark.parametrize("how", [how for how in damage.DAMAGES if how != "newer schema"])
@pytest.mark.parametrize("name", ["images.npy", "notes.json", "manifest.json"])
def test_a_damaged_cache_is_made_again(name: str, how: str, tmp_path: Path) -> None:
    made = []

    def build(folder: Path) -> None:
        made.append(folder)
        np.save(folder / "images.npy", np.arange(3000))
        (folder / "notes.json").write_text("[1, 2, 3, 4]")

    folder = cached_folder(tmp_path, {"a": 1}, "numbers", build)
    assert cached_folder(tmp_path, {"a": 1}, "numbers", build) == folder
    damage.DAMAGES[how](folder / name)
    assert cached_folder(tmp_path, {"a": 1}, "numbers", build) == folder
    assert len(made) == 2
    assert np.array_equal(np.load(folder / "images.npy"), np.arange(3000))


def test_an_older_cache_has_no_checksums_and_its_damage_is_named(tmp_path: Path) -> None:
    how, root = Decoding(8, 1), KEPT / "pictures"
    files = find_images(root)[:3]
    decoded(root, files, how, tmp_path / "cache", workers=1)
    manifest = next((tmp_path / "cache").glob("*/manifest.json"))
    found = read_json(manifest)
    write_record(manifest, {key: found[key] for key in ("schema", "key", "files")})
    rows = manifest.with_name("rows.npy")
    rows.write_bytes(b"x" * rows.stat().st_size)
    with pytest.raises(DataError, match=r"rows\.npy is damaged"):
        decoded(root, files, how, tmp_path / "cache", workers=1)


def test_where_a_file_is_to_blame_no_code_is_shown(tmp_path: Path) -> None:
    save_checkpoints([(tmp_path, {**checkpoint(1), "schema": 99})])
    with pytest.raises(RecordError) as refused:
        common_checkpoints([tmp_path])
    record = error_record(refused.value)
    assert (record["type"], record["traceback"]) == ("RecordError", "")
    assert str(tmp_path / LAST) in record["message"]
    assert "test_damage.py" in error_record(ZeroDivisionError().with_traceback(refused.tb))["traceback"]


@pytest.mark.slow
def test_the_whole_matrix(tmp_path: Path) -> None:
    cells, wrong = damage.whole_matrix(tmp_path)
    assert not wrong, "\n".join(wrong)
    assert len(cells) >= 400
