"""Config in, trained run folders out: the Lightning modules, their batches, checkpoints and devices."""
