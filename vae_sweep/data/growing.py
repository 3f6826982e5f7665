"""An array in a .npy file that is written some rows at a time: it need not fit into memory."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np


class Growing:
    """The array at `path`, a context: whole when it ends, if any rows were added."""

    def __init__(self, path: Path):
        self._file = open(path, "wb")  # noqa: SIM115
        self._like: np.ndarray | None = None
        self._count = 0

    def add(self, rows: np.ndarray) -> None:
        """rows: (n, ...), of the type and the shape of the first that were added, but for n."""
        if self._like is None:
            self._like = rows[:0]
            self._write_header()
        assert (rows.dtype, rows.shape[1:]) == (self._like.dtype, self._like.shape[1:])
        self._file.write(np.ascontiguousarray(rows).data)
        self._count += len(rows)

    def _write_header(self) -> None:
        assert self._like is not None
        shape, descr = (self._count, *self._like.shape[1:]), np.lib.format.dtype_to_descr(self._like.dtype)
        self._file.seek(0)
        # numpy leaves room in it for every number of rows, so its length stays.
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        with self._file:
            if kind is None and self._like is not None:
                self._write_header()
