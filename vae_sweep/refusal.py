"""How the doors say no: one line on standard error, exit code 1, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from vae_sweep.manifest import SweepError
from vae_sweep.records import RecordError
from vae_sweep.settings import SettingsError


@contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Turn the errors that a person can mend into SystemExit with their message."""
    from vae_sweep.data import DataError

    try:
        yield
    except (SettingsError, DataError, SweepError, RecordError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:  # before the engine, which handles it, was at work
        raise SystemExit(130) from None
