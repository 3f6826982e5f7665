"""Slots: the places of this machine where one pack runs at a time. Found without importing torch."""

import functools
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vae_sweep.checks import SettingsError

# What the threads of a numerical library are set by; read once, when the library is loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# How threads wait: of OpenMP, of GNU's, of LLVM's and Intel's.
_WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

_NO_GPU = ("cpu", "mps", "slurm", "ray")


@dataclass(frozen=True)
class Slot:
    """device: an entry of CUDA_VISIBLE_DEVICES, or "mps", "cpu", "slurm", "ray"; share: which of the jobs on it.

    spare: for the last packs only, see `spare_slots`.
    """

    device: str
    share: int = 0
    spare: bool = False

    @property
    def name(self) -> str:
        named = self.device if self.device in _NO_GPU else f"gpu {self.device}"
        return f"{named}.{self.share}" if self.share or self.device in ("cpu", "slurm", "ray") else named


def device_environment(devices: Sequence[str]) -> dict[str, str]:
    """Environment of a process that owns `devices` and sees no other."""
    gpus = [device for device in devices if device not in _NO_GPU]
    # The driver's numbers, which nvidia-smi prints, follow the bus; CUDA's own default order does not.
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def thread_environment(threads: int, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process of so many threads must find in its environment when it loads torch.

    Threads with nothing to do sleep. By themselves those of torch's OpenMP spin for some milliseconds, on cores where
    other processes wait, and then wait themselves for a thread that has lost its core: see `benchmarks.threads`.
    environ: of the user, who may have said how threads are to wait, and is then not contradicted.
    """
    found = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    if not any(name in environ for name in _WAITING_VARIABLES):
        found["OMP_WAIT_POLICY"] = "PASSIVE"
    return found


def find_devices(accelerator: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Devices that members may use: ["0", "1"], ["mps"], or [] for the CPU.

    accelerator: trainer.accelerator. Raises SettingsError if it asks for a device that is not there.
    """
    if accelerator == "cpu":
        return []
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = [entry.strip() for entry in visible.split(",") if entry.strip() not in ("", "-1")]
    else:
        gpus = list(gpu_memory())
    if gpus and accelerator in ("auto", "cuda"):
        return gpus
    if platform.system() == "Darwin" and platform.machine() == "arm64" and accelerator in ("auto", "mps"):
        return ["mps"]
    if accelerator != "auto":
        raise SettingsError(f"trainer.accelerator={accelerator}: no such device on this machine")
    return []


def lay_out(
    devices: Sequence[str], wanted: int, cores: int, jobs: int | None = None, jobs_per_gpu: int = 1
) -> tuple[list[Slot], int]:
    """(slots, threads of each) for `wanted` slots' worth of work; never more slots than that.

    jobs: launcher.jobs, the largest number of slots; without it one per core, or `jobs_per_gpu` per GPU.
    Slots on one GPU come last-to-share: every device gets its first job before any gets a second.
    """
    if devices:
        slots = [Slot(device, share) for share in range(jobs_per_gpu) for device in devices]
    else:
        slots = [Slot("cpu", share) for share in range(jobs or cores)]
    slots = slots[: max(1, min(wanted, jobs or len(slots)))]
    return slots, max(1, cores // len(slots))


def spare_slots(slots: Sequence[Slot], packs: int) -> list[Slot]:
    """More slots on the cores of `slots`, where a last round of `packs` equal packs would leave half of them idle.

    The last packs then share the cores and end together: 3 packs on 2 cores take 1.5 times as long as one, not twice.
    """
    left = packs % len(slots)
    if packs < len(slots) or left > len(slots) // 2:
        return []
    return [Slot("cpu", len(slots) + extra, spare=True) for extra in range(left)]


@functools.cache
def gpu_memory() -> dict[str, int]:
    """Bytes of memory of every NVIDIA GPU by its index; {} where there is no driver."""
    command = ["nvidia-smi", "--query-gpu=index,memory.total", "--format=csv,noheader,nounits"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [line.split(",") for line in listing.splitlines() if line.count(",") == 1]
    return {index.strip(): int(mebibytes) * 2**20 for index, mebibytes in rows if mebibytes.strip().isdigit()}
