"""Training: from a member's config to the folder of a trained run. Lightning stops here, and so does config.

**What happens to a config.** A worker (engine/) calls `train.train_pack(sweep, ids)`. It takes the members' configs
from the sweep's manifest, loads the images, and has build.py turn each config into a `LitVAE`: network, likelihood,
divergence, objective, schedule, optimiser settings, each an object that knows no config. What loss.recon,
loss.divergence, kl_schedule, model or trainer.metrics name by a dotted path is fetched there, ours and other people's
alike. Below build.py nobody reads a config: how to train and measure comes as `RunSettings`.

    train.py        a pack of members, from the manifest to results; who failed, who was interrupted
    build.py        config -> objects; the only place that fetches classes by name
    pack.py         Lightning's Trainer around one member or several: batches, validations, checkpoints, evaluation
    lit_vae.py      one member: the step, the KL weight in force, rows of metrics, its state
    lit_pack.py     several members as one module, stacked for torch.func.vmap
    lit_steps.py    what both share: a stretch of steps for every call of Lightning's loop
    checkpoints.py  the files of a member: last, previous, level, best; which step all members of a pack have
    callbacks.py    when to write one, and when to stop
    averaging.py    averaged weights
    running_means.py  means of the terms between two rows, summed on the device
    device.py       accelerator and precision          ddp.py  several processes for one large member
    loading.py      a trained member, opened again     snapshots.py  small pictures while it trains
    trial.py        what is not ours, tried before a sweep; describe.py  what such classes say of themselves

**Who owns what.** `LitVAE` owns everything that one member's numbers depend on: objective (with the network and the
running sigma), the KL weight in force (`kl_schedule`: a schedule at its target, or a controller with its buffers),
Adam, the step. `LitPack` owns the stacked parameters, of which the members' own are slices; each member clips, steps
and steers on its slices by its own code. `Training` owns the Trainer, and when a checkpoint is due. `RunFiles` (runs/)
owns the folder and its rows.

**What is bit-exact, and why.** A run that is stopped anywhere and continued gives the rows and weights of one that was
not, to the last bit: the order of the images and all noise are functions of (seed, step) and have no state
(data/batches.py); schedules are functions of the step; and what does have a state lies in `LitVAE.state()`, whose
docstring lists it. Validation draws the same noise for every run, whatever its seed, and advances nothing. The thread
count, which changes the order of sums, is frozen in the sweep's plan. A checkpoint waits for a validation that is due
at its step, so that the rows of a continued run are not written twice.

A member of a pack has the numbers of a separate run up to rounding: float64 runs agree to 1e-9, float32 runs as far as
the order of sums lets them. It is no other training: no loss depends on another member's slice, so one backward pass of
the summed losses leaves each the gradient it would have had alone. bfloat16 is cast anew at every step.
"""
