"""The report: run folders in, one self-contained page out. No torch, no network."""

from vae_sweep.report.writing import build, watch

__all__ = ["build", "watch"]
