"""`python3 -m vae_sweep.evaluate RUN ...`: measure trained runs again, from their checkpoints.

Writes evaluation.json, evaluation.npz and sampler.npz into each run folder; training does the same at its end, with the
defaults. Or writes the codes of all images into a file.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_sweep.commands import Parser, command, door
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.moved import data_section
from vae_sweep.runs.reading import is_sweep, load_run, load_sweep
from vae_sweep.runs.records import Damaged, log
from vae_sweep.runs.withheld import resolved
from vae_sweep.sweep.refusal import refused_in_one_line

if TYPE_CHECKING:
    from vae_sweep.data.image_data import ImageData
    from vae_sweep.evaluation import Settings
    from vae_sweep.training.lit_vae import LitVAE

EXAMPLES = """examples:
  {command} outputs/my_sweep                    every finished run of a sweep
  {command} outputs/my_sweep/000-kl_weight=1-4f2a9c01 --k 1000 --bound-images all
  {command} outputs/my_sweep/000-multi_rate=true-77c01e9a --weights 0.03,0.1   add to its curve.json
  {command} outputs/my_sweep/000-kl_weight=1-4f2a9c01 --codes codes.csv   every image's code, with its file name
"""


class EvaluationError(RecordError):
    """A run that cannot be evaluated; one line that names it."""


def main(argv: Sequence[str] | None = None) -> int:
    with door():
        args = parser().parse_args(argv)
        with refused_in_one_line():
            _measure(args)
    return 0


def _measure(args: argparse.Namespace) -> None:
    folders = [folder for path in args.paths for folder in _run_folders(path)]
    settings = _settings(args)
    if args.codes:
        print(f"{args.codes}: {codes_of_run(_only(folders), args.codes, args.device)} codes")
    elif args.weights:
        for folder in folders:
            print(f"{folder}:\n{_curve_in_words(curve_run(folder, args.weights, args.device), args.weights)}")
    else:
        for folder in folders:
            began = time.monotonic()
            values = evaluate_run(folder, settings, args.device)
            print(f"{folder}: {_in_words(values, time.monotonic() - began)}", flush=True)


def evaluate_run(folder: Path, settings: "Settings", device: str = "cpu") -> dict[str, Any]:
    """Measure the run in `folder` from its last checkpoint, write and return what evaluation.json holds.

    Raises RecordError without a checkpoint, DataError if its images cannot be loaded, EvaluationError if they have
    changed since or nothing can be written there; and whatever metrics of other packages raise.
    """
    from vae_sweep.evaluation import evaluate
    from vae_sweep.training.build import own_metrics

    lit, data, config = _trained(folder, device)
    batch_size, weight = config["data"]["batch_size"], float(lit.settled_weight)
    evaluation = evaluate(lit.objective, weight, lit.step, data, batch_size, settings, own_metrics(config))
    with _written(folder):
        evaluation.write(folder)
    return evaluation.values


def codes_of_run(folder: Path, path: Path, device: str = "cpu") -> int:
    """Write the codes of all images of the run in `folder` to `path` (.npz or .csv); how many.

    Raises as `evaluate_run` does, and ValueError for another suffix.
    """
    from vae_sweep.evaluation.export import all_codes, write_codes

    lit, data, _ = _trained(folder, device)
    codes = all_codes(lit.objective.eval(), data, next(lit.parameters()).device)
    with _written(path):
        write_codes(path, codes)
    return len(codes["mean"])


def _only(folders: Sequence[Path]) -> Path:
    if len(folders) != 1:
        raise EvaluationError(f"--codes is of one run, these are {len(folders)}: name its folder")
    return folders[0]


def curve_run(folder: Path, weights: Sequence[float], device: str = "cpu") -> dict[str, Any]:
    """Measure the multi-rate run in `folder` at `weights` too; write and return what its curve.json holds.

    Raises as `evaluate_run` does, and EvaluationError for a run of one weight or a weight outside its range.
    """
    from vae_sweep.evaluation import curve, curve_pictures, curve_weights, write_curve

    lit, data, config = _trained(folder, device)
    if not lit.objective.multi_rate:
        raise EvaluationError(f"{folder} was trained at one weight: --weights needs model.multi_rate=true")
    low, high = lit.objective.vae.kl_weight_range
    if outside := [weight for weight in weights if not low <= weight <= high]:
        raise EvaluationError(f"--weights {outside[0]:g}: {folder} was trained on {low:g} to {high:g}")
    try:
        before = [row["kl_weight"] for row in load_run(folder).curve().get("val", [])]
    except (Damaged, KeyError) as error:  # it is written anew
        log.warning("%s; measured anew at the standard weights and those of --weights", error)
        before = []
    at = curve_weights(lit.objective.vae, [*before, *weights])
    found = curve(lit.objective, lit.step, data, at, config["data"]["batch_size"])
    pictures = curve_pictures(lit.objective, data, at)
    with _written(folder):
        write_curve(folder, found, pictures)
    return found


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error.strerror or error}") from None


def _trained(folder: Path, device: str) -> "tuple[LitVAE, ImageData, dict[str, Any]]":
    """A run's module on `device`, its images and its config."""
    from vae_sweep.data import load
    from vae_sweep.training.loading import load_lit

    lit, checkpoint = load_lit(folder)
    written = checkpoint["hyper_parameters"]["config"]
    config = {**resolved(written, written.keys() - {"data", "logger"}), "data": data_section(folder, written)}
    data = load(config["data"])
    trained_on = load_run(folder).result.get("data_fingerprint")
    if trained_on not in (None, data.fingerprint):
        raise EvaluationError(f"{folder} was trained on other images than data={data.name} holds now")
    lit.step = checkpoint["step"]
    return lit.to(device).float(), data, config


def _run_folders(path: Path) -> Iterator[Path]:
    """A run folder; or the finished runs of a sweep. Raises RecordError if there is nothing to evaluate."""
    if is_sweep(path):
        done = [run.folder for run in load_sweep(path).runs if run.status == "done"]
        if not done:
            raise RecordError(f"{path} has no finished run yet")
        yield from done
    elif (path / "checkpoints").is_dir():
        yield path
    else:
        raise RecordError(f"{path} is neither a run with a checkpoint nor a sweep")


def _settings(args: argparse.Namespace) -> "Settings":
    from vae_sweep.evaluation import Settings

    asked = {
        name: getattr(args, name) for name in ("images", "bound_images", "gradient_images", "aggregate_samples", "k")
    }
    numbers: dict[str, Any] = {
        name: None if value == "all" else value for name, value in asked.items() if value is not None
    }
    if numbers.get("images", 0) is None:
        numbers["ssim_images"] = None
    return Settings(**numbers)


def parser() -> argparse.ArgumentParser:
    found = Parser(
        "evaluate",
        "Measure trained runs from their checkpoints: bounds on the likelihood, active units, aggregate posterior, "
        "prior, gradients, pictures. The defaults take seconds.",
        EXAMPLES.format(command=command("evaluate")),
    )
    found.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="a run folder, or a sweep: its finished runs")
    found.add_argument("--k", type=_count, help="samples per image for the importance-weighted NLL (default 100)")
    found.add_argument(
        "--bound-images", type=_count_or_all, metavar="N|all", help="held-out images for it (default 64)"
    )
    found.add_argument("--images", type=_count_or_all, metavar="N|all", help="images of each split (default 1024)")
    found.add_argument(
        "--gradient-images", type=_count_or_all, metavar="N|all", help="training images for the gradients (default 512)"
    )
    found.add_argument(
        "--aggregate-samples", type=_count_or_all, metavar="N|all", help="samples of z for MI and TC (default 256)"
    )
    found.add_argument(
        "--weights", type=_weights, metavar="W,W,...", help="only this: KL weights at which to measure a multi-rate run"
    )
    found.add_argument(
        "--codes", type=_table, metavar="FILE", help="only this: the codes of all images, to a .npz or .csv file"
    )
    found.add_argument("--device", default="cpu", help="cpu | cuda | mps (default cpu)")
    return found


def _table(text: str) -> Path:
    if Path(text).suffix not in (".npz", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .npz or .csv")
    return Path(text)


def _weights(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0.03,0.1") from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 1")
    return int(text)


def _count_or_all(text: str) -> int | str:
    return text if text == "all" else _count(text)


def _in_words(values: dict[str, Any], seconds: float) -> str:
    held_out = values["val"]
    parts = [f"sse {held_out['sse']:.4g}", f"psnr {held_out['psnr_mean']:.1f} dB"]
    if "kl" in held_out:
        parts[1:1] = [f"kl {held_out['kl']:.4g} nats", f"{held_out['active_units']} active units"]
    bounds = [key for key in held_out if key.startswith("nll_calibrated_") and key[15:].isdecimal()]
    if bounds:
        parts.append(f"{bounds[-1].replace('_', ' ')}: {held_out[bounds[-1]]:.1f} nats")
    return f"{', '.join(parts)} (held out; {seconds:.0f} s)"


def _curve_in_words(found: dict[str, Any], weights: Sequence[float]) -> str:
    rows = [row for row in found["val"] if row["kl_weight"] in weights]
    return "\n".join(
        "  kl_weight {kl_weight:g}: sse {sse:.4g}, kl {kl:.4g} nats, loss {loss:.4g} (held out)".format_map(row)
        for row in rows
    )


if __name__ == "__main__":
    raise SystemExit(main())
