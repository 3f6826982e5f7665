"""What others published of their runs, and what is held to be the same, by the experiment that runs it again.

All in nats per image, with z sampled. Rows `train/` are means over the batches of the epoch that ends at the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """value: published. key, step: the row of metrics.jsonl that is the same quantity, of the run at `kl_weight`.

    tolerance: relative, or in nats.
    """

    what: str
    value: float
    key: str
    step: int
    tolerance: float
    in_nats: bool = False
    kl_weight: float = 1.0


Curve = dict[int, tuple[float, float]]  # epoch -> (rate, distortion)


def _curve(curve: Curve, steps_per_epoch: int, tolerance: float, kl_weight: float = 1.0) -> list[Figure]:
    return [
        Figure(f"weight {kl_weight:g}, epoch {epoch}: {what}", value, key, epoch * steps_per_epoch, tolerance,
               kl_weight=kl_weight)
        for epoch, values in curve.items()
        for what, key, value in zip(("R", "D"), ("train/kl", "train/recon"), values, strict=True)
    ]  # fmt: skip


# results/VAE_mnist/train_losses.log and results/betaH_mnist/train_losses.log, epochs counted from 1. Each is the mean
# of 19 batches, every 50th of the epoch.
_BURGESS_1: Curve = {5: (24.43, 129.05), 10: (20.01, 128.21), 30: (19.12, 122.65)}
_BURGESS_4: Curve = {5: (15.68, 138.31), 10: (11.30, 145.97), 30: (10.33, 143.52)}
_KERAS: Curve = {1: (3.96, 205.16), 5: (6.30, 150.98), 10: (6.54, 145.78), 30: (6.80, 140.15)}

CURVES: dict[str, Sequence[Figure]] = {
    "mnist_burgess": [*_curve(_BURGESS_1, 938, 0.03, 1.0), *_curve(_BURGESS_4, 938, 0.03, 4.0)],
    "mnist_keras": _curve(_KERAS, 547, 0.02),
    "mnist_flax": [Figure("-ELBO of the test images, 10 epochs", 104.0, "val/loss", 3900, 1.0, in_nats=True)],
    "mnist_altosaar": [
        Figure("-ELBO held out, step 5,000", 112.57, "val/loss", 5000, 1.0, in_nats=True),
        Figure("-ELBO of the test images, step 65,000", 103.3, "val/loss", 65000, 1.0, in_nats=True),
    ],
}
