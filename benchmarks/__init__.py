"""Measurements of the tool, alone and beside others. Any Python may be typed: see vae_sweep/environment.py."""

import vae_sweep  # noqa: F401  hands over to the checkout's own Python
