"""Packs on slots: the plan, worker processes, SLURM jobs. Knows processes, not training; loads no torch."""
