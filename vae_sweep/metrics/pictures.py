"""How alike two pictures are. Pixels in [0, 1], the range fixed whatever the picture; one number per image."""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

WINDOW_SIGMA = 1.5  # of the Gaussian window. Wang et al. 2004, section III.C


def psnr(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, dB, of mean squared errors per pixel, any shape."""
    return -10 * torch.log10(mse)


def ssim(image: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of (B, C, H, W) twice -> (B,). Images are clipped to [0, 1] first.

    Gaussian windows of 11 x 11 pixels. Images with a side below 11 get windows as large as they can hold.
    """
    if not len(x):
        return x.new_zeros(0)
    side = min(11, *x.shape[-2:])
    window = side - (side + 1) % 2  # odd
    # Depthwise convolutions on a CPU are twice as fast with the channels last.
    image, x = (pixels.float().contiguous(memory_format=torch.channels_last) for pixels in (image.clamp(0, 1), x))
    values = structural_similarity_index_measure(
        image,
        x,
        sigma=WINDOW_SIGMA * window / 11,
        kernel_size=window,
        data_range=1.0,
        reduction="none",
    )
    assert isinstance(values, Tensor)  # a tuple only where the full image is asked for
    return values.reshape(len(x))
