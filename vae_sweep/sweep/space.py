"""A search space in Hydra's own words, and back: the overrides of a point of it.

model=conv,mlp   model=choice(conv,mlp)      one of these
model.latent_dim=range(8,65,8)               8, 16 ... 64
optimizer.lr=interval(0.001,0.01)            any number between; int(interval(2,9)): any whole one
loss.kl_weight=tag(log, interval(0.001,10))  evenly in its logarithm
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from vae_sweep.checks import SettingsError
from vae_sweep.sweep.search import rounded

_OFF = 1e-8  # of a step: what Optuna takes for a point of a range


@dataclass(frozen=True)
class Choice:
    """values: as Hydra writes them."""

    key: str
    values: tuple[str, ...]

    def word(self, value: str) -> str:
        """The override that sets it."""
        return f"{self.key}={value}"

    def value(self, word: str) -> str | None:
        """What an override sets it to; None if that is not in it."""
        value = word.removeprefix(f"{self.key}=")
        return value if value != word and value in self.values else None


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included. step: between two of them, None: any; whole: integers."""

    key: str
    low: float
    high: float
    step: float | None = None
    whole: bool = False
    log: bool = False

    def word(self, value: float) -> str:
        if self.whole:
            return f"{self.key}={round(value)}"
        few = rounded(value) if self.step is None else float(f"{value:.15g}")  # 0.3, not 0.30000000000000004
        return f"{self.key}={min(self.high, max(self.low, few))!r}"

    def value(self, word: str) -> float | None:
        """What an override sets it to; None if that is not in it."""
        text = word.removeprefix(f"{self.key}=")
        if text == word:
            return None
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / self.step if self.step else 0.0
        return value if abs(steps - round(steps)) < _OFF else None


Dimension = Choice | Between


def space_of(overrides: Sequence[Override]) -> list[Dimension]:
    """Of overrides that have several values. Raises SettingsError for an interval that is none."""
    return [_dimension(override) for override in overrides]


def _dimension(override: Override) -> Dimension:
    key, value, typed = override.get_key_element(), override.value(), override.input_line
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, RangeSweep):
        numbers = sorted(value.range())
        if not numbers:
            raise SettingsError(f"{typed}: no number is in it")
        whole = all(isinstance(number, int) for number in numbers)
        step = abs(value.step) if len(numbers) > 1 else 1
        found = Between(key, numbers[0], numbers[-1], None if log else step, whole, log)
    elif isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) or "int" in value.tags
        found = Between(key, value.start, value.end, None, whole, log)  # type: ignore[arg-type]
    else:
        return Choice(key, tuple(override.sweep_string_iterator()))
    if found.low > found.high or (found.low == found.high and isinstance(value, IntervalSweep)):
        raise SettingsError(f"{typed}: its first number is not below its second")
    if log and found.low <= 0:
        raise SettingsError(f"{typed}: a logarithm needs numbers above 0")
    return found
