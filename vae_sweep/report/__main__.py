"""The report: run folders in, one self-contained page out. No torch, no network.

python3 -m vae_sweep.report                       the latest sweep below outputs/
python3 -m vae_sweep.report outputs/a outputs/b   two sweeps on the same data, side by side
python3 -m vae_sweep.report --watch --open        refresh while the sweep runs
"""

import argparse
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from vae_sweep.analysis.purposes import NAMES
from vae_sweep.commands import Parser, command, door
from vae_sweep.report.writing import await_sweeps, build, watch
from vae_sweep.runs.files import RecordError, read_json
from vae_sweep.runs.reading import latest_sweep
from vae_sweep.text import inert


def parser() -> argparse.ArgumentParser:
    described, _, examples = (__doc__ or "").replace("python3 -m vae_sweep.report", command("report")).partition("\n")
    found = Parser("report", described, examples)
    found.add_argument("sweep", nargs="*", type=Path, help="sweep folders on the same data (default: the latest)")
    found.add_argument("--outputs", type=Path, default=Path("outputs"), help="where sweeps lie (default: outputs)")
    found.add_argument("--out", type=Path, help="where to write (default: SWEEP/report)")
    found.add_argument("--open", action="store_true", help="open the page in the browser")
    found.add_argument(
        "--purpose", choices=NAMES, default="reconstruct", help="what the weight is for: which answer comes first"
    )
    found.add_argument(
        "--watch", action="store_true", help="refresh the page while the sweep runs; wait for one that is coming"
    )
    found.add_argument("--no-figures", action="store_true", help="leave out the PNG and SVG files")
    return found


def _as_option(word: str) -> str:
    """report.purpose=code, as the other commands write settings, is --purpose=code."""
    return f"--purpose={word.partition('=')[2]}" if word.startswith("report.purpose=") else word


def main(argv: Sequence[str] | None = None) -> int:
    words = [_as_option(word) for word in (sys.argv[1:] if argv is None else argv)]
    with door():
        return _main(parser().parse_args(words))


def _main(args: argparse.Namespace) -> int:
    figures, purpose = not args.no_figures, args.purpose
    try:
        if args.watch:
            folders = await_sweeps(args.sweep, args.outputs, lambda line: print(line, file=sys.stderr, flush=True))
        else:
            folders = args.sweep or [latest_sweep(args.outputs)]
        if args.watch:
            built = watch(folders, args.out, figures, purpose=purpose)
        else:
            built = iter([build(folders, args.out, figures, purpose=purpose)])
        for number, index in enumerate(built):
            print(f"{time.strftime('%H:%M:%S')} {inert(index)}" if args.watch else inert(index))
            said = read_json(index.parent / "answer.json")
            print(said["headline"], *said["brief"], sep="\n", flush=True)
            if args.open and number == 0:
                webbrowser.open(index.resolve().as_uri())
    except BrokenPipeError:
        raise  # the door knows what that means
    except (RecordError, OSError) as error:
        print(f"error: {inert(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
