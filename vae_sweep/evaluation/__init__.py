"""Everything that is measured of one trained member: numbers for tables, arrays for pictures.

member.py   one member, all of it             codes.py    images through the network once
noise.py    which pixel noise it is judged by  bounds.py   importance-weighted likelihood
slopes.py   gradients on the encoder          showing.py  pictures and codes for the report
curve.py    a multi-rate model at many weights  samples.py  blur, holes, and a sampler fitted to the codes
export.py   the codes of all images

Seconds by default, on a bounded number of images that the result names; the same images, in the same order, with the
same noise for every run of a sweep, whatever its seed. In eval mode and float32; means over images.
"""

from vae_sweep.evaluation.curve import curve, curve_pictures, curve_weights, sweep_weights, write_curve
from vae_sweep.evaluation.member import Evaluation, Settings, evaluate
from vae_sweep.evaluation.own import Metric

__all__ = [
    "Evaluation",
    "Metric",
    "Settings",
    "curve",
    "curve_pictures",
    "curve_weights",
    "evaluate",
    "sweep_weights",
    "write_curve",
]
