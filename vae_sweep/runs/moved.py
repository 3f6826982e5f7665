"""Where the images of a run are now: its own files keep the place that they had when it trained."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_sweep.runs.files import RecordError
from vae_sweep.runs.reading import read_manifest
from vae_sweep.runs.withheld import resolved

_PLACES = ("root", "path")


def data_section(run: Path | None, written: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` section by which to load the images of the run in the folder `run`: as its sweep was told last.

    A relative place that is not there from here is looked for from where the sweep was begun. written: the run's own
    config, for one without its sweep, or without a folder. Raises RecordError as `resolved` does.
    """
    told, begun_in = (None, "") if run is None else _told(run.resolve())
    data = resolved(told or written, ["data"])["data"]
    return {**data, **{key: _found(data[key], begun_in) for key in _PLACES if isinstance(data.get(key), str)}}


def _told(run: Path) -> tuple[Mapping[str, Any] | None, str]:
    """(a run's config in its sweep's manifest, None without one; the folder that the sweep was begun in)"""
    try:
        manifest = read_manifest(run.parent)
    except RecordError:
        return None, ""
    configs = [entry.get("config") for entry in manifest["members"] if entry["folder"] == run.name]
    return next(iter(configs), None), manifest.get("cwd", "")


def _found(place: str, begun_in: str) -> str:
    there = os.path.join(begun_in, place)  # of an absolute place, itself
    return place if os.path.exists(place) or not os.path.exists(there) else there
