"""A sweep from its jobs to its results: check everything, then write, then train what is not done.

    outcome = run_sweep(jobs, machine, command=sys.argv)

Members are known by their content (members.py), so the same jobs on the same name skip what is done and continue what
is partial, and new jobs extend the sweep. Nothing is written before all is checked.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from vae_sweep import commands
from vae_sweep.analysis.answered import answer_of
from vae_sweep.data.image_data import ImageData
from vae_sweep.engine import live
from vae_sweep.engine.place import Place
from vae_sweep.engine.stop import Ending, StopRequest
from vae_sweep.runs import outcomes
from vae_sweep.runs.files import write_arrays, write_note
from vae_sweep.runs.folder import opened, write_manifest
from vae_sweep.runs.manifest import SweepError, check_compatible, new_manifest, split_pack, with_members
from vae_sweep.runs.members import Member, member_id, written
from vae_sweep.runs.reading import is_sweep, read_manifest, read_result
from vae_sweep.runs.schema import Entry, Event, Manifest
from vae_sweep.sweep import plan, provenance
from vae_sweep.sweep.continuing import Work, make_ready, work
from vae_sweep.sweep.ending import EarlyEnd
from vae_sweep.sweep.forecast import Pictures, banners, describe, with_forecast
from vae_sweep.sweep.lengthening import known_as
from vae_sweep.sweep.on_images import check_run, check_schedule
from vae_sweep.sweep.settings import check_members, settle
from vae_sweep.sweep.trial import try_out
from vae_sweep.tracking import choose_mode, tell_answer

Load = Callable[[Mapping[str, Any]], ImageData]


@dataclass(frozen=True)
class Job:
    """What is asked for: a resolved config, and what the user typed. hydra_files: for the run's `.hydra/`; withheld:
    key -> interpolation, of the values that are not written."""

    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    hydra_files: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """results: what result.json holds, one per job in its order. exit_code: 0, 1 (not all done), 130 or 143.

    ended: whether the sweep was ended before its time (launcher.stop_after, launcher.budget), as `end` has it.
    """

    folder: Path
    results: list[dict[str, Any]]
    exit_code: int
    end: EarlyEnd
    ended: bool = False


@dataclass(frozen=True)
class _Asked:
    """A member with its images and what Hydra would write of it."""

    member: Member
    images: ImageData
    hydra_files: Mapping[str, str]


def load_images(section: Mapping[str, Any]) -> ImageData:
    """The images of cfg.data. Raises DataError."""
    from vae_sweep.data import load  # decoders are not needed before

    return load(section)


def run_sweep(
    jobs: Sequence[Job],
    place: Place,
    command: Sequence[str] = (),
    before: Outcome | None = None,
    console: Console | None = None,
    load: Load = load_images,
) -> Outcome:
    """Train all jobs as one sweep.

    before: where a command asks several times, what came of the last: these jobs go into the same folder, on what is
    left of the same budget.

    Raises SettingsError, DataError or SweepError, one line each, before anything is written.
    """
    console = console or live.console()
    first = jobs[0].config
    check_members([job.config for job in jobs])
    for key in ("sweep", "output_dir", "retry", "launcher", "logger"):
        if any(job.config[key] != first[key] for job in jobs):
            raise SweepError(f"{key} cannot be swept: it is one for the whole sweep")
    with place.preloading():
        images = _loaded(load, [job.config["data"] for job in jobs])
        jobs = [replace(job, config=settle(job.config, data.shape)) for job, data in zip(jobs, images, strict=True)]
        for job, data in zip(jobs, images, strict=True):
            check_schedule(job.config, len(data.train))
            check_run(job.config, len(data.train))
        configs = [written(job.config, job.withheld) for job in jobs]
        members = [
            Member(member_id(config, data.fingerprint), config, job.overrides)
            for config, job, data in zip(configs, jobs, images, strict=True)
        ]
        data_of = {member.id: data for member, data in zip(members, images, strict=True)}
        members = try_out(members, data_of)
        name = before.folder.name if before else first["sweep"]
        with opened(Path(first["output_dir"]).expanduser(), name) as folder:
            known = known_as(read_manifest(folder) if is_sweep(folder) else None, members, data_of)
            asked: dict[str, _Asked] = {}  # a member that was asked for twice is one, as it was asked for first
            for member, job, data in zip(members, jobs, images, strict=True):
                own = known[member.id]
                asked.setdefault(own.id, _Asked(own, data, job.hydra_files))
            end = before.end if before else None
            manifest, stop, end = _train_what_is_left(folder, list(asked.values()), place, end, command, console)
            ids = [known[member.id].id for member in members]
            return _outcome(folder, manifest, ids, stop, end, first["logger"], command, console)


def _train_what_is_left(
    folder: Path,
    asked: Sequence[_Asked],
    place: Place,
    end: EarlyEnd | None,
    command: Sequence[str],
    console: Console,
) -> tuple[Manifest, StopRequest, EarlyEnd]:
    """Plan the sweep, write down the plan, say what it means, and train what is not done."""
    members = [one.member for one in asked]
    first = members[0].config
    launcher, retry = first["launcher"], first["retry"]
    todo = work(_manifest(folder, command, asked), folder, members, place, launcher, retry == "failed")
    pictures: Pictures = {}
    if todo.packs:
        manifest, pictures = with_forecast(todo.manifest, {one.images.fingerprint: one.images for one in asked})
        todo = todo._replace(manifest=manifest)
    _write(folder, todo, {one.member.id: one.hydra_files for one in asked}, command, pictures)
    _announce(folder, todo, first, console)
    end = end or EarlyEnd(launcher["stop_after"], launcher["budget"])
    manifest, stop = _train(folder, todo, place, end, console)
    for attempt in range(retry if isinstance(retry, int) else 0):
        if stop.over:
            break
        todo = work(manifest, folder, members, place, launcher, retry=True)
        if not todo.packs:
            break
        live.print_lines(
            [f"retry   {attempt + 1} of {retry}: {sum(len(p.members) for p in todo.packs)} members"], console
        )
        write_manifest(folder, todo.manifest)
        make_ready(folder, todo)
        manifest, stop = _train(folder, todo, place, end, console)
    return manifest, stop, end


def _announce(folder: Path, todo: Work, first: Mapping[str, Any], console: Console) -> None:
    """What the weights mean, where it is mirrored, and the plan. first: the config of any member."""
    to_train = sum(len(pack.members) for pack in todo.packs)
    heading = f"sweep   {folder}: {len(todo.manifest['members'])} members, {to_train} to train"
    if todo.packs:
        live.print_lines([*banners(todo.manifest), choose_mode(first["logger"]["wandb"]).line], console)
    live.print_lines([heading, *todo.notes, *plan.describe(todo.slots, todo.packs)], console)


def _loaded(load: Load, sections: Sequence[Mapping[str, Any]]) -> list[ImageData]:
    """The images of every section; equal ones are loaded once."""
    keys = [json.dumps(section, sort_keys=True) for section in sections]
    found = {key: load(section) for key, section in dict(zip(keys, sections, strict=True)).items()}
    return [found[key] for key in keys]


def _manifest(folder: Path, command: Sequence[str], asked: Sequence[_Asked]) -> Manifest:
    """The sweep's manifest with these members, old or new; not written yet."""
    members = [one.member for one in asked]
    described = {one.images.fingerprint: describe(one.images) for one in asked}
    data = {one.member.id: described[one.images.fingerprint] for one in asked}
    if is_sweep(folder):
        manifest = read_manifest(folder)
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


def _write(
    folder: Path,
    todo: Work,
    hydra_files: Mapping[str, Mapping[str, str]],
    command: Sequence[str],
    pictures: Pictures,
) -> None:
    """The manifest, the command, the forecast's pictures, and what Hydra would write of every member; then what is
    taken up again is made ready.

    Raises SweepError if they cannot be written.
    """
    try:
        for entry in todo.manifest["members"]:
            files = hydra_files.get(entry["id"], {})
            for name in files:
                path = folder / entry["folder"] / ".hydra" / name
                if not path.exists():
                    write_note(path, files[name])
        write_manifest(folder, todo.manifest)
        for name, arrays in pictures.items():
            write_arrays(folder / name, arrays)
        provenance.note_command(folder, command)
        make_ready(folder, todo)
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written: {error.strerror}") from None


def _train(folder: Path, todo: Work, place: Place, end: EarlyEnd, console: Console) -> tuple[Manifest, StopRequest]:
    """Train the packs, showing what happens and writing down what training itself no longer could."""
    manifest = todo.manifest
    if not todo.packs:
        return manifest, StopRequest()
    if ending := end.verdict():  # of a command that has spent its budget before
        live.print_lines([f"! {ending.why}"], console)
        return manifest, StopRequest(ending=ending)
    entries = {entry["id"]: entry for entry in manifest["members"]}
    steps = {member: pack.steps for pack in todo.packs for member in pack.members}
    names = {member: f"{entries[member]['number']:03d} {_label(entries[member])}" for member in steps}
    said: bool | None = None  # at_once of the ending that was told
    with live.LiveView(names, steps, console, begun=todo.begun) as view:

        def watch(event: Event) -> Ending | None:
            nonlocal manifest, said
            shown: Mapping[str, Any] = event
            try:
                if event["event"] == "result":
                    shown = {**event, **outcomes.finalise(folder, entries[event["id"]], event)}
                elif event["event"] == "split":
                    manifest = split_pack(manifest, event["into"])
                    write_manifest(folder, manifest)
            except OSError as error:  # a full disk: what cannot be written is at least said
                view.line(f"! cannot write into {folder}: {error.strerror}", "red")
            view(shown)
            end.hear(shown)
            ending = end.verdict() if event["event"] == "tick" else None
            if ending and ending.at_once != said:
                said = ending.at_once
                view.line(f"! {ending.why}", "yellow")
            return ending

        stop = place.run(todo.packs, todo.slots, folder, watch)
        view.line(view.summary(view.clock()))
        for line in view.repeated():
            view.line(line, "red")
    return manifest, stop


def _label(entry: Entry) -> str:
    """The slug of a run's folder."""
    return entry["folder"].split("-", 1)[1].rsplit("-", 1)[0]


def _outcome(
    folder: Path,
    manifest: Manifest,
    members: Sequence[str],
    stop: StopRequest,
    end: EarlyEnd,
    logger: Mapping[str, Any],
    command: Sequence[str],
    console: Console,
) -> Outcome:
    folders = {entry["id"]: folder / entry["folder"] for entry in manifest["members"]}
    results = [
        read_result(folders[member]) or {"id": member, "status": "queued", "metrics": {}, "error": None}
        for member in members
    ]
    left = [result for result in results if result["status"] != "done"]
    lines = ["", f"sweep     {folder}"]
    if len(manifest["members"]) > 1:
        said = answer_of([folder])
        lines += [f"answer    {said.headline}", *(f"          {point}" for point in said.brief)]
        if said.next.command and said.found.kind != "unfinished" and not left:
            lines += [f"next      {said.next.words}:", f"          {said.next.command}"]
    lines.append(f"report    {commands.command('report', str(folder))}")
    if stop.ending:
        lines.append(f"ended     {stop.ending.why}")
    if failed := {result["id"] for result in left if not outcomes.continues_by_itself(result)}:
        lines.append(f"failed    {', '.join(sorted(folders[member].name for member in failed))}")
        lines.append(f"try again {continue_command(command, folder.name, 'failed')}")
    if {result["id"] for result in left} - failed:
        lines.append(f"continue  {continue_command(command, folder.name)}")
    live.print_lines(lines, console)
    if len(manifest["members"]) > 1 and not stop.exit_code:
        tell_answer(folder, logger, lambda line: live.print_lines([line], console))
    return Outcome(folder, results, stop.exit_code or int(bool(left)), end, stop.ending is not None)


def continue_command(typed: Sequence[str], name: str, retry: str | None = None) -> str:
    """The command line that continues the sweep `name` which `typed` (sys.argv) began."""
    replaced = ("sweep=", "retry=") if retry else ("sweep=", "retry=failed")
    words = [word for word in typed[1:] if not word.startswith(replaced)]
    return commands.command("run", *words, f"sweep={name}", *([f"retry={retry}"] if retry else []))
