"""Many members: what is asked of each is asked once, and counted here rather than timed."""

from sweeping import config

from vae_sweep.runs import reading
from vae_sweep.runs.files import write_json
from vae_sweep.runs.manifest import freeze, new_manifest, take_out
from vae_sweep.runs.members import config_that_matters
from vae_sweep.runs.reading import known_manifest


def test_a_manifest_is_parsed_again_only_if_it_is_another(tmp_path, monkeypatch):
    parsed = []
    read = reading.read_record
    monkeypatch.setattr(reading, "read_record", lambda path, *kind: parsed.append(path) or read(path, *kind))
    for sweep in ("a", "b", "b", "a"):
        if not (tmp_path / sweep).exists():
            write_json(tmp_path / sweep / "sweep.json", {"schema": 1, "sweep": sweep, "members": []})
        assert known_manifest(tmp_path / sweep)["sweep"] == sweep
    assert len(parsed) == 3
    write_json(tmp_path / "a" / "sweep.json", {"schema": 1, "sweep": "c", "members": []})  # of the same length
    assert known_manifest(tmp_path / "a")["sweep"] == "c"


def test_members_taken_out_of_their_packs_leave_the_others_together():
    provenance = {"versions": {}, "git_commit": None, "hardware": {}}
    manifest = freeze(new_manifest("s", [], "", provenance), ["cpu.0"], [["a", "b", "c"], ["d"], ["e", "f"]], [1, 2, 3])
    plan = take_out(manifest, {"b", "d", "e", "f"})["plan"]
    assert plan["packs"] == [["a", "c"], ["b"], ["d"], ["e"], ["f"]]
    assert plan["threads"] == [1, 1, 2, 3, 3]


def test_what_does_not_matter_is_taken_out_of_a_copy():
    whole = config()
    before = repr(whole)
    matters = config_that_matters(whole)
    assert "launcher" not in matters
    assert "root" not in matters["data"]
    assert repr(whole) == before
