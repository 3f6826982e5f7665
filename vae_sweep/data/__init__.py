"""The data sets: what `conf/data/*.yaml` name as `_target_`. Each returns ImageData or raises DataError.

Everything slow is done once and kept in `data.cache_dir`. Nothing here loads torch. Relative paths are relative to the
current directory.
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from vae_sweep.data.from_arrays import arrays
from vae_sweep.data.from_canvas import paintings
from vae_sweep.data.from_files import image_folder
from vae_sweep.data.from_items import hf, own
from vae_sweep.data.from_torchvision import celeba, cifar10, fashion_mnist, mnist
from vae_sweep.data.image_data import DataError, ImageData

__all__ = [
    "DataError", "ImageData", "arrays", "celeba", "cifar10", "fashion_mnist", "hf", "image_folder", "load", "mnist",
    "own", "paintings",
]  # fmt: skip

_NOT_OURS = ("_target_", "batch_size", "augment")


def load(config: Mapping[str, Any]) -> ImageData:
    """The data set of a member. config: its `data` section as a plain dict; `_target_` may be anybody's function.

    Raises DataError; whatever else a function of somebody else's raises is passed on.
    """
    module, _, name = str(config["_target_"]).rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"data._target_={config['_target_']}: {error}") from error
    settings = {key: value for key, value in config.items() if key not in _NOT_OURS}
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        raise DataError(f"data: {name}() {error}") from None
    try:
        data = function(**settings)
    except (MemoryError, OverflowError) as error:
        raise DataError(f"data: {name} does not fit into memory: {error}") from None
    if not isinstance(data, ImageData):
        raise DataError(f"data._target_={config['_target_']} returned {type(data).__name__}, not ImageData")
    return data
