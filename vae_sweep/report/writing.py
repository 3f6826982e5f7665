"""A page, a table and the figures of one sweep or several, written once or again and again."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.answer import answer, as_data
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.report.render import page, summary_markdown
from vae_sweep.runs.files import write_bytes, write_json
from vae_sweep.runs.reading import is_sweep, latest_sweep, load_sweep

WATCH_SECONDS, WAIT_SECONDS = 5.0, 1.0


def build(
    folders: Sequence[Path],
    out: Path | None = None,
    figures: bool = True,
    refresh: float | None = None,
    purpose: str = "reconstruct",
) -> Path:
    """Write index.html, answer.json, summary.csv, summary.md and figures/ of one sweep or several; returns the page.

    `out`: by default <sweep>/report, or report-<a>+<b> beside the first of several. `refresh`: seconds after which the
    open page loads itself again. `purpose`: which comes first in the answer. Raises RecordError if a folder is no
    sweep, ValueError for an unknown purpose.
    """
    study = studies.read([load_sweep(folder) for folder in folders])
    out = out or _default_out(folders)
    verdicts = judge(study)
    found = recommend(study, verdicts, purpose)
    said = answer(study, found, verdicts)
    index = out / "index.html"
    if figures:
        from vae_sweep.report import plots

        plots.save_all(study, out / "figures", found)
    write_bytes(out / "summary.csv", summary_csv(study, verdicts).encode())
    write_json(out / "answer.json", as_data(study, said))
    write_bytes(out / "summary.md", summary_markdown(study, verdicts, found, said).encode())
    write_bytes(index, page(study, verdicts, found, said, refresh).encode())
    return index


def _default_out(folders: Sequence[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / "report"
    return folders[0].resolve().parent / f"report-{'+'.join(folder.resolve().name for folder in folders)}"


def await_sweeps(folders: Sequence[Path], outputs: Path, say: Callable[[str], None]) -> list[Path]:
    """`folders`, or else the latest sweep below `outputs`, once they are there; says what it waits for."""
    said = False
    while True:
        missing = [folder for folder in folders if not is_sweep(folder)]
        if folders and not missing:
            return list(folders)
        if not folders and any(map(is_sweep, outputs.glob("*"))):
            return [latest_sweep(outputs)]
        if not said:
            say(f"waiting for {' and '.join(map(str, missing)) or f'a sweep below {outputs}'} (Ctrl-C stops)")
            said = True
        time.sleep(WAIT_SECONDS)


def watch(
    folders: Sequence[Path],
    out: Path | None,
    figures: bool,
    seconds: float = WATCH_SECONDS,
    purpose: str = "reconstruct",
) -> Iterator[Path]:
    """Build whenever a run's files change; a last time, with figures, when every run has ended. Yields the page."""
    seen = None
    while True:
        state = _state(folders)
        if state != seen:
            seen = state
            running = any(run.status in ("running", "queued") for folder in folders for run in load_sweep(folder).runs)
            yield build(folders, out, figures and not running, refresh=seconds if running else None, purpose=purpose)
            if not running:
                return
        time.sleep(seconds)


def _state(folders: Sequence[Path]) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of every file that the report reads."""
    runs = ("result.json", "metrics.jsonl", "evaluation.json", "evaluation.npz", "curve.json", "progress.npz")
    names = ("sweep.json", *(f"*/{name}" for name in runs))
    paths = [path for folder in folders for name in names for path in folder.glob(name)]
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.lstat()])
