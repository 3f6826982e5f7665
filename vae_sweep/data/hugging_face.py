"""Hugging Face data sets as they lie on disk or in the cache. Opened in the child of own_set.py, by the extra `hf`."""

import os
from pathlib import Path
from typing import Any

from vae_sweep.data.image_data import DataError


def opened(path: str, split: str = "train", download: bool = False) -> Any:
    """path: what `save_to_disk` wrote, a folder or file of parquet or arrow, an imagefolder, or a name in the cache.

    Raises DataError, which says what to do, for what is not here.
    """
    if not download:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # before the import, which reads them
    try:
        import datasets
    except ImportError:
        raise DataError("data=hf needs Hugging Face's datasets: pip install 'vae-sweep[hf]'") from None
    place = Path(path).expanduser()
    if (place / "dataset_info.json").exists() or (place / "dataset_dict.json").exists():
        found = datasets.load_from_disk(str(place))
        if not isinstance(found, datasets.DatasetDict):
            return found
        if split not in found:
            raise DataError(f"data.split={split}: {place} has {', '.join(found)}")
        return found[split]
    try:
        if place.exists():
            return _files(datasets, place, split)
        return datasets.load_dataset(path, split=split)
    except ValueError as error:
        raise DataError(f"data.split={split}: {' '.join(str(error).split())[:200]}") from None
    except Exception as error:
        hint = "" if download else "; data.download=true fetches it"
        raise DataError(
            f"data.path={path}: no data set on disk or in the cache ({type(error).__name__}){hint}"
        ) from None


def _files(datasets: Any, place: Path, split: str) -> Any:
    for kind in ("parquet", "arrow"):
        files = sorted(map(str, place.rglob(f"*.{kind}") if place.is_dir() else [place] * (place.suffix == f".{kind}")))
        if files:
            own = [file for file in files if Path(file).name.startswith(split)] or files
            return _with_pictures(datasets, datasets.load_dataset(kind, data_files=own, split="train"))
    return datasets.load_dataset("imagefolder", data_dir=str(place), split=split)


def _with_pictures(datasets: Any, found: Any) -> Any:
    """A column of encoded files, {"bytes", "path"}, as pictures."""
    for name, feature in found.features.items():
        if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:
            found = found.cast_column(name, datasets.Image())
    return found
