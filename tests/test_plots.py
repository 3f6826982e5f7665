"""Figures: the numbers in them are those of the analysis, and a sweep without them gives none."""

import json

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from synthetic_sweep import write_sweep

from vae_sweep.analysis import frontier, study
from vae_sweep.analysis.gap import split_gap
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report import plots
from vae_sweep.runs.reading import load_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs") / "s"
    return study.read([load_sweep(write_sweep(folder, latent_dims=(16, 64), seeds=(0, 1)))])


@pytest.mark.slow
def test_every_figure_is_saved_as_png_and_svg(sweep, tmp_path):
    before = dict(mpl.rcParams)
    written = plots.save_all(sweep, tmp_path)
    assert {path.name for path in written} == {f"{name}.{suffix}" for name in plots.PLOTS for suffix in ("png", "svg")}
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 200
        else:
            assert path.read_text().startswith("<?xml")
    assert dict(mpl.rcParams) == before


def test_the_plane_draws_runs_hull_and_anchors_where_they_are(sweep):
    figure = plots.plot_rate_distortion(sweep)
    assert figure is not None
    drawn = [np.column_stack(line.get_data()) for line in figure.axes[0].lines if len(line.get_xdata())]
    for curve in spots(sweep).values():
        hull = frontier.lower_hull([s.rate for s in curve], [s.distortion for s in curve])
        expected = np.array([[curve[i].rate, curve[i].distortion] for i in hull])
        assert any(line.shape == expected.shape and np.allclose(line, expected) for line in drawn)
    assert any(
        np.allclose(line, [[0, sweep.mean_image_distortion(sweep.points[0])]]) for line in drawn if len(line) == 1
    )


def test_the_linear_model_is_drawn_on_the_images_of_the_split(tmp_path):
    folder = write_sweep(tmp_path / "s")

    def dotted(split):
        [axes] = plots.plot_rate_distortion(study.read([load_sweep(folder)]), split).axes
        return [line.get_ydata().tolist() for line in axes.lines if line.get_linestyle() == ":"]

    assert len(dotted("train")) == 1
    assert dotted("val") == []  # a forecast of an earlier version: nothing is known of held-out images
    manifest = json.loads((folder / "sweep.json").read_text())
    [known] = manifest["datasets"].values()
    [curve] = known["forecast"]["train"]["linear"]
    held_out = [error * 1.2 for error in curve["distortion"]]
    curve["held_out"] = {"rate": curve["rate"], "distortion": held_out}
    (folder / "sweep.json").write_text(json.dumps(manifest))
    [shown] = dotted("val")
    assert shown
    assert shown == held_out[-len(shown) :]  # as far as the runs' rates go


def test_what_is_recommended_is_marked_as_the_answer_says(sweep):
    found = recommend(sweep, judge(sweep), "sample")
    figure = plots.plot_rate_distortion(sweep, found=found)
    assert figure is not None
    [mark] = [line for line in figure.axes[0].lines if line.get_label() == "recommended"]
    assert found.weight != recommend(sweep, judge(sweep)).weight
    assert mark.get_xydata().tolist() == [[found.spot.rate, found.spot.distortion]]


def test_tangents_have_the_slope_that_the_weight_asks_for(sweep):
    figure = plots.plot_rate_distortion(sweep)
    assert figure is not None
    lines = [np.column_stack(line.get_data()) for line in figure.axes[0].lines]
    for spot in (s for curve in spots(sweep).values() for s in curve):
        ends = [line for line in lines if len(line) == 2 and np.allclose(line.mean(0), [spot.rate, spot.distortion])]
        slopes = [np.divide(*(line[1] - line[0])[::-1]) for line in ends]
        assert any(slope == pytest.approx(-spot.weight) for slope in slopes)


def test_the_bars_add_up_to_the_held_out_error(sweep):
    figure = plots.plot_gaps(sweep)
    assert figure is not None
    ends: dict[float, float] = {}
    for bar in figure.axes[0].patches:
        ends[round(bar.get_y(), 3)] = max(ends.get(round(bar.get_y(), 3), 0), bar.get_x() + bar.get_width())
    gaps = [split_gap(sweep, p) for p in sweep.done]
    expected = [
        gap.total for gap in gaps if gap and min(gap.capacity, gap.pressure, gap.sampling, gap.generalisation) >= 0
    ]
    assert len(expected) > 5
    for total in expected:
        assert any(end == pytest.approx(total) for end in ends.values())


def test_the_same_images_stand_under_one_another(sweep):
    figure = plots.plot_reconstructions(sweep, images=3)
    assert figure is not None
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    originals = sweep.points[0].arrays()["originals"][:3]
    assert np.array_equal(shown[0], np.concatenate(list(originals), 1))
    assert {tuple(picture.shape) for picture in shown} == {shown[0].shape}
    assert len(shown) == 2 * (1 + 1 + 3 + 1)  # original, mean image, three weights, autoencoder; two latent sizes


@pytest.mark.parametrize("options", [{"weights": (), "autoencoder": False}, {"without_result": (0, 1, 2, 3)}])
def test_nothing_to_show_is_no_figure(options, tmp_path):
    found = study.read([load_sweep(write_sweep(tmp_path / "s", **options))])
    assert [name for name, plot in plots.PLOTS.items() if plot(found) is not None] == []
    assert plots.save_all(found, tmp_path / "figures") == []


@pytest.mark.parametrize("options", [{"failed": (0, 1, 2), "channels": 1}, {"running": (0, 1, 2, 3)}, {"weights": ()}])
def test_whatever_is_there_is_drawn_without_a_warning(options, tmp_path):
    found = study.read([load_sweep(write_sweep(tmp_path / "s", **options))])
    figures = [figure for plot in plots.PLOTS.values() if (figure := plot(found))]
    assert figures
    for figure in figures:
        figure.draw_without_rendering()
