"""From what is asked for to trained runs: the order in which things happen, and what is checked before any of it.

    overrides.py    what was typed, before Hydra composes it: keys and options that do not exist
    typed.py        paths as people type them, in quotes where Hydra needs them
    composing.py    what was typed for every job -> Jobs, composed once for every kind
    jobs.py         Hydra's composed config -> a Job: plain dictionaries and what was typed; the last to see OmegaConf
    one_job.py      words -> Hydra's config of a job, without its command line
    from_python.py  `vae_sweep.sweep(...)`: a program's door, beside Hydra's
    in_python.py    settings of a Python program -> what would be typed

    settings.py     every value in its range, every combination possible; one line that names the key
    on_images.py    lengths and schedules that make sense on so many images
    trial.py        parts of somebody's own: built once, and asked what they are
    refusal.py      how the doors say no

    run_sweep.py    all of it, in order
    lengthening.py  members that are asked for at another length: which run is meant, and from where it goes on
    continuing.py   which packs are to be trained now: new ones, and old ones that are not done
    plan.py         members -> packs: who may train together, and where it pays
    forecast.py     the images: described, their forecast made, the weights explained
    provenance.py   commands, versions, commit, machine
    ending.py       when to give up: failures alike, a budget

    search.py       which weight to try next (target, frontier); searching.py: as jobs and results
    space.py        what may vary in a search by Optuna; optimising.py: that search as jobs and results
    reference.py    docs/settings.md

What `run_sweep` does, in this order, so that a refusal leaves nothing behind:

1. Settings of all members. Nothing has been read or written yet.
2. The images of every data section, loaded once each; meanwhile the fork server imports torch (place.preloading).
3. Members by their content: two jobs with the same numbers are one member, and a member that the sweep holds already
   keeps its folder. The id is a hash of the configuration that matters and of the images' fingerprint
   (runs/members.py); a key that only says where to run does not change it, and neither does a folder that has moved.
4. The folder is opened and locked (runs/folder.py). A sweep of another version, or of other images, is refused.
5. The manifest with these members; what is left of them; packs for those that are new. Old packs stay frozen.
6. The forecast, the manifest and Hydra's files are written, and only then what is taken up again loses what is of its
   end: an error, an evaluation. What the weights mean is printed.
7. The place trains the packs. `watch` writes down results that training no longer could, and splits of packs.
8. The outcome: what failed, what to type to go on, the exit code.

To change what makes two members the same, go to runs/members.py, and think of the folders that there are. To change
who may share a pack, to plan.py. A new check belongs into settings.py if it needs the settings alone, into on_images.py
if it needs the images, and into training/build.py if it needs the network.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_sweep.report.notebook import Runs


class _Callable(ModuleType):
    """This package is `vae_sweep.sweep` by its place, and so is the function that people call by that name."""

    def __call__(self, **settings: Any) -> "Runs":
        """Train a sweep; see `vae_sweep.sweep.from_python.sweep`, which this calls."""
        from vae_sweep.sweep.from_python import sweep

        return sweep(**settings)


sys.modules[__name__].__class__ = _Callable
