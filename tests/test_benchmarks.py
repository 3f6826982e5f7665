"""The benchmarks run: every script in its smallest size; the parts that write results, on made-up figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import run
from benchmarks.figures import Table
from benchmarks.networks import small
from benchmarks.peers.bare import BareLoop
from benchmarks.peers.scores import sse_and_kl
from benchmarks.profile import PARTS, Stopwatch

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*run.NAMES, "thousands"])
def test_script_runs(name: str, tmp_path: Path) -> None:
    if name in ("sweep", "arriving"):
        pytest.importorskip("pythae")
    figures = tmp_path / "figures.json"
    options = ["--device", "cpu"] if name == "gpu" else []
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(figures), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for table in json.loads(figures.read_text()):
        assert len({tuple(row) for row in table["rows"]}) == 1  # one set of columns


def test_bare_loop_learns() -> None:
    torch.manual_seed(0)
    pixels = torch.full((40, 8, 8, 3), 200, dtype=torch.uint8)
    loop = BareLoop(small((3, 8, 8), 4), pixels, batch_size=16, total_steps=60, lr=1e-2)
    before, _ = loop.validate(pixels)
    loop.train(60)
    after, _ = loop.validate(pixels)
    assert loop.step == 60
    assert after < before / 10


def test_scores_are_means_over_images() -> None:
    """A decoder that answers mid grey, whatever the code: the squared error is known."""
    vae = small((3, 8, 8), 4)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
    sse, kl = sse_and_kl(vae, torch.stack([torch.full((3, 8, 8), 0.5), torch.zeros(3, 8, 8)]))
    assert sse == pytest.approx(0.25 * 192 / 2)
    assert kl == 0


@pytest.mark.parametrize("part", PARTS)
def test_a_profile_names_what_there_is(part: str) -> None:
    for owner, name in PARTS[part]:
        assert callable(getattr(owner, name, None)), f"{owner.__name__}.{name}"


def test_stopwatch_gives_each_part_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 6.0])  # outer begins; inner begins; inner ends; outer ends
    monkeypatch.setattr("benchmarks.profile.time.perf_counter", lambda: next(clock))

    class Work:
        def outer(self) -> None:
            self.inner()

        def inner(self) -> None: ...

    watch = Stopwatch()
    watch.wrap(Work, "outer", "outer")
    watch.wrap(Work, "inner", "inner")
    Work().outer()
    assert watch.seconds == {"outer": 4.0, "inner": 2.0}


def test_table_goes_between_its_markers() -> None:
    page = "before\n<!-- bench:sweep -->\nold\n<!-- /bench -->\nafter <!-- bench:gpu --><!-- /bench -->"
    figures = {"command": "python3 -m benchmarks.sweep", "load": [0.1, 2.0], "tables": [TABLE]}
    changed = run.put(page, "sweep", run.markdown(figures))
    assert "old" not in changed
    assert "| 1,234 | 0.123 | x |" in changed
    assert changed.endswith("<!-- bench:gpu --><!-- /bench -->")
    assert run.put(changed, "sweep", run.markdown(figures)) == changed


TABLE = {"title": "t", "rows": [{"a": 1234.5, "b": 0.12345, "c": "x"}], "notes": []}


def test_figures_are_shown_with_three_digits_that_count() -> None:
    assert Table(**TABLE).markdown().splitlines()[-1] == "| 1,234 | 0.123 | x |"  # type: ignore[arg-type]


def test_machine_is_described_and_not_named() -> None:
    import socket

    assert "core" in run.machine()
    assert socket.gethostname() not in run.machine()
