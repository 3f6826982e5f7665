"""Run folders: atomic writes, tolerant reads."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from vae_sweep.runs.files import RecordError, append_row, read_json, read_rows, truncate_rows, write_bytes, write_json
from vae_sweep.runs.reading import latest_sweep, load_sweep


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"status": "running"})

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"status": "done"})
    assert read_json(path) == {"status": "running"}
    assert os.listdir(tmp_path) == ["result.json"]


def test_files_have_the_permissions_of_ordinary_files(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "theirs").write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "theirs")}
    assert len(modes) == 1


def test_json_is_strict_and_numpy_becomes_plain(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": np.float32(0.5), "b": [np.int64(2), float("nan")], "c": np.arange(2)})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": 0.5, "b": [2, None], "c": [0, 1]}


def test_a_row_after_a_torn_one_has_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for step in (1, 2):
        append_row(path, {"step": step})
    path.write_bytes(path.read_bytes()[:-4])
    append_row(path, {"step": 3})
    assert [row["step"] for row in read_rows(path)] == [1, 3]


def test_torn_last_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        append_row(path, {"step": step, "train/loss": float("inf")})
    path.write_bytes(path.read_bytes() + b'{"step": 3, "trai')
    assert read_rows(path) == [{"step": 1, "train/loss": None}, {"step": 2, "train/loss": None}]
    truncate_rows(path, 1)
    assert path.read_text() == '{"step": 1, "train/loss": null}\n'


def test_sweep_knows_members_that_have_not_begun(tmp_path: Path) -> None:
    members = [{"id": name, "number": number, "folder": name, "overrides": []} for number, name in enumerate("ab")]
    write_json(tmp_path / "s" / "sweep.json", {"created": "2", "members": members[::-1]})
    write_json(tmp_path / "s" / "a" / "result.json", {"id": "a", "number": 0, "status": "done"})
    write_json(tmp_path / "older" / "sweep.json", {"created": "1", "members": []})
    sweep = load_sweep(latest_sweep(tmp_path))
    assert [(run.id, run.status) for run in sweep.runs] == [("a", "done"), ("b", "queued")]
    assert sweep.runs[1].rows() == []
    assert sweep.runs[1].evaluation() == {} == sweep.runs[1].arrays()


def test_what_is_no_sweep_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=str(tmp_path)):
        load_sweep(tmp_path)
    with pytest.raises(RecordError, match="no sweep below"):
        latest_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(RecordError, match="not valid JSON"):
        load_sweep(tmp_path)


def test_unreadable_result_is_a_failed_run(tmp_path: Path) -> None:
    members = [{"id": name, "number": number, "folder": name, "overrides": []} for number, name in enumerate("ab")]
    write_json(tmp_path / "sweep.json", {"members": members})
    for name in "ab":
        write_json(tmp_path / name / "result.json", {"id": name, "status": "done"})
    (tmp_path / "b" / "result.json").write_text('{"id": "b", "sta')
    first, second = load_sweep(tmp_path).runs
    assert first.status == "done"
    assert (second.id, second.status) == ("b", "failed")
    assert "result.json" in second.error["message"]
