"""Cases of parametrised tests. Not a test."""

from typing import Any

import pytest


def slow(*cases: Any) -> list[Any]:
    """Cases that only `make test-all` tries, beside others of the same kind. A tuple is several arguments."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
