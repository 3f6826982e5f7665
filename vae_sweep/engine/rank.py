"""One of the several processes of a large member; vae_sweep/ranks.py starts them.

python -m vae_sweep.engine.rank SWEEP ID
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vae_sweep.engine.worker import die_with_parent


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m vae_sweep.engine.rank", description="One process of DDP.")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("member")
    arguments = parser.parse_args(argv)
    die_with_parent()
    from vae_sweep.training.train import train_pack  # torch; a parent that is gone is noticed before

    train_pack(arguments.sweep, [arguments.member])


if __name__ == "__main__":
    main()
