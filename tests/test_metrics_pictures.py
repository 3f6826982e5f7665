"""PSNR and SSIM against torchmetrics."""

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from vae_sweep.metrics.pictures import psnr, ssim


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy_pair(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(3, 3, size, size, generator=generator())
    return x, (x + 0.1 * torch.randn(x.shape, generator=generator(1))).clamp(0, 1)


def test_psnr_and_ssim_are_torchmetrics_image_by_image() -> None:
    x, image = noisy_pair()
    mse = ((x - image) ** 2).flatten(1).mean(1)
    for i in range(3):
        expected = PeakSignalNoiseRatio(data_range=1.0)(image[i, None], x[i, None])
        assert float(psnr(mse)[i]) == pytest.approx(float(expected), rel=1e-5)
        expected = StructuralSimilarityIndexMeasure(data_range=1.0)(image[i, None], x[i, None])
        assert float(ssim(image, x)[i]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("size", [4, 8, 11, 12])
def test_ssim_of_small_images(size: int) -> None:
    x, image = noisy_pair(size)
    assert torch.allclose(ssim(x, x), torch.ones(3), atol=1e-5)
    assert (ssim(image, x) < 1).all()
    assert (ssim(torch.full_like(x, 0.5), x) < ssim(image, x)).all()


def test_ssim_clips_what_the_decoder_overshoots() -> None:
    x = torch.ones(1, 1, 16, 16)
    assert float(ssim(x * 1.5, x)) == pytest.approx(1)
