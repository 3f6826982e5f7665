import sys

from vae_sweep.tracking.sync import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
