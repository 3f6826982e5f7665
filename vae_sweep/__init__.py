"""Which KL weight should my VAE have, and why?"""

from typing import Any

from vae_sweep.environment import hand_over

hand_over()

__version__ = "0.1.0"
__all__ = ["load", "load_model"]

_HOMES = {"load": "vae_sweep.report.notebook", "load_model": "vae_sweep.training.loading"}


def __getattr__(name: str) -> Any:
    """`load` and `load_model` on first use: the package itself imports nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vae_sweep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
