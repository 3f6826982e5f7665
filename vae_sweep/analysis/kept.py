"""Which of a run's weights its figures are of, where trainer.keep=best has chosen them."""

from vae_sweep.analysis.point import Point
from vae_sweep.analysis.words import figure, percent


def kept(point: Point) -> str:
    """One sentence; "" of a run that keeps its last weights, or has not ended."""
    step, gain = (point.get("val", name) for name in ("best_step", "best_gain"))
    if step is None or gain is None:
        return ""
    steps = point.run.result.get("steps", 0)
    if step == steps:
        return f"trainer.keep=best: its last weights, of step {steps:,}, are its best."
    objectives = [row["val/loss"] for row in point.rows if row.get("val/loss") is not None]
    last = objectives[-1] if objectives and point.zero_means_something else 0
    share = f" ({percent(gain / last)})" if last > 0 else ""
    return (
        f"trainer.keep=best: its weights of step {step:,.0f} of {steps:,}, whose held-out objective is {figure(gain)}"
        f"{share} below that of the last."
    )
