"""Which KL weight should my VAE have, and why?"""

from importlib import import_module
from typing import Any

from vae_sweep.environment import end_quietly, hand_over

end_quietly()
hand_over()

__version__ = "0.1.0"
__all__ = ["load", "load_model", "sweep"]

_HOMES = {"load": "vae_sweep.report.notebook", "load_model": "vae_sweep.training.loading"}


def __getattr__(name: str) -> Any:
    """What __all__ lists, on first use: the package itself imports nothing heavy."""
    if name == "sweep":  # the package of that name, which can be called
        return import_module("vae_sweep.sweep")
    if name not in _HOMES:
        raise AttributeError(f"module 'vae_sweep' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
