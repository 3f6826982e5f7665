"""The figures, as files: the page's plots for papers and pull requests. The only importer of matplotlib.

Every plot_* takes a Study and returns a Figure, or None where the sweep has nothing to show; the caller saves it.
"""

import io
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter

from vae_sweep.analysis import frontier
from vae_sweep.analysis.curves import series, thin
from vae_sweep.analysis.gap import PARTS, split_gap
from vae_sweep.analysis.latents import plane
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.recommend import Recommendation, recommend
from vae_sweep.analysis.spots import spots
from vae_sweep.analysis.study import Study
from vae_sweep.analysis.survey import survey
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report.palette import colour, weight_positions
from vae_sweep.report.payload import CURVE_POINTS, charts, family_name, study_weights
from vae_sweep.report.shown import shown
from vae_sweep.text import lines
from vae_sweep.theory.first_look import spread

INK, SOFT = "#1d1c1a", "#6b6862"
MARKERS = "os^DvP*X"
PART_COLOURS = dict(zip(PARTS, ("#6b7280", "#3d4fb0", "#b8457a", "#c0741a"), strict=True))
_STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#b5b1aa",
    "axes.labelcolor": INK,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.grid": True, "grid.color": "#ece9e3", "axes.axisbelow": True, "legend.frameon": False, "svg.fonttype": "none",
    "image.interpolation": "nearest",
}  # fmt: skip
MOST_COLUMNS = 8  # pictures side by side
MOST_NAMED = 30  # weights on a curve, before their names are a thicket


class Figure(mpl_figure.Figure):
    """A figure that shows itself at the end of a notebook's cell, whatever backend the kernel has."""

    def savefig(self, *arguments: Any, **options: Any) -> None:
        """Names of runs are words, not mathematics; only the powers of ten on logarithmic axes are."""
        powers = {
            label
            for axes in self.axes
            for axis in (axes.xaxis, axes.yaxis)
            if isinstance(axis.get_major_formatter(), LogFormatter)
            for label in axis.get_ticklabels(which="both")
        }
        for text in self.findobj(Text):
            if isinstance(text, Text) and text not in powers:
                text.set_parse_math(False)
                text.set_text(lines(text.get_text()))
        super().savefig(*arguments, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100, bbox_inches="tight", pad_inches=0.05)
        return buffer.getvalue()


def save_all(study: Study, folder: Path, found: Recommendation | None = None) -> list[Path]:
    """Every figure that has something to show as <name>.png and <name>.svg. Returns the paths.

    found: what they mark as recommended; by default the weight to reconstruct with.
    """
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        with mpl.rc_context(_STYLE):
            figure = plot(study, found=found) if name in _OF_THE_ANSWER else plot(study)
            if figure is None:
                continue
            for suffix in ("png", "svg"):
                written.append(folder / f"{name}.{suffix}")
                figure.savefig(written[-1], dpi=150, bbox_inches="tight", pad_inches=0.05)
                figure.set_layout_engine("none")  # it is laid out now
    return written


def plot_rate_distortion(study: Study, split: str | None = None, found: Recommendation | None = None) -> Figure | None:
    """Runs in the plane of rate and distortion: tangents of slope -beta, hulls, the linear model's curve, anchors."""
    split = split or study.split
    families = spots(study, split)
    if not families:
        return None
    figure, axes = _figure(8, 5)
    colours, dominated = _colours(study), survey(study).dominated
    recommended = (found or recommend(study, judge(study))).spot
    rate_end = max(s.rate for curve in families.values() for s in curve) * 1.08 or 1.0  # all collapsed: some width
    anchors = {p.data: p for points in study.families.values() for p in points}.values()  # one run of each data set
    known = [c for p in anchors for c in study.forecast(p).get("linear", []) if study.squared_error]
    for curve in known if split == "train" else [c["held_out"] for c in known if "held_out" in c]:
        rate, distortion = np.array(curve["rate"]), np.array(curve["distortion"])
        axes.plot(rate[rate <= rate_end], distortion[rate <= rate_end], ":", color=SOFT, lw=1)
    for marker, (family, curve) in zip(_cycled(MARKERS, families), families.items(), strict=True):
        hull = frontier.lower_hull([s.rate for s in curve], [s.distortion for s in curve])
        axes.plot([curve[i].rate for i in hull], [curve[i].distortion for i in hull], color=INK, lw=0.8, alpha=0.6)
        if (limit := study.autoencoder_distortion(family, split)) is not None:
            axes.axhline(limit, ls="--", lw=0.8, color=INK)
            axes.text(1.01, limit, f"autoencoder {family_name(family)}".strip(), va="center", fontsize=8, color=SOFT,
                      transform=axes.get_yaxis_transform())  # fmt: skip
        for s in curve:
            filled = "white" if any(p.id in dominated for p in s.points) else colours[s.weight]
            axes.errorbar(s.rate, s.distortion, s.distortion_sd or None, s.rate_sd or None, color=colours[s.weight],
                          marker=marker, mfc=filled, ms=7, lw=1)  # fmt: skip
            if len(curve) <= MOST_NAMED:
                axes.annotate(f"{s.weight:g}", (s.rate, s.distortion), (6, 5), textcoords="offset points", fontsize=8)
        axes.plot([], [], marker, color=SOFT, label=family_name(family) or "runs")
    for point in study.multi_rate:
        points = np.array([(rate, distortion) for _, rate, distortion in point.curve(split) if rate <= rate_end])
        if len(points):
            axes.plot(*points.T, ".-", color=SOFT, lw=1.2, ms=5, label=point.label)
    if recommended and split == study.split:
        axes.plot(recommended.rate, recommended.distortion, "o", ms=15, mfc="none", mec=INK, label="recommended")
    for point in anchors:
        if (zero := study.mean_image_distortion(point)) is not None:
            axes.plot(0, zero, "D", color=INK, label="mean image")
    axes.set(xlim=(-0.01 * rate_end, rate_end), ylim=(0 if study.squared_error else None, None))
    for s in (s for curve in families.values() for s in curve if s.beta is not None):
        _tangent(axes, s.rate, s.distortion, -(s.beta or 0.0), colours[s.weight])
    axes.set(
        xlabel="rate: KL, nats per image",
        ylabel=f"{study.error_name} per image",
        title=f"What was bought with what ({_split_name(split)})",
    )
    axes.legend(loc="upper right")
    return figure


def plot_curves(study: Study, found: Recommendation | None = None) -> Figure | None:
    """The terms, unweighted, on their own axes, and the weight in force; solid: training, dotted: held out.

    Of a very large sweep of those runs that the page shows.
    """
    kept = shown(study, found or recommend(study, judge(study)))
    drawn = [p for p in study.points if p.id in kept and p.rows]
    if not drawn:
        return None
    titles = charts(study)
    figure = Figure(figsize=(4.5 * len(titles), 5), layout="constrained")
    grid = figure.subplot_mosaic([list(titles), ["weight"] * len(titles)], height_ratios=(3, 1))
    colours = _colours(study)
    for point in drawn:
        line: Any = {"color": colours[point.weight], "lw": 1.2}
        for term in titles:
            for split, style in (("train", "-"), ("val", ":")):
                grid[term].plot(*thin(*series(point.rows, f"{split}/{term}"), CURVE_POINTS), style, **line)
        if not point.autoencoder:
            grid["weight"].plot(*thin(*series(point.rows, "kl_weight"), CURVE_POINTS), **line)
    for term, title in titles.items():
        grid[term].set(title=title, xlabel="optimiser step")
    grid["weight"].set(title="weight in force", xlabel="optimiser step")
    _weight_legend(study, grid["kl"])
    return figure


def plot_gradients(study: Study) -> Figure | None:
    """beta_hat against beta, and the norms of both gradients on the encoder; balanced, all lie on diagonals."""
    known = [(p, b, h) for p in study.done if (b := p.beta) and (h := p.get("train", "beta_hat")) and h > 0]
    if not known:
        return None
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    beta, hat = np.array([b for _, b, _ in known]), np.array([h for *_, h in known])
    by_weight = _colours(study)
    colours = [by_weight[p.weight] for p, *_ in known]
    ends = [min(beta.min(), hat.min()), max(beta.max(), hat.max())]
    left.plot(ends, ends, "--", color=INK, lw=0.8)
    left.scatter(beta, hat, c=colours)
    left.set(xlabel="beta", ylabel="beta_hat", title="Where the gradients balance")
    _log_axes(left)
    norms = [
        (p, b * k, r)
        for p, b, _ in known
        if (k := p.get("train", "grad_norm_kl")) and (r := p.get("train", "grad_norm_recon"))
    ]
    if norms:
        kl, recon = np.array([k for _, k, _ in norms]), np.array([r for *_, r in norms])
        ends = [min(kl.min(), recon.min()), max(kl.max(), recon.max())]
        right.plot(ends, ends, "--", color=INK, lw=0.8)
        right.scatter(kl, recon, c=[by_weight[p.weight] for p, *_ in norms])
        right.set(xlabel="norm of beta x KL gradient", ylabel="norm of error gradient", title="How strong they are")
        _log_axes(right)
    return figure


def plot_units(study: Study, found: Recommendation | None = None) -> Figure | None:
    """KL of every unit, largest first, one line per weight of the recommended curve."""
    drawn = [(p, kl) for p in _one_curve(study, found) if (kl := p.arrays().get("kl_per_unit")) is not None]
    if not drawn:
        return None
    figure, axes = _figure(8, 4)
    colours = _colours(study)
    for point, kl in drawn:
        axes.plot(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color=colours[point.weight], lw=1.5)
    axes.set(xlabel="unit, by KL", ylabel="KL, nats per image", title="Which units carry information")
    _weight_legend(study, axes)
    return figure


def plot_posterior(study: Study, found: Recommendation | None = None) -> Figure | None:
    """Aggregate posterior of the recommended curve's runs in their planes of largest variance, and the prior."""
    drawn = [(p, own) for p in spread(_one_curve(study, found), 5) if (own := plane(study, p, p.arrays())) is not None]
    if not drawn:
        return None
    figure = Figure(figsize=(2.4 * len(drawn), 2.7), layout="constrained")
    angle, colours = np.linspace(0, 2 * np.pi, 100), _colours(study)
    for axes, (point, own) in zip(np.atleast_1d(figure.subplots(1, len(drawn))), drawn, strict=True):
        for radius in (1.51, 2.45, 3.41):  # 68, 95, 99.7 % of a 2-D standard normal
            axes.plot(radius * np.cos(angle), radius * np.sin(angle), "--", lw=0.6, color=SOFT)
        axes.scatter(*own.samples.T, s=4, color=colours[point.weight])
        axes.set(aspect="equal", xticks=[], yticks=[], title=f"weight {point.weight:g}")
    return figure


def plot_gaps(study: Study) -> Figure | None:
    """Held-out error split four ways: capacity, KL pressure, sampling noise, generalisation."""
    drawn = [(p, gap) for p in study.done if (gap := split_gap(study, p))][:60]
    if not drawn:
        return None
    figure, axes = _figure(8, 1.2 + 0.25 * len(drawn))
    left = np.zeros(len(drawn))
    for part in PARTS:
        width = np.array([max(0.0, getattr(gap, part)) for _, gap in drawn])
        axes.barh([p.label for p, _ in drawn], width, left=left, color=PART_COLOURS[part], label=part)
        left += width
    axes.invert_yaxis()
    axes.set(xlabel="squared error per held-out image", title="Where the error comes from")
    figure.legend(ncols=4, loc="outside lower center")
    return figure


def plot_reconstructions(study: Study, images: int = 4, kind: str = "recon_mean") -> Figure | None:
    """The same held-out images: a row per weight, a group of columns per latent size or schedule.

    `kind`: recon_mean | recon_sampled.
    """
    families = list(study.families)[:3] or [()]
    first = next((a for p in study.points if "originals" in (a := p.arrays())), None)
    if first is None:
        return None
    rows: list[tuple[str, list[np.ndarray | None]]] = [("original", [first["originals"][:images]] * len(families))]
    if "mean_image" in first:
        rows.append(("mean image", [np.stack([first["mean_image"]] * len(rows[0][1][0]))] * len(families)))  # type: ignore[arg-type]
    for weight in spread(study_weights(study), MOST_COLUMNS):
        rows.append((f"weight {weight:g}", [_tiles(study.families.get(f, []), weight, kind, images) for f in families]))
    if any(study.autoencoders(f) for f in families):
        rows.append(("autoencoder", [_tiles(study.autoencoders(f), None, "recon_mean", images) for f in families]))
    figure = Figure(figsize=(1.1 + 0.9 * images * len(families), 0.95 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), len(families), squeeze=False)
    for (name, cells), line in zip(rows, panels, strict=True):
        for cell, axes in zip(cells, line, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            if cell is not None:
                axes.imshow(np.concatenate(list(cell), 1).squeeze(), cmap="gray", vmin=0, vmax=255)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for family, axes in zip(families, panels[0], strict=True):
        axes.set_title(family_name(family))
    return figure


PLOTS: dict[str, Callable[..., Figure | None]] = {
    "reconstructions": plot_reconstructions, "rate_distortion": plot_rate_distortion, "curves": plot_curves,
    "gradients": plot_gradients, "units": plot_units, "posterior": plot_posterior, "gaps": plot_gaps,
}  # fmt: skip
_OF_THE_ANSWER = ("rate_distortion", "curves", "units", "posterior")


# --- shared ----------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _tangent(axes: Axes, x: float, y: float, slope: float, colour: str, inches: float = 0.35) -> None:
    """A line through (x, y) of the same length on paper whatever its slope; the limits must be final."""
    per_x, per_y = (abs(b - a) for a, b in (axes.get_xlim(), axes.get_ylim()))
    width, height = axes.figure.get_size_inches()  # type: ignore[union-attr]
    half = inches / np.hypot(width / per_x, slope * height / per_y)
    axes.plot([x - half, x + half], [y - slope * half, y + slope * half], color=colour, lw=1.4, alpha=0.7)


def _log_axes(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if high / low > 10:
            axis.set_minor_formatter(NullFormatter())


def _colours(study: Study) -> dict[float | None, str]:
    """Weight -> its colour on paper; the autoencoder, which has none, is grey."""
    weights = study_weights(study)
    return {None: SOFT} | {w: colour(p, "light") for w, p in zip(weights, weight_positions(weights), strict=True)}


def _weight_legend(study: Study, axes: Axes) -> None:
    weights = spread(list(_colours(study).items())[1:], 8)
    if not weights:
        return
    for weight, c in weights:
        axes.plot([], [], color=c, label=f"{weight:g}")
    axes.legend(title="weight", loc="upper left", bbox_to_anchor=(1, 1))


def _one_curve(study: Study, found: Recommendation | None) -> list[Point]:
    """One seed of the recommended curve, largest weight first."""
    return [s.points[0] for s in (found or recommend(study, judge(study))).curve]


def _tiles(points: list[Point], weight: float | None, kind: str, images: int) -> np.ndarray | None:
    found = next((p.arrays() for p in points if p.weight == weight), {})
    return found[kind][:images] if kind in found else None


def _cycled(markers: str, families: Sized) -> str:
    return "".join(markers[i % len(markers)] for i in range(len(families)))


def _split_name(split: str) -> str:
    return {"train": "training data", "val": "held-out data"}[split]
