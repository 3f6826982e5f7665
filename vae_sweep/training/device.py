"""Which device and which precision a member trains in."""

import torch
from torch import nn

PRECISIONS = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
CPU_BF16_PARAMS = 2e5  # of convolutions: with fewer, a CPU loses more by casting than it gains by multiplying


def accelerator(setting: str) -> str:
    """auto -> cuda, mps or cpu."""
    if setting != "auto":
        return setting
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def precision(setting: str | int, accelerator: str, network: nn.Module) -> str:
    """Lightning's name of a precision. auto: bfloat16 for convolutions where the processor multiplies in it, else 32.

    Dense networks of this size are bound by memory and overhead: they gain nothing and keep their digits. So do small
    convolutions on a CPU. The latent size plays no part, so that the members of a sweep over it are alike.
    """
    if str(setting) != "auto":
        return PRECISIONS[str(setting)]
    convolutions = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    params = sum(module.weight.numel() for module in convolutions)
    worth_it = params >= CPU_BF16_PARAMS if accelerator == "cpu" else params > 0
    return PRECISIONS["bf16" if worth_it and multiplies_bfloat16(accelerator) else "32"]


def multiplies_bfloat16(accelerator: str) -> bool:
    """Whether the hardware has instructions for it, and need not emulate it."""
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
