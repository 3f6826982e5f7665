"""A sweep as a DataFrame."""

import subprocess
import sys

import pandas as pd
import pytest
from matplotlib.figure import Figure
from synthetic_sweep import write_sweep

from vae_sweep.environment import install
from vae_sweep.report import plots
from vae_sweep.report.notebook import load
from vae_sweep.runs.files import RecordError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return load(write_sweep(tmp_path_factory.mktemp("outputs") / "s", seeds=(0, 1), failed=(0,)))


def test_a_row_per_run_with_settings_and_metrics(runs):
    assert isinstance(runs, pd.DataFrame)
    assert len(runs) == 8
    done = runs[(runs["status"] == "done") & (runs["objective"] == "vae")]
    by_weight = done.groupby("loss.kl_weight")["val/kl"].mean()
    assert by_weight.is_monotonic_decreasing
    assert runs["train/sse"].notna().sum() == 7


def test_figures_show_the_rows_that_are_left(runs):
    kept = runs[runs["seed"] == 1].sort_values("val/sse")
    assert {point.seed for point in kept.study.points} == {1}
    assert len(kept.plot_curves().axes[0].lines) < len(runs.plot_curves().axes[0].lines)


def test_it_has_every_figure_of_the_report(runs):
    for name in plots.PLOTS:
        assert isinstance(getattr(runs, f"plot_{name}")(), Figure)


def test_nothing_to_show_is_an_error_that_says_so(runs):
    with pytest.raises(ValueError, match="plot_units: these runs have nothing to show"):
        runs[runs["status"] == "failed"].plot_units()


def test_a_folder_that_is_no_sweep_is_refused(tmp_path):
    with pytest.raises(RecordError, match="is not a sweep"):
        load(tmp_path)


def test_without_pandas_the_error_is_one_line_that_says_what_to_install():
    code = (
        "import sys; sys.modules['pandas'] = None; import vae_sweep\n"
        "try: vae_sweep.load\nexcept ImportError as error: print(error, error.__cause__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"vae_sweep.load needs pandas: {install('notebook')} None"


def test_a_figure_shows_itself(runs):
    png = runs.plot_rate_distortion()._repr_png_()
    assert png.startswith(b"\x89PNG")
