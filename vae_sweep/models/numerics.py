"""Where half precision must not reach: sums over thousands of pixels, variances, triangular solves."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 pass untouched."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """Context in which autocast does not touch matrix products on the tensor's device."""
    return torch.autocast(tensor.device.type, enabled=False)
