"""What classes of other packages say of themselves (traits.py), when they are made as training makes them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vae_sweep.runs.members import total_steps
from vae_sweep.schedules.weight import in_force
from vae_sweep.training.build import build_divergence, build_likelihood, build_schedule, own_metrics, schedule_traits
from vae_sweep.traits import Says, foreign


def describe(config: Mapping[str, Any], images: int) -> Says:
    """The traits of a member's own likelihood, divergence and schedule, made as training makes them.

    Raises what their making raises; ValueError for one that does not fit, or says nothing of itself.
    """
    found: dict[str, Any] = {}
    of_others = foreign(config)
    steps = total_steps(config, images)
    own_metrics(config)
    if "schedule" in of_others:
        kl_schedule, capacity = build_schedule(config, steps)
        in_force(config["loss"]["kl_weight"], kl_schedule, steps)
        found["schedule"] = asdict(
            schedule_traits(kl_schedule if capacity is None else capacity, config["kl_schedule"])
        )
    if "likelihood" in of_others:
        found["likelihood"] = asdict(build_likelihood(config["loss"]).traits)
    if "divergence" in of_others:
        found["divergence"] = asdict(build_divergence(config, images, None).traits)
    return found


def in_one_line(error: Exception) -> str:
    """Hydra wraps what a constructor raises. A reason that names its key needs no more words; others have Hydra's."""
    reason, whole = (" ".join(str(found).split()) for found in (error.__cause__ or error, error))
    return reason if reason.startswith(("loss.", "kl_schedule", "trainer.")) else whole
