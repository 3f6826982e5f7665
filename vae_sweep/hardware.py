"""Which device and which precision a member trains in."""

import torch
from torch import nn

PRECISIONS = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}


def accelerator(setting: str) -> str:
    """auto -> cuda, mps or cpu."""
    if setting != "auto":
        return setting
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def precision(setting: str | int, accelerator: str, network: nn.Module) -> str:
    """Lightning's name of a precision. auto: bfloat16 for convolutions where the processor multiplies in it, else 32.

    Dense networks of this size are bound by memory and overhead: they gain nothing and keep their digits.
    """
    if str(setting) != "auto":
        return PRECISIONS[str(setting)]
    convolutional = any(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in network.modules())
    return PRECISIONS["bf16" if convolutional and _multiplies_bfloat16(accelerator) else "32"]


def _multiplies_bfloat16(accelerator: str) -> bool:
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
