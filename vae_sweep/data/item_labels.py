"""The labels of single items, as data sets in Python give them, to an array."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_sweep.data.torch_file import numpy_of


@dataclass(frozen=True)
class NoClass:
    """A label that names no class. what: it is."""

    what: str


def plain_label(label: Any) -> Any:
    """A number, a text, (K,) numbers, None, or NoClass: of a tensor or array of one number, that number."""
    if label is None or isinstance(label, (int, float, str, bytes)):
        return label
    if hasattr(label, "item") and math.prod(label.shape) == 1:
        return label.item()
    what = type(label).__name__
    try:
        array = numpy_of(label) if hasattr(label, "detach") else np.asarray(label)
    except ValueError:  # lists of several lengths
        return NoClass(what)
    return array.copy() if array.ndim == 1 and array.dtype.kind in "buif" else NoClass(what)


def gathered_labels(labels: Sequence[Any]) -> tuple[np.ndarray | None, str]:
    """(what `array_file.known_labels` takes, or None; why there is none although items have labels, or "").

    labels: of all items, plain ones.
    """
    given = [label for label in labels if label is not None]
    if not given:
        return None, ""
    if len(given) < len(labels):
        return None, f"{len(labels) - len(given)} of {len(labels)} items have no label, and the others' are left aside"
    other = next((label for label in given if isinstance(label, NoClass)), None)
    if other is not None:
        return None, f"labels that are {other.what} name no classes, and are left aside"
    if len({np.shape(label) for label in given}) > 1:
        return None, "labels of several lengths name no classes, and are left aside"
    array = np.array(given)
    if array.dtype.kind == "O" or (array.dtype.kind == "f" and array.ndim == 1 and (array != np.round(array)).any()):
        return None, "labels that are no whole numbers name no classes, and are left aside"
    return array, ""
