"""The report: run folders in, one self-contained page out. No torch, no network.

python -m vae_sweep.report                       the latest sweep below outputs/
python -m vae_sweep.report outputs/a outputs/b   two sweeps on the same data, side by side
python -m vae_sweep.report --watch --open        refresh while the sweep runs
"""

import argparse
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.answer import answer
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.table import summary_csv
from vae_sweep.analysis.verdicts import judge
from vae_sweep.page.render import page, summary_markdown
from vae_sweep.records import RecordError, latest_sweep, load_sweep, write_bytes

WATCH_SECONDS = 5.0


def build(folders: Sequence[Path], out: Path | None = None, figures: bool = True, refresh: float | None = None) -> Path:
    """Write index.html, summary.csv, summary.md and figures/ for one sweep or several; returns the page's path.

    `out`: by default <sweep>/report, or report-<a>+<b> beside the first of several. `refresh`: seconds after which the
    open page loads itself again. Raises RecordError if a folder is no sweep.
    """
    study = studies.read([load_sweep(folder) for folder in folders])
    out = out or _default_out(folders)
    verdicts = judge(study)
    found = recommend(study, verdicts)
    said = answer(study, found)
    index = out / "index.html"
    if figures:
        from vae_sweep import plots

        plots.save_all(study, out / "figures")
    write_bytes(out / "summary.csv", summary_csv(study, verdicts).encode())
    write_bytes(out / "summary.md", summary_markdown(study, verdicts, found, said).encode())
    write_bytes(index, page(study, verdicts, found, said, refresh).encode())
    return index


def _default_out(folders: Sequence[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / "report"
    return folders[0].resolve().parent / f"report-{'+'.join(folder.resolve().name for folder in folders)}"


def watch(folders: Sequence[Path], out: Path | None, figures: bool, seconds: float = WATCH_SECONDS) -> Iterator[Path]:
    """Build whenever a run's files change; a last time, with figures, when every run has ended. Yields the page."""
    seen = None
    while True:
        state = _state(folders)
        if state != seen:
            seen = state
            running = any(run.status in ("running", "queued") for folder in folders for run in load_sweep(folder).runs)
            yield build(folders, out, figures and not running, refresh=seconds if running else None)
            if not running:
                return
        time.sleep(seconds)


def _state(folders: Sequence[Path]) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of every file that the report reads."""
    names = ("sweep.json", "*/result.json", "*/metrics.jsonl", "*/evaluation.json", "*/evaluation.npz", "*/curve.json")
    paths = [path for folder in folders for name in names for path in folder.glob(name)]
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.stat()])


def parser() -> argparse.ArgumentParser:
    described, _, examples = (__doc__ or "").partition("\n")
    found = argparse.ArgumentParser(
        prog="vae-sweep-report",
        description=described,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("sweep", nargs="*", type=Path, help="sweep folders on the same data (default: the latest)")
    found.add_argument("--outputs", type=Path, default=Path("outputs"), help="where sweeps lie (default: outputs)")
    found.add_argument("--out", type=Path, help="where to write (default: SWEEP/report)")
    found.add_argument("--open", action="store_true", help="open the page in the browser")
    found.add_argument("--watch", action="store_true", help="refresh the page while the sweep runs")
    found.add_argument("--no-figures", action="store_true", help="leave out the PNG and SVG files")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    figures = not args.no_figures
    try:
        folders = args.sweep or [latest_sweep(args.outputs)]
        built = watch(folders, args.out, figures) if args.watch else iter([build(folders, args.out, figures)])
        for number, index in enumerate(built):
            print(f"{time.strftime('%H:%M:%S')} {index}" if args.watch else index, flush=True)
            if args.open and number == 0:
                webbrowser.open(index.resolve().as_uri())
    except (RecordError, OSError) as error:
        print(f"vae-sweep-report: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
