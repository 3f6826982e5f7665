"""A pack of members, from the sweep's manifest to trained run folders."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_sweep.data import load as load_data
from vae_sweep.data.carried import carried
from vae_sweep.data.image_data import DataError, ImageData
from vae_sweep.evaluation import sweep_weights
from vae_sweep.runs.files import RecordError
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.reading import known_manifest
from vae_sweep.runs.schema import Entry
from vae_sweep.runs.withheld import resolved
from vae_sweep.runs.writing import Report, RunFiles
from vae_sweep.tracking import Tracker, open_also, open_tracker, wait_for
from vae_sweep.training import ddp as ranks
from vae_sweep.training import device as hardware
from vae_sweep.training.build import build, run_settings
from vae_sweep.training.callbacks import Interrupted
from vae_sweep.training.checkpoints import LAST, began_without_start
from vae_sweep.training.init_from import network_of, start_from
from vae_sweep.training.lit_vae import LitVAE
from vae_sweep.training.pack import Training, quiet_lightning
from vae_sweep.training.starting import moments_for


def _images(sweep: Path, entries: Sequence[Entry], configs: Sequence[Mapping[str, Any]]) -> ImageData:
    """The images that the members were planned with, wherever one of them says that they lie.

    Raises DataError, and RecordError where other images lie there by now.
    """
    planned = entries[0].get("data_fingerprint")
    if (found := carried(sweep, planned)) is not None:
        return found
    sections: list[Mapping[str, Any]] = []
    for config in configs:
        if config["data"] not in sections:
            sections.append(config["data"])
    for section in sections:
        try:
            found = load_data(section)
        except DataError:
            if section is sections[-1]:
                raise
            continue
        if planned in (None, found.fingerprint):
            return found
    raise RecordError(f"{entries[0]['folder']}: the images are others by now than those it was planned with")


def train_pack(
    sweep: Path,
    member_ids: Sequence[str],
    report: Report = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
    """Train members of a sweep together, from where their checkpoints stand. Returns what their result.json hold.

    A member that diverges is marked failed, the others go on. Any other exception is raised again, since the process
    may be unwell: in training it marks all failed, in a member's evaluation that member alone.
    """
    quiet_lightning()
    manifest = known_manifest(sweep)
    wanted = set(member_ids)
    entries = {entry["id"]: entry for entry in manifest["members"] if entry["id"] in wanted}
    written = [entries[member_id]["config"] for member_id in member_ids]
    configs = [resolved(config) for config in written]
    data = _images(sweep, [entries[member_id] for member_id in member_ids], configs)
    device = hardware.accelerator(configs[0]["trainer"]["accelerator"])
    fixed = {"versions": manifest["versions"], "data_fingerprint": data.fingerprint, "device": device}
    files = [RunFiles(sweep, entries[member_id], fixed, report, writes=ranks.rank() == 0) for member_id in member_ids]

    def note(line: str) -> None:
        report({"event": "note", "text": line})

    members: list[LitVAE] = []
    trackers: list[Tracker] = []
    try:
        moments = None if began_without_start([file.folder for file in files], note) else moments_for(configs[0], data)
        members = [build(config, data.shape, len(data.train), moments) for config in configs]
        for member, config, file in zip(members, configs, files, strict=True):
            if config["model"].get("init_from") and not (file.folder / LAST).exists():
                start_from(network_of(member), config["model"]["init_from"])
        settings = [run_settings(config) for config in configs]
        forecast = forecast_of(manifest, data.fingerprint)
        pack = Training(written, settings, members, files, data, device, should_stop, forecast)
        pack.restore()
        for file, config in zip(files, configs, strict=True):
            if file.writes:
                own = [open_tracker(config["logger"], sweep, file.entry, manifest, say=note)]
                own += open_also(config["logger"], sweep, file.entry, manifest, say=note)
                trackers += own
                file.listeners += own
        with ranks.started(sweep, member_ids[0], settings[0].devices):
            failed = pack.train()
    except Interrupted:
        results = [
            file.end("interrupted", member.step, member.last_val) for file, member in zip(files, members, strict=True)
        ]
    except Exception as error:
        steps = [member.step for member in members] or [0] * len(files)
        for file, step in zip(files, steps, strict=True):
            file.end("failed", step, {}, error)
        raise
    else:
        results = _measured(pack, failed, sweep_weights(manifest))
    finally:
        wait_for(trackers)
    return results


def _measured(pack: Training, failed: Mapping[int, Exception], weights: Collection[float]) -> list[dict[str, Any]]:
    """Evaluate and end every trained member. The first error is raised when all have been tried."""
    results, errors = [], []
    for index, (file, member) in enumerate(zip(pack.files, pack.members, strict=True)):
        if index in failed:
            results.append(file.end("failed", member.step, member.last_val, failed[index]))
            continue
        try:
            results.append(file.end("done", member.step, pack.evaluate(index, weights)))
        except Exception as error:
            file.end("failed", member.step, {}, error)
            errors.append(error)
    if errors:
        raise errors[0]
    return results
