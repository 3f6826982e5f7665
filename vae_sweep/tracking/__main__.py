import sys

from vae_sweep.tracking.sync import main

sys.exit(main())
