"""Packs on slots: which process does what. Knows processes, not training; reads no config; loads no torch.

The processes
-------------
    parent          what the user started. Plans, shows, writes down what nobody else could. Never imports torch, so
                    that `--help`, a refused setting and a finished sweep cost no more than a second.
    fork server     one per sweep (fork_server.py). Imports torch and the training once, while the parent decodes
                    images, and then does nothing but fork. Started anew by every command.
    worker          a fork of the server (worker.serve). Takes packs one after another, trains each and reports.
    guard           a shell in each worker's process group, which kills the group when the parent is gone (process.py).
    rank            of a member on several devices: the worker is rank 0 and starts the others (training/ddp.py).

    parent ──orders (JSON lines)──▶ worker          parent ──fork this, reap that──▶ fork server ──fork──▶ worker
           ◀──events (JSON lines)──                        ◀──pid, exit code──

Who owns what
-------------
- The *parent* owns sweep.json and the locks of the sweep's folder (runs/folder.py). Nobody else writes the manifest.
- A *worker* owns the run folders of the members that it trains, held by a lock per member (`.locks/<id>`), and their
  result.json. Only if it is gone does the parent write a result in its place (runs/outcomes.py).
- The *pool* (pool.py) owns the slots: a worker is tied to its GPUs for life, since CUDA_VISIBLE_DEVICES is read once;
  on CPUs any idle worker takes the next pack. A spare slot is used only when nothing else is waiting.
- The *plan* is frozen before anything starts: which members share a pack, and with how many threads. Both change the
  order in which numbers are summed, and so their last digits.

A promise: `watch` hears exactly one `result` event for every member, whatever dies. A worker that ends without a word
is reported by the pool with the signal and the last of its output; its next pack goes to another.

What stops what
---------------
Ctrl-C and SIGTERM reach the parent alone (workers are leaders of their own process groups). It passes SIGTERM on,
workers write checkpoints, and what is left after a grace period, or at the second Ctrl-C, is killed. If the parent is
killed itself, the kernel kills the server and the workers (PR_SET_PDEATHSIG), and the guards kill what those started:
decoders, ranks, wandb. What trains in the parent (this_process.py) is asked in the same way; there the second Ctrl-C is
a KeyboardInterrupt, since an evaluation asks nobody whether to stop.

Why a fork server of our own, and not multiprocessing's
------------------------------------------------------
`multiprocessing` has the start method `forkserver` with `set_forkserver_preload`, which pays for imports once, too. But
its server has the parent's environment, where torch must find one thread and no CUDA (neither survives a fork), without
changing that of whoever calls us; its children run the parent's main module again, which here is Hydra's; and it reaps
a child as soon as that is dead, after which its process group may be somebody else's and cannot be killed any more.
Ours waits without reaping, kills what the worker has left behind, and then reaps. Nor would a level above help: the
executors of `concurrent.futures` and `loky` fail all that is queued when one process dies, and here one dead worker is
one failed member. And a worker that speaks JSON lines can be started by SLURM, or by hand.

Where it runs
-------------
    place.py          what every place offers: slots, width of a pack, preloading(), run()
    machine.py        this machine: the pool above
    this_process.py   here, one pack after another: single runs, debuggers, Hydra's own launchers
    slurm.py          a cluster: one job per pack, `python -m vae_sweep.engine.worker`; results come back through the
                      folder alone, so that the parent may die and come back
    ray_cluster.py    a cluster that shares no folder: one actor per pack (ray_node.py), with the same worker in a
                      folder of its own; what it writes is sent back (runs/mirror.py), and the images are sent there
                      (data/carried.py)
    pack_process.py   what both start and hear: the worker of one pack as a process of its own
A place of your own: a class with these four methods, a launcher in plugins/ and its yaml in conf/hydra/launcher/.
"""
