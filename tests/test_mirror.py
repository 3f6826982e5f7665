"""A run folder on one machine, kept alike on another, whichever of them dies when."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer

from vae_sweep.runs import files
from vae_sweep.runs.files import append_row, truncate_rows, write_bytes, write_json
from vae_sweep.runs.mirror import Change, Mirror, take

RUNS = ("000-a", "001-b")


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "fsync", lambda handle: None)
        yield


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Pack:
    """Two members that train, write checkpoints and are stopped and continued, as training/ does."""

    def __init__(self, root):
        self.root, self.step, self.saved = root, 0, 0

    def train(self):
        self.step += 1
        for run in RUNS:
            (self.root / run).mkdir(parents=True, exist_ok=True)
            append_row(self.root / run / "metrics.jsonl", {"step": self.step, "loss": 1 / self.step})

    def save(self):
        for run in RUNS:
            last = self.root / run / "checkpoints" / "last.ckpt"
            if last.exists():
                last.rename(last.with_name("previous.ckpt"))
            write_bytes(last, json.dumps(self.step).encode())
        self.saved = self.step

    def go_on(self):
        """From the last checkpoint, as another process."""
        self.step = self.saved
        for run in RUNS:
            truncate_rows(self.root / run / "metrics.jsonl", self.step)

    def end(self):
        self.save()
        for run in RUNS:
            write_json(self.root / run / "result.json", {"status": "done", "steps": self.step})


def common_step(root):
    """The latest that both members have a checkpoint of, 0 if there is none."""
    steps = [{int(path.read_bytes()) for path in (root / run).glob("checkpoints/*.ckpt")} for run in RUNS]
    return max(set.intersection(*steps), default=0)


@fewer
@given(
    st.lists(st.sampled_from(["train", "train", "save", "go_on", "look"]), min_size=3, max_size=15),
    st.integers(0, 100),
)
def test_whatever_has_arrived_is_a_run_that_goes_on(tmp_path_factory, moments, cut):
    root = tmp_path_factory.mktemp("m")
    there, here = root / "there", root / "here"
    pack, mirror = Pack(there), Mirror(there, RUNS)
    sent: list[Change] = []
    saved = 0  # by the last look
    for moment in [*moments, "end", "look"]:
        if moment != "look":
            getattr(pack, moment)()
            continue
        changes = mirror.changes()
        partly = changes[: len(changes) * cut // 100]
        take(here, partly)  # and dies
        for run in RUNS:
            rows = [json.loads(row)["step"] for row in (here / run / "metrics.jsonl").read_text().splitlines()] if (
                here / run / "metrics.jsonl").exists() else []  # fmt: skip
            assert rows[: common_step(here)] == list(range(1, common_step(here) + 1))
            if (here / run / "result.json").exists():
                assert common_step(here) == json.loads((here / run / "result.json").read_bytes())["steps"]
        assert common_step(here) >= saved
        take(here, changes[len(partly) :])
        saved = pack.saved
        sent += changes
        assert tree(here) == tree(there)
    rows = there / RUNS[0] / "metrics.jsonl"
    if "go_on" not in moments:  # what only grows is sent once
        path = f"{RUNS[0]}/metrics.jsonl"
        assert sum(len(change.data) for change in sent if change.path == path) == (
            rows.stat().st_size if rows.exists() else 0
        )


def test_what_is_being_written_is_left_out_and_what_is_gone_goes(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    write_bytes(there / "run" / "checkpoints" / "best.ckpt", b"best")
    write_bytes(there / "run" / "checkpoints" / "last.incoming", b"half")
    write_bytes(there / "run" / ".result.json.0a.tmp", b"half")
    write_bytes(there / "logs" / "pack.log", b"words")
    write_bytes(there / "logs" / "other.log", b"words")
    (there / "run" / "link").symlink_to("checkpoints")
    mirror = Mirror(there, ["run", "logs/pack.log", "missing"])
    take(here, mirror.changes())
    assert sorted(tree(here)) == ["logs/pack.log", "run/checkpoints/best.ckpt"]
    assert mirror.changes() == []
    (there / "run" / "checkpoints" / "best.ckpt").unlink()
    take(here, mirror.changes())
    assert sorted(tree(here)) == ["logs/pack.log"]


def test_checkpoints_that_do_not_stand_still_wait_for_the_next_look(tmp_path, monkeypatch):
    pack, mirror = Pack(tmp_path / "there"), Mirror(tmp_path / "there", RUNS)
    pack.train()
    pack.save()
    change = Mirror._change

    def saving_meanwhile(self, path):
        found = change(self, path)
        pack.train()
        pack.save()
        return found

    monkeypatch.setattr(Mirror, "_change", saving_meanwhile)
    changes = mirror.changes()
    assert [found for found in changes if "checkpoints" in found.path] == []
    take(tmp_path / "here", changes)
    monkeypatch.setattr(Mirror, "_change", change)
    take(tmp_path / "here", mirror.changes())
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


def test_a_file_that_is_gone_here_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        take(tmp_path, [Change("run/metrics.jsonl", 10, b"{}")])
