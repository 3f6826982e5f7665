"""Networks, posteriors, likelihoods, divergences, and the objective that joins them. Torch only; no config, no files.

The builders that `conf/model/*.yaml` name are re-exported here.
"""

from vae_sweep.models.networks import conv, linear, mlp, resnet

__all__ = ["conv", "linear", "mlp", "resnet"]
