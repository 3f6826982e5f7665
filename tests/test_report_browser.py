"""The page in headless Chromium: what a reader does with it, by mouse and by keyboard."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marks import slow
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from synthetic_sweep import write_sweep
from waiting import PATIENCE_S

from vae_sweep import report
from vae_sweep.analysis.words import figure
from vae_sweep.report import render, sprites

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDTHS = {"phone": 390, "desk": 1440}


class Page:
    """A Chromium with one page open."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, index: Path, width: str = "desk", theme: str = "light") -> "Page":
        size = {"width": WIDTHS[width], "height": 900, "deviceScaleFactor": 1, "mobile": width == "phone"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(index.as_uri())
        self.wait(lambda page: page("return document.readyState") == "complete")
        return self

    def __call__(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait(self, until: Callable[["Page"], Any]) -> Any:
        return WebDriverWait(self, PATIENCE_S, ignored_exceptions=(NoSuchElementException,)).until(until)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def read_to_the_end(self) -> None:
        """Unfold and scroll through, so that everything is drawn; a stop lasts two frames, however busy the machine is.

        A second stands for a frame that does not come: a page that seems at rest to Chromium may get none.
        """
        self("document.querySelectorAll('details.fold').forEach(fold => { fold.open = true; })")
        self(
            "const frame = () => new Promise(done => { requestAnimationFrame(done); setTimeout(done, 1000); });"
            "return (async () => { for (let y = 0; y < document.body.scrollHeight; y += 700) {"
            " scrollTo({top: y, behavior: 'instant'}); await frame(); await frame(); }"
            " await new Promise(done => setTimeout(done, 150)); })()"
        )

    def pixels(self, selector: str) -> list[int]:
        """Mean colour of a canvas."""
        return self(
            "const c = document.querySelector(arguments[0]);"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "const m = [0, 0, 0]; for (let i = 0; i < d.length; i++) if (i % 4 < 3) m[i % 4] += d[i];"
            "return m.map(v => Math.round(4 * v / d.length))", selector,
        )  # fmt: skip

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Everything asked for but the file itself and what it carries."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))][1:]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium chromium-driver")
        pytest.skip("no Chromium on this machine: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    yield Page(driver)
    driver.quit()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two latent sizes, two seeds, one failed and one running member."""
    folder = tmp_path_factory.mktemp("outputs") / "story"
    weights = (3.0, 0.5, 0.1, 0.03)
    write_sweep(folder, weights=weights, latent_dims=(16, 64), seeds=(0, 1), failed=(9,), running=(11,))
    return report.build([folder], figures=False)


@pytest.mark.parametrize(("width", "theme"), [("phone", "dark"), *slow(("desk", "light"))])
def test_it_is_drawn_without_a_complaint_or_a_request_and_is_accessible(page, index, width, theme):
    page.open(index, width, theme).read_to_the_end()
    assert page("return document.documentElement.scrollWidth") == WIDTHS[width]
    for selector in ("#hero canvas", "#slider canvas", "#matrix canvas", "#plane-chart .mark", "#curves path",
                     "#latent-panels canvas", "#sampling .chart path", "#sampling .sample-strip canvas",
                     "#gaps .bar-row", "#table tbody tr"):  # fmt: skip
        page.wait(lambda p, s=selector: p.all(s))
    page("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    axe = Path(find_spec("axe_core_python").submodule_search_locations[0]) / "axe.min.js"  # type: ignore[union-attr, index]
    page(axe.read_text())
    found = page.driver.execute_async_script("axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert page.complaints() == []
    assert page.requests() == []


RING = (
    "const ring = document.querySelector('#slider .place');"
    "return [ring.getAttribute('cx'), ring.getAttribute('cy')].map(Number)"
)
SHOWN = {"mean": ".stage figure:nth-child(2) canvas", "error": ".stage figure:nth-child(4) canvas",
         "sample": ".samples canvas:nth-child(3)"}  # fmt: skip


def slide(page: Page, position: float) -> None:
    slider = page.one("#weight-slider")
    page("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", slider, position)


def test_the_slider_moves_the_pictures_the_samples_the_point_in_the_plane_and_the_words(page, index):
    page.open(index)
    slider = page.one("#weight-slider")
    page.wait(lambda p: p.all("#slider .place"))
    slider.send_keys(Keys.HOME)
    page.wait(lambda p: p.one("#readout").text.startswith("KL weight 3"))
    seen = [
        ({name: page.wait(lambda p, s=s: sum(p.pixels(s)) and p.pixels(s)) for name, s in SHOWN.items()}, page(RING))
    ]
    for weight in ("0.5", "0.1", "0.03"):
        slider.send_keys(Keys.ARROW_RIGHT)
        page.wait(lambda p, w=weight: p.one("#readout").text.split()[:3] == ["KL", "weight", w])
        before, (x, y) = seen[-1]
        page.wait(lambda p, b=before: all(p.pixels(s) != b[name] for name, s in SHOWN.items()))
        now = page(RING)
        assert now[0] > x  # more nats
        assert now[1] > y  # less error
        seen.append(({name: page.pixels(s) for name, s in SHOWN.items()}, now))
    assert slider.get_attribute("aria-valuetext") == "weight 0.03"
    assert sum(seen[-1][0]["error"]) < sum(seen[0][0]["error"])  # the error shrinks
    slide(page, 1.5)
    assert page.one("#readout").text.split("\n") == [
        "between 0.5", "and 0.1", "a blend for the eye: no run was trained here",
    ]  # fmt: skip
    assert seen[1][1][0] < page(RING)[0] < seen[2][1][0]
    slider.send_keys(Keys.END)
    assert page.one("#readout").text.startswith("no KL")
    assert "no prior" in page.one("#slider").text
    assert not page.one(SHOWN["sample"]).is_displayed()
    page.one("#slider input[value='fitted']").find_element(By.XPATH, "..").click()
    page.wait(lambda p: p.one(SHOWN["sample"]).is_displayed())  # a sampler fitted to its codes it has


@pytest.mark.parametrize("side", [16_383, 24 * 9], ids=["one below the other", "beside one another too"])
def test_between_the_runs_the_slider_shows_what_one_model_for_all_weights_makes_there(
    page, side, tmp_path, monkeypatch
):
    monkeypatch.setattr(sprites, "MOST_SIDE", side)
    folder = write_sweep(tmp_path / "both", weights=(3.0, 1.0, 0.3, 0.1), multi_rate=0.02)
    page.open(report.build([folder], figures=False))
    slide(page, 0.5)
    words = page.wait(lambda p: "one model for all weights" in p.one("#readout").text and p.one("#readout").text)
    weight = float(words.split()[2])
    assert weight == pytest.approx((3 * 1) ** 0.5, rel=0.3)
    with np.load(next(folder.glob("*/curve.npz"))) as arrays:
        at = int(np.abs(np.log(arrays["kl_weights"] / weight)).argmin())
        expected = {"mean": arrays["recon_mean"][at, 0], "sample": arrays["prior_samples"][at, 2]}
    for name, image in expected.items():
        page.wait(lambda p, n=name, i=image: np.abs(np.subtract(p.pixels(SHOWN[n]), i.mean((0, 1)))).max() <= 1)
    heads = [head.text for head in page.all("#matrix .head")]
    assert "one model for all weights" in heads
    assert len(page.all("#matrix .cell[data-run*='@']")) == 4
    assert page.complaints() == []


def test_pixels_are_shown_as_they_are_until_one_asks_for_smoothed_ones(page, index):
    page.open(index)
    rendering = "return getComputedStyle(document.querySelector('.stage canvas')).imageRendering"
    page.wait(lambda p: p(rendering) == "pixelated")
    page.one("#smooth").click()
    assert page(rendering) == "auto"


def test_another_image_shows_in_every_pane(page, index):
    page.open(index)
    before = page.wait(lambda p: any(colour := p.pixels(".stage figure:nth-child(1) canvas")) and colour)
    page.all(".thumbs button")[3].click()
    page.wait(lambda p: p.pixels(".stage figure:nth-child(1) canvas") != before)
    assert [b.get_attribute("aria-pressed") for b in page.all(".thumbs button")].count("true") == 1


CUT = (  # the canvases of which a box around them hides a part
    "return [...document.querySelectorAll(arguments[0])].filter(canvas => { for (let box = canvas.parentElement;"
    " box && !box.matches('section'); box = box.parentElement) if (getComputedStyle(box).contentVisibility == 'auto'"
    " && canvas.getBoundingClientRect().bottom > box.getBoundingClientRect().bottom + 1) return true;"
    " return false; }).length"
)


def test_the_matrix_changes_what_it_shows(page, index):
    page.open(index)
    cell = page.wait(lambda p: p.one("#matrix .cell[data-run]:not([data-run*=':'])"))
    page("arguments[0].scrollIntoView({block: 'center'})", cell)
    page.wait(lambda p: p(CUT, "#matrix canvas") == 0)  # what comes into view has its size a frame later
    assert len(cell.find_elements(By.CSS_SELECTOR, "canvas")) == 1
    page.one("#matrix input[value='all']").find_element(By.XPATH, "..").click()
    cell = page.one("#matrix .cell[data-run]:not([data-run*=':'])")
    assert len(cell.find_elements(By.CSS_SELECTOR, "canvas")) == 3
    assert any("failed" in e.text for e in page.all("#matrix .empty")) or page.all("#matrix .empty") == []


def test_two_runs_are_compared_under_a_wipe(page, index):
    page.open(index)
    page.all("#hero figure")[1].find_element(By.TAG_NAME, "button").click()
    dialog = page.wait(lambda p: p.one("#viewer[open]"))
    recommended = page.one("#hero .chosen b").text
    assert f"kl_weight {recommended} " in page.one(".wipe .tag.a").text  # against the recommended run
    assert "kl_weight 3 " in page.one(".wipe .tag.b").text
    assert page("return document.activeElement.id") == "wipe-slider"
    for _ in range(10):
        page.press(Keys.ARROW_RIGHT)
    assert page("return document.querySelector('.wipe').style.getPropertyValue('--cut')") == "60%"
    wipe = page.one(".wipe")
    ActionChains(page.driver).move_to_element_with_offset(wipe, -100, 0).click().perform()
    share = 50 - 100 * 100 / wipe.size["width"]
    assert float(page("return document.querySelector('.wipe').style.getPropertyValue('--cut')")[:-1]) == pytest.approx(
        share, abs=2
    )
    right = dialog.find_elements(By.TAG_NAME, "select")[1]
    options = right.find_elements(By.TAG_NAME, "option")
    options[-1].click()
    assert page.one(".wipe .tag.b").text == options[-1].text
    dialog.find_element(By.XPATH, ".//button[text()='next']").click()
    assert "image 2 of" in dialog.text
    page.press(Keys.ESCAPE)
    page.wait(lambda p: not p.all("#viewer[open]"))


def test_a_run_that_still_trains_shows_its_pictures_and_its_place(page, tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1), running=(0, 1, 2))
    page.open(report.build([folder], figures=False, refresh=60)).read_to_the_end()
    rows = page.wait(lambda p: p.all("#progress-now .progress canvas"))
    assert len(rows) == 1 + 3  # the originals, and a row per run
    step = "#progress-now .progress > span:nth-of-type(2)"
    assert "step 200" in page.one(step).text
    later = page.wait(lambda p: sum(c := p.pixels("#progress-now .progress canvas:nth-of-type(2)")) and c)
    slider = page.one("#progress-now input[type='range']")
    page("arguments[0].value = 60; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert "step 50" in page.one(step).text
    page.wait(lambda p: p.pixels("#progress-now .progress canvas:nth-of-type(2)") != later)
    assert "still training" in page.one("#plane-chart").text
    assert page.complaints() == []


def test_the_table_sorts_both_ways_and_filters(page, index):
    page.open(index)
    heads = page.all("#table thead button")
    titles = [head.text for head in heads]

    def column(title: str) -> list[str]:
        cells = f"#table tbody tr:not([hidden]) td:nth-child({titles.index(title) + 1})"
        return page(
            "return Array.from(document.querySelectorAll(arguments[0]), c => c.dataset.value || c.innerText.trim())",
            cells,
        )  # fmt: skip

    for title in ("train sse", "kl_weight"):
        heads[titles.index(title)].click()
        rising = column(title)
        known = [float(value) for value in rising if value not in ("", "–")]
        assert known == sorted(known)
        assert rising[: len(known)] == [v for v in rising if v not in ("", "–")]  # unknown last
        heads[titles.index(title)].send_keys(Keys.ENTER)
        assert [float(v) for v in column(title) if v not in ("", "–")] == known[::-1]
    assert page.all("#table th[aria-sort]")[0].get_attribute("aria-sort") == "descending"
    page.one("#filter").send_keys("failed")
    assert page.one("#filter-count").text == "1 of 20 runs"
    assert column("status") == ["failed"]
    for words, kept in (
        ("no such run", set()),
        ("kl_weight=0.5", {0.5}),
        ("kl_weight=0.0", set()),
        ("0.5", {0.5}),
        ("0.03", {0.03}),
        ("kl_weight=.1 latent_dim=64", {0.1}),
    ):
        page.one("#filter").clear()
        page.one("#filter").send_keys(words)
        assert {float(value) for value in column("kl_weight")} == kept, words
    assert set(column("latent_dim")) == {"64"}


@pytest.mark.slow
def test_a_run_opens_its_whole_configuration(page, index):
    page.open(index)
    button = page.one("#table tbody button.detail")
    page("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    detail = page.wait(lambda p: p.one("#detail[open]"))
    for said in ("loss.kl_weight", "optimizer.lr", "0.001", "story/0"):
        assert said in detail.text
    page.press(Keys.ESCAPE)
    page.wait(lambda p: not p.all("#detail[open]"))


def test_nothing_that_is_missing_is_written_out(page, index):
    """The DOM writes null, undefined and false as words; settings alone may be null."""
    page.open(index).read_to_the_end()
    page("document.querySelector('#plane-chart .mark').dispatchEvent(new Event('pointerenter'))")
    page("document.querySelector('#table button.detail').click()")
    page("document.querySelector('#hero button').click()")
    texts = page(
        "const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
        "while (walk.nextNode()) if (!walk.currentNode.parentNode.closest('script, code'))"
        " found.push(walk.currentNode.data.trim());"
        "return found"
    )
    for shown in ("#tip b", "#detail[open] dl code", "#viewer[open] canvas"):
        assert page.all(shown), shown
    assert [text for text in texts if text in ("null", "undefined", "false", "NaN", "[object Object]")] == []


def test_what_has_left_the_page_is_not_drawn_for_the_printer(page, index):
    """The cells of every kind of picture that was asked for, while they were below the screen."""
    page.open(index)
    page.wait(lambda p: sum(p.pixels(SHOWN["mean"])))
    page(
        "window.there = []; const draw = CanvasRenderingContext2D.prototype.drawImage;"
        "CanvasRenderingContext2D.prototype.drawImage = function (...given) {"
        " if (this.canvas.closest('.cell')) there.push(this.canvas.isConnected); return draw.apply(this, given); };"
        "for (const kind of ['noisy', 'residual', 'all', 'mean'])"
        " document.querySelector(`#matrix input[value='${kind}']`).click();"
        "dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))"
    )
    page.wait(lambda p: p("return there.length") >= len(p.all("#matrix .cell canvas")))
    assert page("return there.every(Boolean)")


def test_a_page_that_is_loaded_again_stays_where_the_reader_is(page, index):
    page.open(index)
    page("location.hash = '#runs'")
    page.wait(lambda p: p("return scrollY") > 2000)
    page.driver.execute_async_script("setTimeout(arguments[0], 700)")
    page("window.before = true; dispatchEvent(new Event('wheel')); scrollTo({top: 300, behavior: 'instant'})")
    page.driver.refresh()
    page.wait(lambda p: p("return document.readyState == 'complete' && !window.before"))
    page.driver.execute_async_script("setTimeout(arguments[0], 700)")
    assert page("return scrollY") == pytest.approx(300, abs=30)
    assert page("return document.querySelector('#runs details.fold').open")


def test_a_watched_page_takes_nothing_out_of_the_reader_s_hands(page, tmp_path):
    folder = write_sweep(tmp_path / "s", weights=(1.0, 0.1), running=(1,))
    in_a_minute = "setInterval = (work, ms) => { if (ms == 60000) window.load = work; }; window.before = true"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": in_a_minute})
    try:
        page.open(report.build([folder], figures=False, refresh=60))
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    find, click = "document.querySelector('{}')".format, "document.querySelector('{}').click()".format
    for take, leave in (
        (click("#table button.detail"), find("#detail") + ".close()"),
        (click("#hero button"), find("#viewer") + ".close()"),
        (find("#filter") + ".focus()", find("#filter") + ".blur()"),
        (find("#filter") + ".value = 'done'", find("#filter") + ".value = ''"),
    ):
        page(f"{take}; load()")
        page.driver.execute_async_script("setTimeout(arguments[0], 100)")
        assert page("return window.before"), take
        page(leave)
    page("setTimeout(load, 0)")
    page.wait(lambda p: p("return document.readyState == 'complete' && !window.before"))


SLOWLY = (  # pictures are decoded when later[address] is called
    "window.later = {}; const decode = HTMLImageElement.prototype.decode;"
    "HTMLImageElement.prototype.decode = function () {"
    " return new Promise(done => { later[this.src] = () => done(decode.call(this)); }); };"
    "Object.defineProperty(HTMLImageElement.prototype, 'complete', {get: () => false});"
)


def test_the_tooltip_speaks_of_what_is_pointed_at_whichever_pictures_come_first(page, index):
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SLOWLY})
    try:
        page.open(index).read_to_the_end()
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    page.wait(lambda p: p.all("#plane-chart .mark"))
    marks = "const [a, b] = document.querySelectorAll('#plane-chart .mark');"
    said = page(
        f"{marks} for (const [mark, kind] of [[a, 'enter'], [a, 'leave'], [b, 'enter']])"
        " mark.dispatchEvent(new Event(`pointer${kind}`));"
        "return document.getElementById('tip').textContent"
    )
    page.driver.execute_async_script(
        "const told = arguments[0], pause = () => new Promise(done => setTimeout(done, 100));"
        "const {runs} = JSON.parse(document.getElementById('data').textContent).planes.train.families[0].spots[0];"
        "const text = run => document.querySelector(`script.sheets[data-run='${run}']`).textContent;"
        "const last = runs.map(run => JSON.parse(text(run)).recon.uri); (async () => {"
        " for (const address in later) if (!last.includes(address)) later[address]();"
        " await pause(); last.forEach(address => later[address]()); await pause(); told(); })()"
    )
    assert page("return document.getElementById('tip').textContent") == said
    assert len(page.all("#tip canvas")) == 2
    assert sum(page.pixels("#tip canvas:last-child"))
    page(f"{marks} b.dispatchEvent(new Event('pointerleave'))")
    assert not page.one("#tip").is_displayed()


def test_the_slider_makes_no_canvas_and_observes_none_as_it_moves(page, index):
    page.open(index)
    page.wait(lambda p: all(sum(p.pixels(selector)) for selector in SHOWN.values()))
    slide(page, 0.5)
    page.wait(lambda p: "a blend" in p.one("#readout").text)
    page.driver.execute_async_script("setTimeout(arguments[0], 100)")
    made = page(
        "const made = [], create = document.createElement, observe = ResizeObserver.prototype.observe;"
        "document.createElement = tag => { if (tag == 'canvas') made.push(tag); return create.call(document, tag); };"
        "ResizeObserver.prototype.observe = function (node) { made.push(node); return observe.call(this, node); };"
        "const slider = document.getElementById('weight-slider');"
        "for (let at = 0.5; at < 2; at += 0.04) { slider.value = at; slider.dispatchEvent(new Event('input')); }"
        "document.createElement = create; ResizeObserver.prototype.observe = observe; return made"
    )
    assert made == []


def test_every_run_has_its_verdict(page, index):
    page.open(index)
    page("document.querySelectorAll('#runs details.fold').forEach(fold => { fold.open = true; })")
    said = [details.text for details in page.all(".verdicts details")]
    assert len(said) == len(page.all("#table tbody tr"))
    assert sum("failed" in text for text in said) == 1


def test_a_number_reads_as_in_the_sentences_and_a_range_is_found_among_very_many(page):
    page.driver.get("about:blank")
    core = str(render._text("core.js")).partition("function figure(")[2].partition("\n}\n")[0]
    ours = f"function figure({core}\n}}\n{render._text('charts.js')!s}\n"
    numbers = [0, 152.3, 0.0631, 999.7, 1234.4, 999_999.7, 1_234_567, 2e7, 1e-4, 9.999e-5, 1.234e-5, -2e-5, -1500, 0.5]
    for digits in (3, 4):
        shown = page(f"{ours}return arguments[0].map((value) => figure(value, arguments[1]))", numbers, digits)
        assert shown == [figure(number, digits) for number in numbers]
    low, high = page(f"{ours}return extent(Array.from({{ length: 400000 }}, (_, i) => i - 5), false)")
    assert (low, high) == pytest.approx((-5 - 0.05 * 399_999, 399_994 + 0.05 * 399_999))


@pytest.mark.slow
def test_a_curve_of_the_plane_is_switched_off(page, index):
    page.open(index).read_to_the_end()
    before = len(page.wait(lambda p: p.all("#plane-chart .mark")))
    switch = page.all("#plane-chart .key input[type='checkbox']")[0]
    page("arguments[0].scrollIntoView({block: 'center'})", switch)
    switch.click()
    page.wait(lambda p: 0 < len(p.all("#plane-chart .mark")) < before)


def test_a_verdict_opens_with_its_evidence_and_rule(page, index):
    page.open(index)
    page("document.querySelectorAll('#runs details.fold').forEach(fold => { fold.open = true; })")
    details = page.one(".verdicts details")
    page("arguments[0].scrollIntoView({block: 'center'})", details)
    details.find_element(By.TAG_NAME, "summary").click()
    assert "Rule." in details.text
    assert details.find_elements(By.CSS_SELECTOR, ".evidence dd")


def test_the_plane_is_walked_with_the_arrow_keys_and_shows_the_run_s_picture(page, index):
    page.open(index).read_to_the_end()
    first = page.wait(lambda p: p.one("#plane-chart .mark[tabindex='0']"))
    page("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", first)
    page.wait(lambda p: p.one("#tip").is_displayed() and len(p.all("#tip canvas")) == 2)
    said = page.one("#tip").text
    page.press(Keys.ARROW_RIGHT)
    page.wait(lambda p: p.one("#tip").text not in ("", said))
    assert page("return document.activeElement.getAttribute('aria-label')").startswith("weight 0.5")
    page.press(Keys.ENTER)
    page.wait(lambda p: p.one("#viewer[open]"))


@pytest.mark.slow
def test_a_curve_under_the_pointer_names_its_run(page, index):
    page.open(index).read_to_the_end()
    line = page.wait(lambda p: p.one("#curves .columns svg path[stroke]:not([stroke-dasharray])"))
    page("arguments[0].scrollIntoView({block: 'center'})", line)
    ActionChains(page.driver).move_to_element_with_offset(line, 0, 0).perform()
    x, y = page(  # a point of the drawn line, in the window's pixels
        "const m = arguments[0].getScreenCTM(), p = arguments[0].getPointAtLength(arguments[0].getTotalLength() / 2);"
        "return [m.a * p.x + m.e, m.d * p.y + m.f]",
        line,
    )
    page(
        "arguments[0].ownerSVGElement.dispatchEvent("
        "new PointerEvent('pointermove', {clientX: arguments[1], clientY: arguments[2], bubbles: true}))",
        line, x, y,
    )  # fmt: skip
    assert "kl_weight" in page.one("#tip").text or "autoencoder" in page.one("#tip").text
    assert page.all("#curves path.faint")


@pytest.mark.slow
def test_the_plane_shows_either_split_on_either_axis(page, index):
    page.open(index).read_to_the_end()

    def said() -> str:
        return page.one("#plane-chart .mark").get_attribute("aria-label")

    training = page.wait(lambda _: said())
    page("document.querySelector('#plane').scrollIntoView()")
    for value in ("val", "log"):
        page.one(f"#plane-chart input[value='{value}']").find_element(By.XPATH, "..").click()
    assert said() != training
    assert page.complaints() == []


def test_a_link_leads_to_its_section_however_much_is_drawn_on_the_way(page, index):
    page.open(index)
    moving = [{"name": "prefers-reduced-motion", "value": "no-preference"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": moving})
    top = "return Math.round(document.querySelector(arguments[0]).getBoundingClientRect().top)"
    for section in ("#plane", "#samples"):
        page.one(f"nav a[href='{section}']").click()
        page.wait(lambda p, s=section: 0 <= p(top, s) <= 60)
        page.driver.execute_async_script("setTimeout(arguments[0], 700)")
        assert 0 <= page(top, section) <= 60, section


def test_the_keyboard_alone_reaches_the_answer(page, index):
    page.open(index)
    page.press(Keys.TAB)
    assert page("return document.activeElement.className") == "skip"
    page.press(Keys.ENTER)
    assert page("return location.hash") == "#answer"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": (), "autoencoder": False}, "Nothing has been trained yet."),
        ({"weights": (0.5,), "autoencoder": False}, "Only KL weight 0.5 has finished."),
        ({"failed": (0, 1, 2, 3)}, "All 4 runs failed."),
        ({"without_evaluation": (0, 1, 2, 3)}, "No run has written its pictures yet."),
        ({"without_result": (0, 1, 2), "torn": (3,)}, "No VAE has written its pictures yet."),
        ({"name": "<script>alert(1)</script>", "failed": (1,), "channels": 1}, "<script>alert(1)</script>"),
        ({"without_evaluation": (1,), "running": (2,)}, "done: no pictures"),
    ],
)
def test_whatever_a_sweep_lacks_the_page_says_so_and_does_not_stumble(page, tmp_path, options, said):
    index = report.build([write_sweep(tmp_path / "s", **options)], figures=False)
    page.open(index).read_to_the_end()
    assert said in page.one("body").text
    assert page.complaints() == []


@pytest.mark.slow
def test_a_sweep_over_image_sizes_shows_each_run_its_own_originals(page, tmp_path):
    """Two data sets in one sweep: 24 and 16 pixels."""
    folder, other = write_sweep(tmp_path / "s"), write_sweep(tmp_path / "t", image_size=16)
    manifest, small = (json.loads((f / "sweep.json").read_text()) for f in (folder, other))
    for member in small["members"]:
        result = other / member["folder"] / "result.json"
        member |= {"number": member["number"] + 4, "id": f"s{member['id']}", "data_fingerprint": "5ma11"}
        result.write_text(json.dumps(json.loads(result.read_text()) | member))
        (other / member["folder"]).rename(folder / f"{member['folder']}-small")
        manifest["members"].append(member | {"folder": f"{member['folder']}-small"})
    manifest["datasets"]["5ma11"] = small["data"] | small["datasets"]["feedc0de"]
    (folder / "sweep.json").write_text(json.dumps(manifest))
    page.open(report.build([folder], figures=False)).read_to_the_end()
    page.wait(lambda p: len(p.all("#matrix .cell")) >= 12)
    heights = page("return [...document.querySelectorAll('#matrix .cell canvas')].map(c => c.height)")
    assert heights == [16, 24] * (len(heights) // 2)
    assert page.complaints() == []


def test_the_printed_page_holds_every_picture_and_chart(page, index):
    """Without scrolling: what is folded or below the screen is drawn when the browser says that it will print."""
    page.open(index)
    page.wait(lambda p: sum(p.pixels(".stage figure:nth-child(2) canvas")))
    drawn = (  # at once, when the sheets have been loaded, which happens while nobody waits
        "dispatchEvent(new Event('beforeprint'));"
        "return [...document.querySelectorAll('main canvas')].filter(c => !c.closest('[hidden]')).every(c => {"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some(v => v); })"
    )
    page.wait(lambda p: p(drawn))
    charts = page(
        "return [...document.querySelectorAll('main .chart')].map(c => c.querySelectorAll('svg path, svg rect').length)"
    )
    assert len(charts) > 40  # of 22 runs two each, and the planes, the overviews, the latents
    assert min(charts) > 1
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 100_000
    page("dispatchEvent(new Event('afterprint'))")
    assert page("return document.querySelector('#training details').open") is False
