"""Hugging Face data sets as they lie on disk or in the cache. Opened in the child of own_set.py, by the extra `hf`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_sweep.data.image_data import DataError
from vae_sweep.environment import install

_SPLITS = ("train", "validation", "valid", "val", "dev", "test", "eval", "evaluation")  # what files are named after


def opened(path: str, split: str = "train", download: bool = False) -> Any:
    """path: what `save_to_disk` wrote, a folder or file of parquet, arrow or tars (webdataset), an imagefolder, or a
    name in the cache, of `datasets` or of the hub.

    Raises DataError, which says what to do, for what is not here.
    """
    if not download:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # before the import, which reads them
    try:
        import datasets
    except ImportError:
        raise DataError(f"data=hf needs Hugging Face's datasets: {install('hf')}") from None
    place = Path(path).expanduser()
    try:
        if (place / "dataset_info.json").exists() or (place / "dataset_dict.json").exists():
            return _part(datasets, datasets.load_from_disk(str(place)), place, split)
        return _files(datasets, place, split) if place.exists() else _by_name(datasets, path, split)
    except DataError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        if "split" in said.lower() or said.startswith("Instruction"):
            raise DataError(f"data.split={split}: {said}") from None
        if place.exists():
            raise DataError(f"data.path={path}: no data set in it ({type(error).__name__}: {said})") from None
        hint = "" if download else "; data.download=true fetches it"
        raise DataError(
            f"data.path={path}: no data set on disk or in the cache ({type(error).__name__}){hint}"
        ) from None


def _part(datasets: Any, saved: Any, place: Path, split: str) -> Any:
    """What `split` speaks of, such as "train[:100]+test". A set that was saved without splits is any."""
    named = isinstance(saved, datasets.DatasetDict)
    parts = saved if named else dict.fromkeys(_words(split), saved)
    if missing := [word for word in _words(split) if word not in parts]:
        raise DataError(f"data.split={split}: {place} has no {missing[0]}, its splits are {', '.join(parts)}")
    asked = datasets.ReadInstruction.from_spec(split).to_absolute({word: len(part) for word, part in parts.items()})
    return datasets.concatenate_datasets([parts[one.splitname].select(range(one.from_, one.to)) for one in asked])


def _by_name(datasets: Any, path: str, split: str) -> Any:
    """From the cache of `datasets`, else from that of the hub, as `hf download` fills it."""
    try:
        return datasets.load_dataset(path, split=split)
    except Exception:
        from huggingface_hub import snapshot_download

        try:
            place = Path(snapshot_download(path, repo_type="dataset", local_files_only=True))
        except Exception:
            place = None
        if place is None:
            raise
        return _files(datasets, place, split)


def _files(datasets: Any, place: Path, split: str) -> Any:
    for kind, ending in (("parquet", "parquet"), ("arrow", "arrow"), ("webdataset", "tar")):
        files = sorted(place.rglob(f"*.{ending}") if place.is_dir() else [place] * (place.suffix == f".{ending}"))
        if files:
            found = datasets.load_dataset(kind, data_files=files_of(files, place, split), split=split)
            return _with_pictures(datasets, found)
    return datasets.load_dataset("imagefolder", data_dir=str(place), split=split)


def _words(split: str) -> list[str]:
    """The splits that it speaks of: "train[:100]+test" -> ["train", "test"]."""
    return [part.partition("[")[0].strip() for part in split.split("+")]


def files_of(files: Sequence[Path], place: Path, split: str) -> dict[str, list[str]]:
    """The files at `place` of every split that `split` speaks of: "train[:100]" -> {"train": [...]}.

    A file's split is a word in its name, else in that of a folder it lies in. Files that have none are all of `train`,
    and a single file that is named is any. Raises DataError for a split that no file has.
    """
    wanted = _words(split)
    if place in files:
        return {word: [str(place)] for word in wanted}
    words = {word.lower(): word for word in (*_SPLITS, *wanted)}
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    named = re.compile(rf"(?:^|[-._ \d])({either})(?:ing|set)?(?=$|[-._ \d])")
    found: dict[str, list[str]] = {}
    for file in files:
        parts = reversed(file.relative_to(place).parts)
        word = next((words[match[1]] for part in parts if (match := named.search(part.lower()))), "")
        found.setdefault(word, []).append(str(file))
    if list(found) == [""]:
        found = {"train": found[""]}
    if missing := [word for word in wanted if word not in found]:
        raise DataError(
            f"data.split={split}: {place} has no {missing[0]}, its files are {', '.join(filter(None, found))}"
        )
    return {word: found[word] for word in wanted}


def _with_pictures(datasets: Any, found: Any) -> Any:
    """A column of encoded files, {"bytes", "path"}, as pictures."""
    for name, feature in found.features.items():
        if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:
            found = found.cast_column(name, datasets.Image())
    return found
