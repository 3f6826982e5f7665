"""Which examples property tests try. Not a test.

    fixed   the same ones every time: what passes today passes tomorrow (make test)
    deep    others every time, and more of them (make test-all: pytest --hypothesis-profile=deep)

A failure prints the line @reproduce_failure(...) that tries its example again.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, configuration, settings
from hypothesis.internal.conjecture import providers

Test = TypeVar("Test", bound=Callable[..., object])

_COMMON = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],  # a clock, too
}
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / f"hypothesis-{os.getuid()}")
settings.register_profile("fixed", derandomize=True, **_COMMON)
settings.register_profile("deep", max_examples=1000, **_COMMON)
settings.load_profile("fixed")

# Hypothesis draws constants of our modules, too: of those that happen to be loaded, so by the order of the tests.
providers.is_local_module_file = lambda path: False


def fewer(test: Test) -> Test:
    """A fifth of the examples: for tests that compute a lot for each."""
    return settings(max_examples=settings().max_examples // 5)(test)
