"""The disk: what a sweep and its runs are as files. No torch, no wandb."""
