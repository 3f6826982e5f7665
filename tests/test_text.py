"""Strings of other people, in every medium: shown as they are, obeyed by nothing."""

import csv
import io
import logging
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import pytest
from synthetic_sweep import write_sweep

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report import plots, render
from vae_sweep.report.writing import build
from vae_sweep.runs.files import read_json, write_json
from vae_sweep.runs.reading import load_sweep
from vae_sweep.text import cell, inert, lines

ESC, TURNED, BYTE = "\x1b[31mred", "a\u202egnp.exe", "caf\udce9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ESC, r"\x1b[31mred"), (TURNED, r"a\u202egnp.exe"), (BYTE, r"caf\xe9"), ("a\nb\tc", r"a\x0ab\x09c"),
        ("naïve 日本 👩‍🎨 1,5", "naïve 日本 👩‍🎨 1,5"), ("\u2066x\u2069\x9b\x7f", r"\u2066x\u2069\x9b\x7f"), ("", ""),
    ],
)  # fmt: skip
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert inert(text) == shown
    inert(text).encode()
    assert inert(shown) == shown


def test_lines_stay_lines() -> None:
    assert lines(f"a\n\t{ESC}\n") == "a\n\t\\x1b[31mred\n"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-0.5", "+1e3", "1", "relu", "-inf"])
def test_numbers_and_words_are_cells_as_they_are(text: str) -> None:
    assert cell(text) == text


HOSTILE = "=cmd|$\\frac{</script><script>alert(1)</script>\x1b[2J\u202e$ `x` [y](javascript:z)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep whose strings are all hostile."""
    write_sweep(tmp_path / "s", name=HOSTILE, weights=(1.0, 0.1), image_size=8)
    for number, path in enumerate(sorted((tmp_path / "s").glob("*/result.json"))):
        record = read_json(path)
        record["config"]["model"]["activation"] = f"{HOSTILE}{number}"
        write_json(path, record)
    return tmp_path / "s"


def test_the_table_the_page_and_the_summary_of_hostile_strings(folder: Path) -> None:
    page = build([folder], figures=False).read_text()
    table = (folder / "report" / "summary.csv").read_text()
    for row in csv.reader(io.StringIO(table)):
        assert not [text for text in row if text.startswith(("=", "+", "@")) or "\x1b" in text]
    assert "'=cmd|" in table
    for text in (page, table, (folder / "report" / "summary.md").read_text()):
        assert not set(text) & set("\x1b\u202e")
    assert "<script>alert" not in page
    assert "alert(1)" in page


def test_names_are_no_mathematics_in_the_figures(folder: Path) -> None:
    study = studies.read([load_sweep(folder)])
    assert summary_csv(study, judge(study))
    figure = plots.plot_rate_distortion(study)
    assert figure is not None
    figure.axes[0].set_title(HOSTILE)
    out = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg")
    words = "".join(ET.fromstring(out.getvalue()).itertext())
    assert lines(HOSTILE) in words


def test_markdown_and_json_of_the_page_are_inert() -> None:
    assert render._md(HOSTILE).startswith("=cmd\\|$")
    assert "\x1b" not in render._md(HOSTILE)
    assert "</script>" not in render._json({"a": [HOSTILE], HOSTILE: 1})


def test_what_is_logged_is_inert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vae_sweep import run

    logger = logging.getLogger("vae_sweep")
    monkeypatch.setattr(logger, "handlers", [])
    run._speak()
    logger.warning("left out %s", ESC)
    assert capsys.readouterr().err == "left out \\x1b[31mred\n"
