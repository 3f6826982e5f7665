"""A sweep in a notebook: a pandas DataFrame that draws the report's figures.

import vae_sweep
runs = vae_sweep.load("outputs/x")
runs[["loss.kl_weight", "val/kl", "val/sse"]]
runs[runs["seed"] == 0].plot_rate_distortion()      # of the rows that are left
vae = runs.load(0.1)                                # the trained model of that weight
"""

import html
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_sweep.environment import install

try:
    import pandas as pd
except ImportError:
    raise ImportError(f"vae_sweep.load needs pandas: {install('notebook')}") from None

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.answer import answer, as_data
from vae_sweep.analysis.point import Point
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.study import SPLITS, Study
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.reading import load_sweep
from vae_sweep.runs.records import log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_sweep.training.loading import TrainedVAE


@dataclass(frozen=True)
class Page:
    """A report. path: of its page, one self-contained file; height: pixels of it in a notebook."""

    path: Path
    height: int

    def show(self) -> None:
        """Inline where this is a notebook, else by its path."""
        ipython: Any = sys.modules.get("IPython")  # a notebook has loaded it
        if ipython and hasattr(ipython.get_ipython(), "kernel"):
            ipython.display.display(self)
        else:
            print(f"page      {self.path}")

    def _repr_html_(self) -> str:
        """A frame with the page in it, for it has styles and scripts of its own; nothing is fetched."""
        page = html.escape(self.path.read_text("utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{self.height}px;border:0"></iframe>'


class Runs(pd.DataFrame):
    """One row per run, indexed by id: the settings that differ, status, beta, verdict, every final metric."""

    _metadata = ("_study",)  # pandas carries it through filtering and sorting

    @property
    def _constructor(self) -> type["Runs"]:
        return Runs

    @property
    def study(self) -> Study:
        """The runs of these rows, for the functions of vae_sweep.analysis and vae_sweep.report.plots."""
        whole: Study = self._study
        return replace(whole, points=[p for p in whole.points if p.id in self.index])

    def load(self, which: str | float) -> "TrainedVAE":
        """The trained model of one of these runs: its KL weight ("0.1" or 0.1), "autoencoder", its number ("#3") or id.

        Raises KeyError if no finished run, or more than one, answers to that.
        """
        from vae_sweep import load_model  # torch, and a floor above: only when a model is asked for

        found = [p for p in self.study.points if p.done and _answers_to(p, str(which))]
        if len(found) == 1:
            return load_model(found[0].run.folder)
        known = found or [p for p in self.study.points if p.done]
        listed = "; ".join(f"#{p.run.number} {p.label}" for p in known) or "none has finished"
        raise KeyError(f"{which!r} is {'more than one run' if found else 'no run'} of these: {listed}")

    @property
    def answer(self) -> dict[str, Any]:
        """What report/answer.json would hold of these rows: purposes, lead, next."""
        verdicts = judge(self.study)
        return as_data(self.study, answer(self.study, recommend(self.study, verdicts), verdicts))

    def report(self, show: bool = True, figures: bool = True, height: int = 900) -> "Page":
        """Write the report of these runs' sweeps, with all of their runs; `figures` beside it, as PNG and SVG.

        show: in a notebook the page itself, `height` pixels high; elsewhere where it is.
        """
        from vae_sweep.report.writing import build

        folders = list(dict.fromkeys(Path(folder).parent for folder in self["folder"]))
        page = Page(build(folders, figures=figures), height)
        if show:
            page.show()
        return page

    def _draw(self, name: str, **options: Any) -> "Figure":
        from vae_sweep.report import plots

        figure = getattr(plots, name)(self.study, **options)
        if figure is None:
            raise ValueError(f"{name}: these runs have nothing to show")
        return figure

    def plot_rate_distortion(self, split: str | None = None) -> "Figure":
        return self._draw("plot_rate_distortion", split=split)

    def plot_reconstructions(self, images: int = 4, kind: str = "recon_mean") -> "Figure":
        return self._draw("plot_reconstructions", images=images, kind=kind)

    def plot_curves(self) -> "Figure":
        return self._draw("plot_curves")

    def plot_gradients(self) -> "Figure":
        return self._draw("plot_gradients")

    def plot_units(self) -> "Figure":
        return self._draw("plot_units")

    def plot_posterior(self) -> "Figure":
        return self._draw("plot_posterior")

    def plot_gaps(self) -> "Figure":
        return self._draw("plot_gaps")


def _answers_to(point: Point, name: str) -> bool:
    if name in (point.id, f"#{point.run.number}") or (name == "autoencoder" and point.autoencoder):
        return True
    try:
        return point.weight is not None and float(name) == point.weight
    except ValueError:
        return False


def load(*folders: str | Path) -> Runs:
    """The runs of one sweep folder, or of several on the same data. Files that are damaged are told as warnings.

    Raises RecordError if a folder is no sweep.
    """
    study = studies.read([load_sweep(Path(folder)) for folder in folders])
    verdicts = judge(study)
    rows = [
        {
            "number": p.run.number, **{key: p.settings.get(key) for key in study.swept}, "status": p.status,
            "beta": p.beta, "verdict": "; ".join(finding.words for finding in verdicts[p.id]),
            "wall_s": p.run.result.get("wall_s"), "folder": str(p.run.folder),
            **{f"{split}/{name}": p.get(split, name) for split in SPLITS for name in p.metric_names(split)},
        }
        for p in study.points
    ]  # fmt: skip
    for point in study.points:
        lost = [str((point.run.error or {}).get("message"))] if point.run.lost else []
        for problem in dict.fromkeys([*lost, *point.problems]):
            log.warning("%s", problem)
    runs = Runs(rows, index=pd.Index([p.id for p in study.points], name="id"))
    object.__setattr__(runs, "_study", study)
    return runs
