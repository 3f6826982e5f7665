"""The door and the files: what it writes, what it refuses, and that it stays light."""

import json
import re
import subprocess
import sys
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from marks import slow
from PIL import Image
from synthetic_sweep import write_sweep

from vae_sweep import report
from vae_sweep.analysis import glossary, latents, study
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report import palette, payload, plots, render, sprites
from vae_sweep.report.__main__ import main
from vae_sweep.report.shown import shown
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import load_sweep

HOSTILE = "<script>alert('x')</script>|\"&"


class Text(HTMLParser):
    """Visible text, tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.scripts = 0
        self.addresses: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._inside.append(tag)
        self.scripts += tag == "script"
        self.addresses += [value for key, value in attrs if key in ("src", "href", "action", "data") and value]

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not self._inside or self._inside[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def build(folder: Path, **options) -> str:
    return report.build([folder], figures=False, **options).read_text()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("outputs") / "one")


def test_the_page_is_one_file_that_asks_for_nothing(sweep):
    page = build(sweep)
    addresses = Text(page).addresses
    assert all(
        a.startswith("#") or a in ("data:,", "answer.json", "summary.csv", "summary.md", "figures/") for a in addresses
    )
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_everything_is_written_beside_it(sweep, monkeypatch):
    monkeypatch.setattr(plots, "PLOTS", {"rate_distortion": plots.PLOTS["rate_distortion"]})  # test_plots has them all
    index = report.build([sweep])
    names = {path.relative_to(index.parent).as_posix() for path in index.parent.rglob("*")}
    assert {
        "index.html",
        "summary.csv",
        "summary.md",
        "figures/rate_distortion.png",
        "figures/rate_distortion.svg",
    } <= names


@pytest.mark.slow
def test_the_door_loads_neither_torch_nor_matplotlib(sweep, tmp_path):
    code = (
        "import sys; from vae_sweep.report.__main__ import main; "
        f"assert main([{str(sweep)!r}, '--no-figures', '--out', {str(tmp_path)!r}]) == 0; "
        "heavy = {'torch', 'lightning', 'pytorch_lightning', 'wandb', 'hydra', 'pandas', 'matplotlib'}; "
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_figures_do_not_load_torch(sweep):
    code = (
        "import sys; from pathlib import Path; from vae_sweep.report import plots; "
        "from vae_sweep.analysis import study; from vae_sweep.runs.reading import load_sweep; "
        f"plots.plot_gaps(study.read([load_sweep(Path({str(sweep)!r}))])); "
        "print({'torch', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_user_s_strings_are_text(tmp_path):
    folder = write_sweep(tmp_path / "s", name=HOSTILE, failed=(0,), error_message=HOSTILE)
    clean = Text(build(write_sweep(tmp_path / "clean", failed=(0,))))
    index = report.build([folder], figures=False)
    hostile = Text(index.read_text())
    assert hostile.scripts == clean.scripts
    assert "<script>alert('x')</script>|\"&" in hostile.text
    summary = (index.parent / "summary.md").read_text()
    assert "<script>" not in summary.replace("\\<script\\>", "")


def test_a_run_s_label_is_text_in_the_page_s_data_too(tmp_path):
    folder = write_sweep(tmp_path / "s", seeds=(0,))
    for result in folder.glob("*/result.json"):
        value = json.loads(result.read_text())
        value["config"]["note"] = f"</script><script>{value['number']}"
        result.write_text(json.dumps(value))
    page = build(folder)
    assert Text(page).scripts == Text(build(write_sweep(tmp_path / "clean"))).scripts
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    labels = [run["label"] for run in json.loads(data[1])["runs"]]
    assert all("</script><script>" in label for label in labels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": (), "autoencoder": False}, "Nothing has been trained yet."),
        ({"weights": (0.5,), "autoencoder": False}, "Only KL weight 0.5 has finished."),
        ({"failed": (0, 1, 2, 3)}, "All 4 runs failed."),
        ({"running": (0,), "torn": (0, 1)}, "3 finished"),
        ({"without_evaluation": (0, 1, 2, 3)}, "No picture"),
        ({"without_result": (0, 1)}, "2 queued"),
        ({"channels": 1}, "held out"),
    ],
)
def test_whatever_a_sweep_lacks_the_report_is_built_and_says_so(tmp_path, options, said):
    text = Text(build(write_sweep(tmp_path / "s", **options))).text
    if said != "No picture":  # said by the page's script: tests of the browser
        assert said in text


def test_unreadable_files_are_named_and_do_not_stop_the_report(tmp_path):
    folder = write_sweep(tmp_path / "s")
    runs = sorted(folder.glob("00*"))
    (runs[0] / "evaluation.npz").write_bytes(b"PK\x03\x04 torn")
    (runs[1] / "evaluation.json").write_text('{"train": ')
    (runs[2] / "metrics.jsonl").write_bytes(b"\xff\xfe\x00 not json\n")
    text = Text(build(folder)).text
    assert f"kl_weight 1: {runs[0]}/evaluation.npz is damaged: " in text
    assert f"kl_weight 0.5: {runs[1]}/evaluation.json is damaged: it is not valid JSON" in text


def test_failures_are_shown_with_their_traceback(tmp_path):
    text = Text(build(write_sweep(tmp_path / "s", failed=(1,)))).text
    assert "FloatingPointError: loss is not finite at step 120" in text
    assert "Traceback (most recent call last):" in text


def test_samples_are_judged_on_the_page(sweep):
    """The synthetic sweep's blur rises with the weight and its holes fall: no weight does both, the fitted one does."""
    page = build(sweep)
    assert "Draws of the prior are nearest to held-out pictures at" in page
    assert "closes the holes" in page
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    curve = data["sampling"]["curves"][0]["sets"]["random_conv"]
    assert [row[0] for row in curve["blur"]] == sorted((row[0] for row in curve["blur"]), reverse=True)
    assert [row[1] for row in curve["blur"]] == sorted((row[1] for row in curve["blur"]), reverse=True)
    assert [row[1] for row in curve["holes"]] == sorted(row[1] for row in curve["holes"])


def test_provenance_is_on_the_page(sweep):
    text = Text(build(sweep)).text
    for part in ("0123456789abcdef", "feedc0de", "python -m vae_sweep.run -m loss.kl_weight=1,0.5,0.1", "torch 2.0"):
        assert part in text


def test_several_sweeps_share_a_report(tmp_path):
    first, second = write_sweep(tmp_path / "a"), write_sweep(tmp_path / "b", weights=(0.03,), autoencoder=False)
    index = report.build([first, second], figures=False)
    assert index == tmp_path / "report-a+b" / "index.html"
    assert "5 runs" in Text(index.read_text()).text


def test_the_door_takes_the_latest_sweep_and_opens_it(tmp_path, monkeypatch, capsys):
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    folder = write_sweep(tmp_path / "outputs" / "only")
    assert main(["--outputs", str(tmp_path / "outputs"), "--open", "--no-figures"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(folder / "report" / "index.html")
    assert opened == [(folder / "report" / "index.html").as_uri()]


@pytest.mark.parametrize("arguments", [["missing"], ["--outputs", "nowhere"]])
def test_the_door_refuses_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert arguments[-1] in error


def test_watching_builds_again_until_every_run_has_ended(tmp_path, monkeypatch, capsys):
    folder = write_sweep(tmp_path / "s", running=(1,))
    pages: list[str] = []

    def wait(_: float) -> None:
        pages.append((folder / "report" / "index.html").read_text())
        if len(pages) == 2:  # nothing changed in between: not built again
            result = next(folder.glob("001-*")) / "result.json"
            result.write_text(result.read_text().replace('"running"', '"done"'))
        assert len(pages) < 4

    monkeypatch.setattr(report.writing.time, "sleep", wait)
    assert main([str(folder), "--watch", "--no-figures"]) == 0
    assert capsys.readouterr().out.count("index.html") == 2
    assert 'data-refresh="5.0"' in pages[0]
    assert "data-refresh" not in (folder / "report" / "index.html").read_text()


@pytest.mark.parametrize("named", [True, *slow(False)])
def test_watching_waits_for_a_sweep_that_is_coming(named, tmp_path, monkeypatch, capsys):
    folder, pages = tmp_path / "outputs" / "s", []

    def wait(_: float) -> None:
        pages.append(capsys.readouterr())
        assert len(pages) < 3
        if len(pages) == 2:
            write_sweep(folder)

    monkeypatch.setattr(report.writing.time, "sleep", wait)
    arguments = [str(folder)] if named else ["--outputs", str(folder.parent)]
    assert main([*arguments, "--watch", "--no-figures"]) == 0
    assert str(folder if named else folder.parent) in pages[0].err
    assert pages[0].err.startswith("waiting for ")
    assert pages[1].err == ""  # said once
    assert "index.html" in capsys.readouterr().out


def test_a_sweep_of_other_data_is_refused(tmp_path):
    first, second = write_sweep(tmp_path / "a"), write_sweep(tmp_path / "b")
    manifest = second / "sweep.json"
    manifest.write_text(manifest.read_text().replace("feedc0de", "deadbeef"))
    with pytest.raises(RecordError, match="different data"):
        report.build([first, second])


# --- pictures and colours --------------------------------------------------------------------------------------------


def decode(sheet: dict) -> np.ndarray:
    import base64
    import io

    raw = base64.b64decode(sheet["uri"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def test_lossless_sheets_give_back_every_pixel():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 6, 3), dtype=np.uint8)
    found = sprites.encode(images, lossless=True)
    assert (found["rows"], found["columns"], found["tile"]) == (2, 3, [6, 8])
    pixels = decode(found)
    assert (pixels[8:16, 12:18] == images[1, 2]).all()


@pytest.mark.parametrize(
    ("rows", "columns"), [(2500, 3), (3, 5000), *slow((5000, 40))], ids=["many weights", "many images", "many of both"]
)
def test_a_sheet_that_is_longer_than_a_webp_can_be_goes_on_beside_itself(rows, columns):
    images = np.random.default_rng(0).integers(0, 256, (rows, columns, 8, 4, 1), dtype=np.uint8)
    found = sprites.encode(images, lossless=True)
    pixels, places = decode(found)[..., 0], np.arange(rows * columns)
    assert max(pixels.shape) <= 16_383
    assert (found["rows"], found["columns"]) == (rows, columns)
    y, x = places // found["across"] * 8, places % found["across"] * 4
    tiles = pixels[y[:, None, None] + np.arange(8)[:, None], x[:, None, None] + np.arange(4)]
    assert (tiles == images.reshape(-1, 8, 4)).all()


def test_shrunken_tiles_do_not_mix():
    images = np.zeros((1, 2, 8, 8, 1), np.uint8)
    images[0, 1] = 255
    pixels = decode(sprites.encode(images, lossless=True, shrink=4))
    assert pixels.shape == (2, 4, 3)
    assert (pixels[:, :2] == 0).all()
    assert (pixels[:, 2:] == 255).all()


@pytest.mark.parametrize(
    ("tile", "tiles", "others"), [(64, 100, 500), (64, 9600, 50_000), (256, 9600, 50_000), (37, 10**6, 10**6)]
)
def test_the_page_s_pixels_stay_within_bounds(tile, tiles, others):
    detail = sprites.choose_detail((tile, tile), tiles, others)
    pixels = tile**2 * (tiles / detail.shrink**2 + others / detail.side_shrink**2)
    assert tile % detail.shrink == tile % detail.side_shrink == 0
    assert detail.lossless == (pixels <= sprites.LOSSLESS_PIXELS and detail.shrink == 1)
    assert pixels <= sprites.MOST_PIXELS or tile == 37  # a prime cannot be shrunk by whole factors
    assert detail.shrink <= detail.side_shrink


def luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(("theme", "paper"), [("light", "#fbfaf8"), ("dark", "#151517")])
def test_weights_have_colours_in_order_that_stand_out(theme, paper):
    colours = [palette.colour(p, theme) for p in np.linspace(0, 1, 21)]
    values = [luminance(c) for c in colours]
    assert values == sorted(values)
    low, high = sorted([luminance(paper), min(values, key=lambda v: abs(v - luminance(paper)))])
    assert (high + 0.05) / (low + 0.05) >= 3


def test_colours_follow_the_logarithm_of_the_weight():
    assert palette.weight_positions([10.0, 1.0, 0.1]) == pytest.approx([0, 0.5, 1])
    assert palette.weight_positions([0.5]) == [0.5]


# --- glossary --------------------------------------------------------------------------------------------------------


def test_every_metric_of_a_run_is_in_the_glossary(sweep):
    points = study.read([load_sweep(sweep)]).points
    names = {name for point in points for split in ("train", "val") for name in point.metric_names(split)}
    assert names <= glossary.keys()


def test_columns_and_charts_of_the_glossary_are_metrics_that_it_explains():
    assert {name.partition("/")[2] for name in glossary.columns()} | set(glossary.charts()) <= glossary.keys()


def test_an_entry_of_the_glossary_is_all_that_a_column_and_a_chart_need(sweep, monkeypatch):
    entry = glossary.Entry("mse", "per pixel", "", "", "", ("train/mse", "val/mse"), "error of a pixel, squared")
    monkeypatch.setattr(glossary, "load", lambda: [glossary.Group("all", "", [entry])])
    page = build(sweep)
    heads = re.findall(r"<th[^>]*>(.*?)</th>", page, re.DOTALL)
    assert sum(re.sub("<.*?>", "", head).strip() in ("train mse", "val mse") for head in heads) == 2
    assert (
        '"charts": {"mse": "error of a pixel, squared"}' in page
        or '"charts":{"mse":"error of a pixel, squared"}' in page
    )


def test_the_metrics_page_of_the_docs_is_the_glossary():
    page = Path(__file__).parents[1] / "docs" / "metrics.md"
    assert page.read_text() == glossary.markdown(), "python3 -m vae_sweep.analysis.glossary > docs/metrics.md"


def test_of_a_large_sweep_the_recommended_curve_and_runs_at_even_distances_are_shown(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path / "s", weights=(3.0, 1.0, 0.3, 0.1, 0.03), latent_dims=(64, 4))
    read = study.read([load_sweep(folder)])
    found = recommend(read, judge(read))
    curve = {point.id for spot in found.curve for point in spot.points}
    anchors = {point.id for point in read.points if point.autoencoder}
    assert shown(read, found) == {point.id for point in read.points}
    few = shown(read, found, len(curve | anchors) + 2)
    assert len(few) == len(curve | anchors) + 2
    assert few > curve | anchors
    monkeypatch.setattr("vae_sweep.report.payload.shown", lambda *given: few)
    page = report.build([folder], figures=False).read_text()
    assert f"codes of {len(few)} of the {len(read.points)} runs are on this" in page
    assert set(re.findall(r'class="sheets" data-run="([^"]+)"', page)) == few
    assert all(f'"id":"{point.id}"' in page for point in read.points), "the others are in the table all the same"
    monkeypatch.setattr("vae_sweep.report.plots.shown", lambda *given: few)
    *_, weight = plots.plot_curves(read, found).axes
    assert len(weight.lines) == len(few - anchors)


def test_the_plane_of_a_run_s_codes_is_found_once(sweep, monkeypatch):
    project, asked = latents.project, []
    monkeypatch.setattr(latents, "project", lambda mean, std: asked.append(mean) or project(mean, std))
    read = study.read([load_sweep(sweep)])
    verdicts = judge(read)
    found = recommend(read, verdicts)
    assert plots.plot_posterior(read, found) is not None
    data = payload.build(read, verdicts, survey(read), found).data
    assert len(asked) == sum("cloud" in of_run for of_run in data["latents"].values())


NAMED_BY_DATA = {"curves", "charts", "cells", "sets", "sees", "common", "own"}  # by runs, settings and metrics


def keys(value: object) -> set[str]:
    """All names in nested data that are ours."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(inner) for name, inner in value.items() if name not in NAMED_BY_DATA))


def test_the_page_carries_nothing_that_no_script_reads(tmp_path):
    read = study.read([load_sweep(write_sweep(tmp_path / "s", latent_dims=(4, 8), running=(1,), multi_rate=0.02))])
    verdicts = judge(read)
    data = payload.build(read, verdicts, survey(read), recommend(read, verdicts)).data
    data["latents"] = list(data["latents"].values())
    assert keys(data) - set(re.findall(r"\w+", render.script())) == set()


def test_every_section_is_reached_from_the_top(sweep):
    page = build(sweep)
    sections = set(re.findall(r'<section id="([a-z]+)"', page))
    named = set(re.findall(r'href="#([a-z]+)"', page.partition("<nav")[2].partition("</nav>")[0]))
    assert named <= sections
    assert sections - named == {"provenance"}


def test_a_run_that_trains_stands_in_the_unit_of_those_that_ended(tmp_path):
    """Bernoulli pixels: its squared error is another quantity than the nats that are the distortion there."""
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1), running=(0,), autoencoder=False)
    for run in folder.glob("00*"):
        result = json.loads((run / "result.json").read_text())
        result["config"]["loss"]["recon"] = "bernoulli"
        (run / "result.json").write_text(json.dumps(result))
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rows = [row | {key: 500 + row[key] for key in row if key.endswith("/recon")} for row in rows]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = study.read([load_sweep(folder)])
    [running] = [p for p in found.points if p.status == "running"]
    [shown] = payload.build(found, judge(found), survey(found), recommend(found, judge(found))).data["planes"]["train"][
        "provisional"
    ]
    last = [row for row in running.rows if "train/recon" in row][-1]
    assert [shown["rate"], shown["distortion"]] == pytest.approx([last["train/kl"], last["train/recon"]], rel=1e-3)
    assert min(distortion for _, distortion in shown["trail"]) > 500


def test_the_axes_name_the_unit_of_what_is_drawn(tmp_path):
    """Of Gaussian pixels what is minimised is in nats, and the distortion is squared error."""
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1), autoencoder=False)

    def named() -> tuple[str, str]:
        found = study.read([load_sweep(folder)])
        return found.error_name, payload.charts(found)["recon"]

    assert named() == ("squared error", "reconstruction: squared error")
    for recon, runs, names in (
        ("gaussian", "00*", ("squared error", "reconstruction term")),
        ("bernoulli", "000*", ("error, each curve in its own unit,", "reconstruction term")),
        ("bernoulli", "001*", ("reconstruction term, nats", "reconstruction term")),
    ):
        for path in folder.glob(f"{runs}/result.json"):
            result = json.loads(path.read_text())
            result["config"]["loss"]["recon"] = recon
            path.write_text(json.dumps(result))
        assert named() == names
    found = study.read([load_sweep(folder)])
    runs = payload.build(found, judge(found), survey(found), recommend(found, judge(found))).data["runs"]
    for point, run in zip(found.points, runs, strict=True):  # what stands below the slider is what the axis shows
        assert (run["error"], run["val"]["distortion"]) == (
            found.error_name,
            pytest.approx(point.get("val", "recon"), rel=1e-3),
        )
