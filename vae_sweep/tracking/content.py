"""What W&B is shown of a run: from what its folder holds to plain values. Knows nothing of wandb."""

import hashlib
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_sweep.analysis.answer import answer as say
from vae_sweep.analysis.answer import as_data
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.study import read
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs import withheld
from vae_sweep.runs.manifest import forecast_of
from vae_sweep.runs.members import PLACES, config_that_matters
from vae_sweep.runs.nested import flatten
from vae_sweep.runs.reading import Run, Sweep, load_sweep
from vae_sweep.traits import likelihood

if TYPE_CHECKING:
    import PIL.Image

MAX_HELD_OUT = 16  # pictures under keys of their own; the report shows all
IN_A_ROW = 8
MAX_TAG = 64  # W&B's limit
KL_EDGES = np.linspace(0, 8, 65)  # nats; fixed, so that histograms of several runs can be laid over one another
EXIT_CODES = {"done": 0, "interrupted": 143}

_SHOWN = {"data.root": "PICTURES", "data.path": "FILE"}  # in the place of a path; PLACE for others
_GAP = 2  # white pixels between pictures side by side


@dataclass(frozen=True)
class Picture:
    """`pixels`: (H, W) or (H, W, 3) uint8, shown as it is, never stretched in contrast."""

    pixels: np.ndarray
    caption: str

    def image(self) -> "PIL.Image.Image":
        from PIL import Image

        return Image.fromarray(self.pixels)


def run_id(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The same for every attempt of a member. The time keeps apart two people's sweeps of one name."""
    return f"{entry['id']}-{_sweep_id(manifest)}"


def answer_id(manifest: Mapping[str, Any]) -> str:
    """Of the run that holds the sweep's answer; the same whenever it is told again."""
    return f"answer-{_sweep_id(manifest)}"


def _sweep_id(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{manifest['sweep']} {manifest['created']}".encode()).hexdigest()[:8]


def run_name(entry: Mapping[str, Any]) -> str:
    """000-kl_weight=1"""
    return entry["folder"].removesuffix(f"-{entry['id']}")


def tags(entry: Mapping[str, Any], swept: Sequence[str]) -> list[str]:
    """Objective, network, schedule, and the swept values that matter to this member: ["vae", "conv", "kl_weight=1"]."""
    matters = flatten(config_that_matters(entry["config"]))
    targets = [matters[key] for key in ("model._target_", "kl_schedule._target_") if key in matters]
    found = [entry["config"]["objective"], *(str(target).rsplit(".", 1)[-1] for target in targets)]
    told = [key for key in swept if key in matters and key != "objective" and not key.endswith("_target_")]
    found += [f"{key.rsplit('.', 1)[-1]}={matters[key]}" for key in told]
    return [tag[:MAX_TAG] for tag in dict.fromkeys(found)]


def config(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Nested, since W&B joins the names with dots by itself. Without what changes no number, and local paths."""
    fingerprint = entry.get("data_fingerprint", (manifest.get("data") or {}).get("fingerprint"))
    matters = config_that_matters(entry["config"])
    matters.pop(withheld.KEY, None)  # a digest confirms a guess
    for place in PLACES:
        section, _, key = place.partition(".")
        if key in matters.get(section, ()):
            matters[section] = {name: value for name, value in matters[section].items() if name != key}
    return {
        **matters,
        "member": entry["id"],
        "number": entry["number"],
        "sweep": manifest["sweep"],
        "data_fingerprint": fingerprint,
        "git_commit": manifest.get("git_commit"),
        "versions": manifest.get("versions") or {},
        "beta": entry.get("beta"),
        "forecast": forecast(forecast_of(manifest, fingerprint), entry),
    }


def forecast(found: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a data set's forecast, and what it says of the linear model at this member's beta and latent size.

    Of squared error: the linear model says nothing of other likelihoods.
    """
    told = finite(found)
    config, beta = entry["config"], entry.get("beta")
    if beta is None or not likelihood(config["loss"], entry.get("says")).squared_error:
        return told
    for curve in found.get("linear") or []:
        if curve["latent_dim"] == config["model"].get("latent_dim"):
            log_weights = np.log(curve["kl_weight"])
            order = np.argsort(log_weights)
            if log_weights.min() <= math.log(beta) <= log_weights.max():
                for key in ("rate", "distortion", "distortion_mean"):
                    told[f"linear_{key}"] = float(
                        np.interp(math.log(beta), log_weights[order], np.asarray(curve[key])[order])
                    )
    return told


def finite(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The finite numbers among `values`, one level deep."""
    return {
        f"{prefix}{key}": value
        for key, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def verdict(run: Run, manifest: Mapping[str, Any]) -> str:
    """What the report's rules say of the run by itself: when it ends, the others of its sweep may not have."""
    study = read([Sweep(run.folder.parent, dict(manifest), [run])])
    return "; ".join(finding.words for findings in judge(study).values() for finding in findings)


def summary(result: Mapping[str, Any], evaluation: Mapping[str, Any], verdict: str) -> dict[str, Any]:
    """The numbers at the end of the run, which are the ones to compare: the weight is then at its target.

    (A minimum over the run would be found under an annealed weight, and compares runs at different weights.)
    """
    told = {
        **finite(evaluation.get("train") or {}, "train/"),
        **finite(evaluation.get("val") or {}, "val/"),
        **finite(result.get("metrics") or {}),
        **finite({key: result.get(key) for key in ("steps", "wall_s")}),
        **finite({"beta": evaluation.get("beta")}),
        "status": result.get("status", "failed"),
        "verdict": verdict,
    }
    if error := result.get("error"):
        told["error"] = f"{error['type']}: {error['message']}"
    return told


def answer(sweep: Path) -> dict[str, Any]:
    """The sweep's answer as it stands, from the object that report/answer.json is written of: a key per W&B column.

    Raises RecordError if the folder is no sweep.
    """
    study = read([load_sweep(sweep)])
    verdicts = judge(study)
    data = as_data(study, say(study, recommend(study, verdicts), verdicts))
    told = {"headline": data["headline"], "lead": data["lead"], "kind": data["kind"], "front": data["front"]}
    told |= {"next": data["next"]["words"], "next/command": without_places(data["next"]["command"])}
    for name, purpose in data["purposes"].items():
        told |= {f"{name}/{key}": purpose[key] for key in ("kl_weight", "beta", "low", "high", "beyond", "why")}
    return told


def without_places(command: str) -> str:
    """A command without paths of this machine, and without what a data set of somebody's own is told:
    data.root=/home/me/pictures -> data.root=PICTURES."""
    return shlex.join(map(_without_place, shlex.split(command)))


def _without_place(word: str) -> str:
    typed, found, _ = word.partition("=")
    key = typed.lstrip("+")
    told = key != "data.dataset._target_" and (key in PLACES or f"{key}.".startswith("data.dataset."))
    return f"{typed}={_SHOWN.get(key, 'PLACE')}" if found and told else word


def exit_code(status: str) -> int:
    """Of a process that ends so: 0 done, 143 interrupted (SIGTERM's), 1 for all else."""
    return EXIT_CODES.get(status, 1)


def pictures(arrays: Mapping[str, np.ndarray]) -> dict[str, Picture]:
    """Key -> picture from evaluation.npz. A key is the same image in every run of the sweep."""
    found = {}
    kinds = {"originals": "original", "recon_mean": "mean", "recon_sampled": "sampled"}
    known = [name for name in kinds if name in arrays]  # an autoencoder has nothing to sample
    if "originals" in known:
        caption = " | ".join(kinds[name] for name in known)
        for index, row in enumerate(zip(*(arrays[name][:MAX_HELD_OUT] for name in known), strict=True)):
            found[f"held_out/{index:02d}"] = Picture(grid([row]), caption)
    if "prior_samples" in arrays and len(arrays["prior_samples"]):
        samples = arrays["prior_samples"]
        width = math.isqrt(len(samples))
        rows = [samples[at : at + width] for at in range(0, len(samples) - width + 1, width)]
        found["prior/samples"] = Picture(grid(rows), "decoded draws from the prior")
    if len(arrays.get("interpolations", ())):
        found["latents/interpolations"] = Picture(grid(arrays["interpolations"]), "a pair of held-out images per row")
    if len(arrays.get("traversals", ())):
        units = ", ".join(str(unit) for unit in arrays.get("traversal_units", ()))
        found["latents/traversals"] = Picture(grid(arrays["traversals"]), f"one unit per row: {units}")
    return found


def over_training(progress: Mapping[str, np.ndarray], step: int) -> dict[str, Picture]:
    """Key -> picture of `step` from progress.npz: held-out images above what was made of them; {} of other steps."""
    at = [place for place, known in enumerate(progress.get("steps", ())) if known == step]
    if not at:
        return {}
    rows = [progress["originals"][:IN_A_ROW], progress["recon_mean"][at[-1]][:IN_A_ROW]]
    return {"training/held_out": Picture(grid(rows), f"originals, and their decoded means after {step:,} steps")}


def grid(rows: Iterable[Iterable[np.ndarray]]) -> np.ndarray:
    """Images (H, W, C) uint8 in rows of equal length -> one picture, (H', W') for C = 1, else (H', W', 3)."""
    picture = _joined([_joined(list(row), axis=1) for row in rows], axis=0)
    return picture[:, :, 0] if picture.shape[2] == 1 else picture


def _joined(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    gap = np.full_like(images[0].take(range(_GAP), axis=axis, mode="clip"), 255)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], axis=axis)


def kl_histogram(kl_per_unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(counts, edges) of the units' KL in nats; what lies above the last edge is counted in the last bin."""
    return np.histogram(np.clip(kl_per_unit, KL_EDGES[0], KL_EDGES[-1]), bins=KL_EDGES)


def verdict_table(
    entry: Mapping[str, Any], swept: Sequence[str], told: Mapping[str, Any]
) -> tuple[list[str | int], list[list[Any]]]:
    """(columns, one row). W&B joins the tables of the runs that are looked at into one."""
    matters = flatten(config_that_matters(entry["config"]))
    row = {"run": run_name(entry), **{key: matters.get(key) for key in swept}}
    row |= {key: told.get(key) for key in ("val/recon", "val/kl", "val/active_units", "verdict")}
    return list(row), [[value if isinstance(value, (int, float, type(None))) else str(value) for value in row.values()]]
