"""Every kind of file of a tiny sweep, damaged in every way, met by every command. Not a test."""

import contextlib
import copy
import csv
import functools
import html
import io
import logging
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from configs import member_config
from rich.console import Console

import vae_sweep
from vae_sweep import evaluate
from vae_sweep.data.image_data import DataError
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.engine.worker import load, run_pack
from vae_sweep.report import __main__ as report
from vae_sweep.report import writing
from vae_sweep.runs.files import RecordError, read_json, write_json
from vae_sweep.runs.manifest import SweepError
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.run_sweep import Job, run_sweep
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.tracking import sync, tracker
from vae_sweep.training.checkpoints import LAST, load_checkpoint

PICTURES = Path(__file__).parent / "older_sweep" / "pictures"
SMALL = (
    "data=image_folder", "model=linear", "model.latent_dim=2", "data.batch_size=5", "trainer.max_steps=8",
    "trainer.val_every_n_epochs=0.4", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu", "launcher.pack=off",
    "data.image_size=8", "data.channels=1", "data.val_fraction=0.4", "sweep=s",
    "trainer.checkpoint_every_s=0.000001",
)  # fmt: skip

# Where each kind of file lies. done: a run that has ended, one model for all weights; open: one that was interrupted.
FILES = {
    "sweep.json": "s/sweep.json",
    "commands.jsonl": "s/commands.jsonl",
    "forecast-*.npz": "s/forecast-*.npz",
    "result.json": "{done}/result.json",
    "metrics.jsonl": "{done}/metrics.jsonl",
    "evaluation.json": "{done}/evaluation.json",
    "evaluation.npz": "{done}/evaluation.npz",
    "sampler.npz": "{done}/sampler.npz",
    "curve.json": "{done}/curve.json",
    "curve.npz": "{done}/curve.npz",
    "progress.npz": "{done}/progress.npz",
    "best.ckpt": "{done}/checkpoints/best.ckpt",
    "last.ckpt": "{done}/checkpoints/last.ckpt",
    "previous.ckpt": "{done}/checkpoints/previous.ckpt",
    "result.json, interrupted": "{open}/result.json",
    "metrics.jsonl, interrupted": "{open}/metrics.jsonl",
    "last.ckpt, interrupted": "{open}/checkpoints/last.ckpt",
    "previous.ckpt, interrupted": "{open}/checkpoints/previous.ckpt",
    "cache: images.npy": "images.npy",
    "cache: rows.npy": "rows.npy",
    "cache: unreadable.json": "unreadable.json",
    "cache: manifest.json": "manifest.json",
}


@dataclass
class Place:
    """A folder with pictures, their cache, and a sweep `s` of two members."""

    root: Path

    @property
    def sweep(self) -> Path:
        return self.root / "outputs" / "s"

    def run(self, number: int) -> Path:
        return next(self.sweep.glob(f"{number:03d}-*"))

    def file(self, kind: str) -> Path:
        pattern = FILES[kind]
        if kind.startswith("cache"):
            whole = next((self.root / "cache").glob("*/rows.npy"))
            return whole.with_name(pattern)
        done, unfinished = self.run(0).name, self.run(1).name
        where = pattern.removeprefix("s/").format(done=done, open=unfinished)
        return next(self.sweep.glob(where))


class _Stopped(ThisProcess):
    """Interrupts training before its sixth step."""

    def run(self, packs: Any, slots: Any, folder: Path, watch: Any) -> Any:
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return asked >= 6

        for number, pack in enumerate(packs):
            order = {"pack": number, "members": list(pack.members), "threads": pack.threads}
            run_pack(load(self.target), folder, order, watch, should_stop)
        return super().run([], slots, folder, watch)


def job(place: Place, *overrides: str, evaluate: bool = False) -> Job:
    config = copy.deepcopy(member_config(*SMALL, *overrides))
    config["data"] |= {"root": str(place.root / "pictures"), "cache_dir": str(place.root / "cache")}
    config["output_dir"] = str(place.root / "outputs")
    config["trainer"]["evaluate"] = evaluate
    return Job(config, overrides, {"overrides.yaml": "".join(f"- {word}\n" for word in overrides)})


def jobs(place: Place) -> list[Job]:
    return [job(place, "model.multi_rate=true", "trainer.keep=best", evaluate=True), job(place, "loss.kl_weight=0.5")]


def _trained(place: Place, asked: list[Job], where: ThisProcess | None = None) -> str:
    text = io.StringIO()
    run_sweep(asked, where or ThisProcess(), ["run.py", "-m"], console=Console(file=text, width=200))
    return text.getvalue()


def make(root: Path) -> Place:
    """One member done and evaluated, one interrupted between two checkpoints."""
    place = Place(root)
    shutil.copytree(PICTURES, root / "pictures")
    _trained(place, jobs(place)[:1])
    _trained(place, jobs(place), _Stopped())
    assert [run.status for run in load_sweep(place.sweep).runs] == ["done", "interrupted"]
    return place


# How a file can be damaged ------------------------------------------------------------------------------------------


def _replaced(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


def _flipped(path: Path) -> None:
    """One bit, in the middle of a number where it is text."""
    content = bytearray(path.read_bytes())
    digits = [k for k, byte in enumerate(content) if chr(byte).isdigit()] if path.suffix in (".json", ".jsonl") else []
    at = digits[len(digits) // 2] if digits else len(content) // 2
    if zipfile.is_zipfile(path):  # in the content of its largest member, not in what fills the gaps
        with zipfile.ZipFile(path) as file:
            largest = max(file.infolist(), key=lambda info: info.compress_size)
        names = sum(content[largest.header_offset + k] << (8 * (k % 2)) for k in range(26, 30))
        at = largest.header_offset + 30 + names + largest.compress_size // 2
    content[at] ^= 1
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _unreadable(path: Path) -> None:
    """A link to itself: it is there, and nobody can open it, not even root."""
    path.unlink()
    path.symlink_to(path.name)


def _newer(path: Path) -> None:
    if path.suffix == ".ckpt":
        torch.save({**torch.load(path, weights_only=True), "schema": 99}, path)
    elif path.suffix == ".json" and isinstance(found := read_json(path), dict):
        found.pop("crc32", None)
        write_json(path, {**found, "schema": 99})
    else:
        path.write_bytes(path.read_bytes())  # has no schema


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _replaced(b""),
    "cut in half": lambda path: (path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), None)[1],
    "[]": _replaced(b"[]"),
    "null": _replaced(b"null"),
    "{}": _replaced(b"{}"),
    "random bytes": _replaced(np.random.default_rng(0).bytes(500)),
    "one bit flipped": _flipped,
    "a folder": _folder,
    "newer schema": _newer,
    "missing": lambda path: path.unlink(),
    "unreadable": _unreadable,
}

# What meets it ------------------------------------------------------------------------------------------------------


def _again(place: Place, *more: Job, **changes: Any) -> str:
    asked = [*jobs(place), *more]
    for one in asked:
        one.config.update(changes)
    return _trained(place, asked)


def _retried(place: Place) -> str:
    path = place.run(1) / "result.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = read_json(path)
        if "crc32" in found and found["schema"] == 1 and len(found) > 10:
            found.pop("crc32")
            write_json(path, {**found, "status": "failed", "cause": "exception"})
    return _again(place, retry="failed")


def _watched(place: Place) -> str:
    return str(next(writing.watch([place.sweep], None, figures=False)))


def _loaded(place: Place) -> str:
    return vae_sweep.load(place.sweep).to_csv()


def _sampled(place: Place) -> str:
    vae = vae_sweep.load_model(place.run(0))
    return f"{vae.sample(2).sum():.6f} {vae.sample(2, from_='codes').sum():.6f}"


class _Recorder:
    """In the place of W&B's own run."""

    starting_step = 0

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}

    def log(self, row: Any, **_: Any) -> None:
        pass

    def finish(self, **_: Any) -> None:
        raise TimeoutError


def _synced(place: Place) -> str:
    before = sync.has_key, sync.reachable, tracker._Mirror._init
    sync.has_key, sync.reachable = lambda url: True, lambda url: True  # type: ignore[assignment]
    tracker._Mirror._init = lambda self, *_: _Recorder()  # type: ignore[method-assign, assignment]
    try:
        return _said(lambda: sync.main([str(place.sweep)]))
    finally:
        sync.has_key, sync.reachable, tracker._Mirror._init = before  # type: ignore[method-assign]


def _said(main: Callable[[], int]) -> str:
    """What a door prints; its exit code where it is not 0."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main()
        except SystemExit as error:  # a door's refusal
            raise RecordError(str(error)) from None
    if code and "error:" in out.getvalue():
        raise RecordError(out.getvalue().strip().splitlines()[-1])
    return out.getvalue()


COMMANDS: dict[str, Callable[[Place], str]] = {
    "again": _again,
    "extend": lambda place: _again(place, job(place, "loss.kl_weight=0.25")),
    "retry=failed": _retried,
    "report": lambda place: _said(lambda: report.main([str(place.sweep), "--no-figures"])),
    "--watch": _watched,
    "load": _loaded,
    "load_model": _sampled,
    "evaluate": lambda place: _said(lambda: evaluate.main([str(place.run(0)), "--weights", "0.5"])),
    "sync": _synced,
}
TRAIN = ("again", "extend", "retry=failed")


def reads(command: str, kind: str) -> bool:
    """Whether the command could come by such a file; `again` and those that only look meet all of a sweep."""
    cache, unfinished = kind.startswith("cache"), kind.endswith("interrupted")
    if command in ("extend", "--watch"):
        return cache if command == "extend" and cache else kind.startswith(("sweep", "result", "metrics"))
    if command == "retry=failed":
        return unfinished or kind == "sweep.json"
    if command in ("load_model", "evaluate"):
        return not unfinished and (not cache or command == "evaluate")
    return command == "again" or not cache


REFUSALS = (RecordError, DataError, SweepError, SettingsError, ValueError, KeyError)


class Wrong(AssertionError):
    """A traceback, a line that names nothing, or a number that is silently another."""


@dataclass
class Cell:
    outcome: str  # unharmed: nothing of it was needed; mended, said: in a line; refused: in one line
    words: str


def numbers(place: Place) -> dict[str, Any]:
    """Of every member: its final metrics, its weights, and what the report tells of it."""
    found: dict[str, Any] = {}
    for run in load_sweep(place.sweep).runs:
        with contextlib.suppress(RecordError):
            weights = load_checkpoint(run.folder / LAST)["state_dict"]
            found[f"{run.number} weights"] = {key: value.numpy().tobytes() for key, value in weights.items()}
        found[f"{run.number} metrics"] = run.metrics
    return found


def rows(place: Place) -> dict[str, dict[str, str]]:
    """The numbers of summary.csv by run."""
    path = place.sweep / "report" / "summary.csv"
    if not path.exists():
        return {}
    kept = list(csv.DictReader(io.StringIO(path.read_text())))
    return {row["number"]: {key: value for key, value in row.items() if "/" in key and value} for row in kept}


@contextlib.contextmanager
def _warnings() -> Iterator[io.StringIO]:
    out = io.StringIO()
    handler, logger = logging.StreamHandler(out), logging.getLogger("vae_sweep")
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(handler)
    try:
        yield out
    finally:
        logger.removeHandler(handler)
        logger.level = level


def met(base: Place, kind: str | None, damage: str | None, command: str, scratch: Path) -> tuple[Place, str, bool]:
    """(the folder after it, what was said, whether it was refused) of `command` over a damaged copy of `base`.

    In the very folder of `base`, which is moved away meanwhile: its path is in its configs, and the cache knows it.
    """
    aside = scratch / "aside"
    shutil.copytree(base.root, aside, symlinks=True)
    try:
        if kind is not None and damage is not None:
            DAMAGES[damage](base.file(kind))
        tracker._said.clear()
        with _warnings() as warned:
            try:
                said, refused = COMMANDS[command](base), False
            except REFUSALS as error:
                said, refused = str(error), True
                if not isinstance(error, (RecordError, DataError, SweepError, SettingsError)) and not (
                    type(error) is ValueError and command == "load_model"
                ):
                    raise
        after = scratch / "after"
        shutil.rmtree(after, ignore_errors=True)
        shutil.copytree(base.root, after, symlinks=True)
        return Place(after), warned.getvalue() + said, refused
    finally:
        shutil.rmtree(base.root)
        aside.rename(base.root)


def judged(base: Place, kind: str, damage: str, command: str, scratch: Path, wanted: dict[str, Any]) -> Cell:
    """One cell of the matrix. wanted: `reference` of this command. Raises Wrong."""
    path = base.file(kind)
    where = f"{kind} ({damage}), {command}"
    try:
        after, said, refused = met(base, kind, damage, command, scratch)
    except Exception as error:
        raise Wrong(f"{where}: {type(error).__name__}: {error}") from error
    page = after.sweep / "report" / "index.html"
    shown = page.read_text() if command in ("report", "--watch") and page.exists() else ""
    named = str(path) in said or str(path) in html.unescape(shown)
    if "Traceback" in said:
        raise Wrong(f"{where}: a traceback: {said[-1500:]}")
    if refused:
        if not (named or path.parent.name in said) or "\n" in said.strip():
            raise Wrong(f"{where}: refused by no line that names the file: {said}")
        return Cell("refused", said)
    refusing = _failed_for(after, path) if command in TRAIN else set()
    other = _others(numbers(after), wanted["numbers"]) if command in TRAIN else []
    if other := [key for key in other if key.split()[0] not in refusing]:
        raise Wrong(f"{where}: other numbers: {other}; {said}")
    if refusing:
        return Cell("refused", said)
    if command in ("report", "--watch") and (other := _other_rows(rows(after), wanted["rows"], named)):
        raise Wrong(f"{where}: other rows: {other}")
    if command in ("load", "load_model") and not named and said != wanted["said"]:
        raise Wrong(f"{where}: silently other")
    return Cell("mended" if command in TRAIN and named else "said" if named else "unharmed", said)


def _failed_for(place: Place, path: Path) -> set[str]:
    """The members that failed with a line that names the file; the others of the sweep trained."""
    runs = load_sweep(place.sweep).runs
    return {str(run.number) for run in runs if run.status == "failed" and str(path) in run.error["message"]}


def _others(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [key for key in wanted if key in found and found[key] != wanted[key]]


def _other_rows(found: dict[str, Any], wanted: dict[str, Any], said: bool) -> list[str]:
    """Runs that lost numbers without a word, or have other ones."""
    other = []
    for run, row in wanted.items():
        ours = found.get(run, {})
        changed = any(key in row and row[key] != value for key, value in ours.items())
        if changed or (len(ours) < len(row) and not said):
            other.append(f"run {run}")
    return other


def reference(base: Place, command: str, scratch: Path) -> dict[str, Any]:
    after, said, refused = met(base, None, None, command, scratch)
    assert not refused, said
    return {"numbers": numbers(after), "rows": rows(after), "said": said}


def whole_matrix(scratch: Path) -> tuple[dict[tuple[str, str, str], Cell], list[str]]:
    """All cells, and what went wrong."""
    base = make(scratch / "base")
    cells, wrong = {}, []
    for command in COMMANDS:
        wanted = reference(base, command, scratch)
        for kind in filter(functools.partial(reads, command), FILES):
            for damage in DAMAGES:
                try:
                    cells[kind, damage, command] = judged(base, kind, damage, command, scratch, wanted)
                except Wrong as error:
                    wrong.append(str(error))
                    print(error, file=sys.stderr, flush=True)
    return cells, wrong


def table(cells: dict[tuple[str, str, str], Cell]) -> str:
    """Markdown: for every kind of file and command how many of the damages end in which way."""
    commands = list(dict.fromkeys(command for _, _, command in cells))
    lines = ["| file | " + " | ".join(commands) + " |", "|---" * (1 + len(commands)) + "|"]
    for kind in FILES:
        ends = []
        for command in commands:
            found = [cell.outcome for (file, _, asked), cell in cells.items() if (file, asked) == (kind, command)]
            ends.append(", ".join(f"{found.count(end)} {end}" for end in dict.fromkeys(found)))
        lines.append(f"| {kind} | " + " | ".join(ends) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        seen, trouble = whole_matrix(Path(scratch))
    print(table(seen), f"{len(seen)} cells, {len(trouble)} wrong", *trouble, sep="\n")
    sys.exit(bool(trouble))
