"""A sweep from its jobs to its results: check everything, then write, then train what is not done.

    outcome = run_sweep(jobs, machine, command=sys.argv)

Members are known by their content (members.py), so the same jobs on the same name skip what is done and continue what
is partial, and new jobs extend the sweep. Nothing is written before all is checked.
"""

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from rich.console import Console

from vae_sweep import live, outcomes, provenance
from vae_sweep import plan as planning
from vae_sweep.cost import Cost, cost
from vae_sweep.image_data import ImageData
from vae_sweep.manifest import (
    Manifest,
    SweepError,
    check_compatible,
    freeze,
    new_manifest,
    split_pack,
    take_out,
    with_members,
)
from vae_sweep.members import Member, member_id, total_steps
from vae_sweep.plan import Pack, largest_pack, make_packs, pack_seconds
from vae_sweep.preflight import banners, check_schedule, describe, with_forecast
from vae_sweep.records import read_json, write_bytes, write_json
from vae_sweep.settings import check_members
from vae_sweep.slots import Slot
from vae_sweep.stop import StopRequest

MANIFEST = "sweep.json"
Load = Callable[[Mapping[str, Any]], ImageData]


@dataclass(frozen=True)
class Job:
    """What is asked for: a resolved config, and what the user typed. books: Hydra's files for the run's `.hydra/`."""

    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    books: Mapping[str, str] = field(default_factory=dict)


class Place(Protocol):
    """Where packs run: this machine (machine.py), a cluster (slurm.py)."""

    gpu: bool
    memory: float | None

    def slots(self, wanted: int) -> tuple[list[Slot], int]: ...
    def width(self, devices: int, threads: int, slots: Sequence[Slot]) -> int: ...
    def run(
        self, packs: Sequence[Pack], slots: Sequence[Slot], folder: Path, watch: Callable[[dict[str, Any]], None]
    ) -> StopRequest: ...


@dataclass(frozen=True)
class Outcome:
    """results: what result.json holds, one per job in its order. exit_code: 0, 1 (not all done), 130 or 143."""

    folder: Path
    results: list[dict[str, Any]]
    exit_code: int


def load_images(section: Mapping[str, Any]) -> ImageData:
    """The images of cfg.data. Raises DataError."""
    from vae_sweep.data import load  # decoders are not needed before

    return load(section)


def run_sweep(
    jobs: Sequence[Job],
    place: Place,
    command: Sequence[str] = (),
    name: str | None = None,
    console: Console | None = None,
    load: Load = load_images,
) -> Outcome:
    """Train all jobs as one sweep. name: of the folder, instead of the `sweep` of the configs.

    Raises SettingsError, DataError or SweepError, one line each, before anything is written.
    """
    console = console or live.console()
    first = jobs[0].config
    check_members([job.config for job in jobs])
    for key in ("sweep", "output_dir", "retry", "launcher"):
        if any(job.config[key] != first[key] for job in jobs):
            raise SweepError(f"{key} cannot be swept: it is one for the whole sweep")
    images = _loaded(load, [job.config["data"] for job in jobs])
    for job, data in zip(jobs, images, strict=True):
        check_schedule(job.config, len(data.train))
    members = [
        Member(member_id(job.config, data.fingerprint), job.config, job.overrides)
        for job, data in zip(jobs, images, strict=True)
    ]
    data_of = {member.id: data for member, data in zip(members, images, strict=True)}
    unique: dict[str, Member] = {}
    for member in members:
        unique.setdefault(member.id, member)
    name = name or first["sweep"]
    with _opened(Path(first["output_dir"]), name) as folder:
        manifest = _manifest(folder, command, list(unique.values()), data_of)
        manifest, packs, slots = _planned(manifest, folder, list(unique.values()), place, first)
        if packs:
            manifest = with_forecast(manifest, {data.fingerprint: data for data in images})
            live.print_lines(banners(manifest), console)
        _write_books(folder, manifest, {member.id: job.books for member, job in zip(members, jobs, strict=True)})
        write_json(folder / MANIFEST, manifest)
        stop = _train(folder, manifest, packs, slots, place, console)
        return _outcome(folder, manifest, members, stop, command, console)


def _loaded(load: Load, sections: Sequence[Mapping[str, Any]]) -> list[ImageData]:
    """The images of every section; equal ones are loaded once."""
    keys = [json.dumps(section, sort_keys=True) for section in sections]
    found = {key: load(section) for key, section in dict(zip(keys, sections, strict=True)).items()}
    return [found[key] for key in keys]


@contextmanager
def _opened(output_dir: Path, name: str | None) -> Iterator[Path]:
    """The sweep's folder, locked: made if it is new, and removed again if nothing has come of it.

    Without a name, the time of day with a number that makes it new. Raises SweepError if another process has it.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        folder = output_dir / str(name) if name is not None else _new_folder(output_dir)
        new = name is None or not folder.exists()
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise SweepError(f"{folder} is being run by another process; choose another sweep=NAME, or wait") from None
    except OSError as error:
        raise SweepError(f"output_dir={output_dir}: cannot be written: {error.strerror}") from None
    try:
        yield folder
    except BaseException:
        if new and not (folder / MANIFEST).exists():
            shutil.rmtree(folder)
        raise
    finally:
        lock.release()


def _new_folder(output_dir: Path) -> Path:
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = output_dir / (now if number == 1 else f"{now}_{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise SweepError(f"{output_dir} holds a thousand sweeps of this second")


def _manifest(
    folder: Path, command: Sequence[str], members: Sequence[Member], images: Mapping[str, ImageData]
) -> Manifest:
    """The sweep's manifest with these members, old or new; not written yet."""
    path = folder / MANIFEST
    data = {member: describe(found) for member, found in images.items()}
    if path.exists():
        manifest = read_json(path)
        check_compatible(manifest, members, data)
    else:
        if any(not entry.name.startswith(".") and entry.name != "multirun.yaml" for entry in folder.iterdir()):
            raise SweepError(f"{folder} is no sweep and is not empty: choose another sweep=NAME")
        where = {
            "versions": provenance.versions(),
            "git_commit": provenance.git_commit(),
            "hardware": provenance.hardware(),
        }
        manifest = new_manifest(folder.name, command, os.getcwd(), where)
    return with_members(manifest, members, data)


def _planned(
    manifest: Manifest, folder: Path, members: Sequence[Member], place: Place, config: Mapping[str, Any]
) -> tuple[Manifest, list[Pack], list[Slot]]:
    """(manifest with its plan, packs to train now, slots). Old packs stay as they are."""
    results = {entry["id"]: outcomes.read_result(folder / entry["folder"]) for entry in manifest["members"]}
    wanted = {member.id for member in members if outcomes.continues_by_itself(results[member.id])}
    if config["retry"] == "failed":
        failed = {member.id for member in members if results[member.id].get("status") == "failed"} - wanted
        for member in failed:
            _forget_failure(folder, manifest, member, results[member])
        manifest = take_out(manifest, failed)
        wanted |= failed
    frozen = manifest["plan"]
    old = [index for index, pack in enumerate(frozen["packs"]) if wanted & set(pack)]
    new = [member for member in members if not any(member.id in pack for pack in frozen["packs"])]
    if not old and not new:
        return manifest, [], []

    costs = {entry["id"]: _cost(entry, manifest) for entry in manifest["members"]}
    slots, threads = place.slots(len(old) + sum(member.config["trainer"]["devices"] for member in new))
    made = make_packs(
        new,
        lambda member: largest_pack(config["launcher"]["pack"], costs[member.id], place.memory),
        max(1, len(slots) - len(old)),
    )
    manifest = freeze(
        manifest,
        [slot.name for slot in slots],
        [*frozen["packs"], *made],
        [*frozen["threads"], *[threads] * len(made)],
    )
    todo = [*old, *range(len(frozen["packs"]), len(manifest["plan"]["packs"]))]
    try:
        return manifest, [_pack(manifest, index, costs, place, slots) for index in todo], slots
    except ValueError as error:  # more devices than there are
        raise SweepError(str(error)) from None


def _pack(
    manifest: Manifest, index: int, costs: Mapping[str, Cost | None], place: Place, slots: Sequence[Slot]
) -> Pack:
    members, threads = manifest["plan"]["packs"][index], manifest["plan"]["threads"][index]
    entry = next(entry for entry in manifest["members"] if entry["id"] == members[0])
    steps = total_steps(entry["config"], manifest["datasets"][entry["data_fingerprint"]]["train"])
    devices = entry["config"]["trainer"]["devices"]
    return Pack(
        tuple(members),
        place.width(devices, threads, slots),
        threads,
        steps,
        pack_seconds(steps, costs[members[0]], len(members), threads, place.gpu),
    )


def _cost(entry: Mapping[str, Any], manifest: Manifest) -> Cost | None:
    shape = manifest["datasets"][entry["data_fingerprint"]]["shape"]
    return cost(entry["config"]["model"], tuple(shape), entry["config"]["data"]["batch_size"])


def _forget_failure(folder: Path, manifest: Manifest, member: str, result: Mapping[str, Any]) -> None:
    """Let a failed member be tried again: from its checkpoint, or from the start if its numbers had diverged."""
    run = folder / next(entry["folder"] for entry in manifest["members"] if entry["id"] == member)
    if (result.get("error") or {}).get("type") == "Diverged":
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
    write_json(run / "result.json", {**result, "status": "interrupted", "error": None})


def _write_books(folder: Path, manifest: Manifest, books: Mapping[str, Mapping[str, str]]) -> None:
    for entry in manifest["members"]:
        for name, text in books.get(entry["id"], {}).items():
            path = folder / entry["folder"] / ".hydra" / name
            if not path.exists():
                write_bytes(path, text.encode())


def _train(
    folder: Path, manifest: Manifest, packs: Sequence[Pack], slots: Sequence[Slot], place: Place, console: Console
) -> StopRequest:
    """Train the packs, showing what happens and writing down what training itself no longer could."""
    todo = [member for pack in packs for member in pack.members]
    names = {entry["id"]: f"{entry['number']:03d} {_label(entry)}" for entry in manifest["members"]}
    steps = {member: pack.steps for pack in packs for member in pack.members}
    plan = [f"sweep   {folder}: {len(manifest['members'])} members, {len(todo)} to train"]
    live.print_lines([*plan, *planning.describe(slots, packs)], console)
    if not packs:
        return StopRequest()
    with live.LiveView({member: names[member] for member in todo}, steps, console) as view:

        def watch(event: dict[str, Any]) -> None:
            nonlocal manifest
            try:
                if event["event"] == "result":
                    event = event | outcomes.settle(folder, event)
                elif event["event"] == "split":
                    manifest = split_pack(manifest, event["into"])
                    write_json(folder / MANIFEST, manifest)
            except OSError as error:  # a full disk: what cannot be written is at least said
                view.line(f"! cannot write into {folder}: {error.strerror}", "red")
            view(event)

        stop = place.run(packs, slots, folder, watch)
        view.line(view.summary(view.clock()))
    return stop


def _label(entry: Mapping[str, Any]) -> str:
    """The slug of a run's folder."""
    return entry["folder"].split("-", 1)[1].rsplit("-", 1)[0]


def _outcome(
    folder: Path,
    manifest: Manifest,
    members: Sequence[Member],
    stop: StopRequest,
    command: Sequence[str],
    console: Console,
) -> Outcome:
    folders = {entry["id"]: folder / entry["folder"] for entry in manifest["members"]}
    results = [
        outcomes.read_result(folders[member.id]) or {"id": member.id, "status": "queued", "metrics": {}, "error": None}
        for member in members
    ]
    left = [result for result in results if result["status"] != "done"]
    lines = []
    if failed := {result["id"] for result in left if not outcomes.continues_by_itself(result)}:
        lines.append(f"failed    {', '.join(sorted(folders[member].name for member in failed))}")
        lines.append(f"try again {continue_command(command, folder.name, 'failed')}")
    if {result["id"] for result in left} - failed:
        lines.append(f"continue  {continue_command(command, folder.name)}")
    live.print_lines(lines, console)
    return Outcome(folder, results, stop.exit_code or int(bool(left)))


def continue_command(command: Sequence[str], name: str, retry: str | None = None) -> str:
    """The command line that continues the sweep `name` which `command` (sys.argv) began."""
    program, *rest = command or ["vae-sweep"]
    stem = Path(program).name
    words = ["python", "-m", "vae_sweep.run"] if stem.endswith(".py") else [stem]
    words += [word for word in rest if not word.startswith(("sweep=", "retry="))]
    words += [f"sweep={name}"] + ([f"retry={retry}"] if retry else [])
    return shlex.join(words)
