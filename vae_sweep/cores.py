"""How many processors there are to use. The standard library does not look at the quota of a container."""

import os
from pathlib import Path


def cores() -> int:
    """Processors that this process may use: its affinity, and the quota of its control group (containers)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("utf-8").split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or no quota ("max")
        return allowed
