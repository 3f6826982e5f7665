"""How the doors say no: one line on standard error, exit code 1, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from vae_sweep.text import inert


@contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Turn the errors that a person can mend into SystemExit with their message."""
    try:
        yield
    except ValueError as error:
        if not _of_a_person(error):
            raise
        raise SystemExit(f"error: {inert(error)}") from None
    except KeyboardInterrupt:  # before the engine, which handles it, was at work
        raise SystemExit(130) from None


def _of_a_person(error: ValueError) -> bool:
    """Imports what the errors are defined beside, which `--help` can do without."""
    from vae_sweep.data.image_data import DataError
    from vae_sweep.runs.files import RecordError
    from vae_sweep.runs.manifest import SweepError
    from vae_sweep.sweep.settings import SettingsError

    return isinstance(error, SettingsError | DataError | SweepError | RecordError)
