"""Networks, posteriors, likelihoods, divergences, and the objective that joins them. No config, no files.

The builders that `conf/model/*.yaml` name are `vae_sweep.models.conv` and so on. They are fetched when they are asked
for, since all but costs.py needs torch and the process that plans a sweep reads costs.py alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_sweep.models.networks import conv, linear, mlp, resnet

__all__ = ["conv", "linear", "mlp", "resnet"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vae_sweep.models import networks

        return getattr(networks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
