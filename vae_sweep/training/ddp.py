"""Several processes for one large member (DDP). Rank 0 is the process that was asked to train; it starts the others.

    python -m vae_sweep.training.ddp SWEEP ID        one of the others

Lightning would start them by repeating the command line, which under a sweep means repeating the sweep. So they are
started here, each with a command of its own, and Lightning is told by LOCAL_RANK that they exist.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vae_sweep.engine.process import die_with_parent
from vae_sweep.environment import import_path


def rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def started(sweep: Path, member_id: str, processes: int) -> Iterator[None]:
    """Run the block as rank 0 of `processes`; the others train the same member and end with it.

    In a process that is itself one of the others, the block just runs.
    """
    if processes == 1 or rank() > 0:
        yield
        return
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
    command = [sys.executable, "-m", "vae_sweep.training.ddp", str(sweep), member_id]
    before = dict(os.environ)
    os.environ |= meeting | {"LOCAL_RANK": "0", "NODE_RANK": "0", "PYTHONPATH": import_path()}
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"LOCAL_RANK": str(number)})
        for number in range(1, processes)
    ]
    try:
        yield
        for other in others:
            if other.wait(timeout=60):
                raise RuntimeError(f"process {others.index(other) + 1} of {processes} ended with {other.returncode}")
    finally:
        _leave_group()
        for other in others:
            other.kill()
            other.communicate()
        os.environ.clear()
        os.environ |= before


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _leave_group() -> None:
    import torch.distributed as group

    if group.is_available() and group.is_initialized():
        group.destroy_process_group()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m vae_sweep.training.ddp", description="One process of DDP.")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("member")
    arguments = parser.parse_args(argv)
    die_with_parent()
    from vae_sweep.training.train import train_pack  # torch; a parent that is gone is noticed before

    train_pack(arguments.sweep, [arguments.member])


if __name__ == "__main__":
    main()
