"""W&B as a mirror of run folders: it may lag, break or be absent, and no run is the worse for it.

mode.py      online, offline, later or disabled, and the sentence that says why
content.py   what is shown of a run, as plain values
tracker.py   the mirror; the only importer of wandb
answering.py the sweep's answer, as a run beside its members'
attempts.py  what wandb has left in a run's folder
also.py      other loggers beside it: TensorBoard, CSV, MLflow, any of Lightning's
workspace.py a saved view of a sweep: pictures, trade-off and curves by the weight
sync.py      python3 -m vae_sweep.tracking: upload what no server has yet
"""

from vae_sweep.tracking.also import open_also
from vae_sweep.tracking.answering import tell_answer
from vae_sweep.tracking.mode import Mode, choose_mode
from vae_sweep.tracking.tracker import Tracker, open_tracker, wait_for

__all__ = ["Mode", "Tracker", "choose_mode", "open_also", "open_tracker", "tell_answer", "wait_for"]
