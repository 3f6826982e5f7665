"""Hydra's door to what a sweep visits: `hydra/sweeper=grid` (the default).

Hydra imports all plugins at every start: nothing heavy here.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper: every combination of the values. The launcher composes all jobs before the first trains, so
    that they are not composed beforehand to see whether they can be."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None: ...
