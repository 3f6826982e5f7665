"""What each network of networks.py costs, counted from its settings: for the plan's estimate and the sizes of packs.

Without torch, since the process that plans does not load it. A builder has its count here, in the same order of layers;
the tests hold the counts to torch's own. A network of somebody's own cannot be counted without building it: None.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vae_sweep.models.layout import SQUEEZED, ImageShape, Layout, layout_of, settled

# Per layer and image: multiply-adds of the forward pass, parameters, numbers put out.
Layer = tuple[int, int, int]


@dataclass(frozen=True)
class Cost:
    """One member's cost. flop: of a training step, backward included; params: count; activations: numbers kept.

    held: numbers that nobody trains, the vectors of a linear path and averaged weights.
    """

    flop: float
    params: int
    activations: float
    held: int = 0

    @property
    def bytes(self) -> float:
        """Of device memory in float32: parameters, gradient, two Adam moments; activations and their gradients."""
        return 4 * (4 * self.params + self.held + 2 * self.activations)


def cost(model: Mapping[str, Any], image_shape: ImageShape, batch_size: int, averaged: bool = False) -> Cost | None:
    """Cost of training cfg.model on batches of images, or None for a network that is not ours.

    averaged: whether averages of the weights are kept (trainer.ema).
    """
    model = settled(model, image_shape)
    layers_of = _BUILDERS.get(str(model.get("_target_", "")))
    if layers_of is None:
        return None
    layers = list(layers_of(model, image_shape))
    macs, params, outputs = (sum(layer[i] for layer in layers) for i in range(3))
    at = layout_of(model, image_shape)
    vectors = (math.prod(image_shape) + 2) * at.picture_codes if at and model.get("linear_path") else 0
    # 2 flop per multiply-add; the backward pass costs two forward passes (gradients of inputs and of weights).
    return Cost(6.0 * batch_size * macs, params, float(batch_size) * outputs, vectors + averaged * params)


def n_posterior_params(posterior: str, latent_dim: int) -> int:
    scale = {"diagonal": latent_dim, "shared_scale": 1, "full": latent_dim * (latent_dim + 1) // 2}
    return latent_dim + scale.get(posterior, latent_dim)


def _dense(n_in: int, n_out: int) -> Layer:
    return n_in * n_out, (n_in + 1) * n_out, n_out


def _convolution(c_in: int, c_out: int, kernel: int, pixels: int, out_pixels: int | None = None) -> Layer:
    """`pixels`: places where the kernel is applied (outputs of a convolution, inputs of a transposed one)."""
    return pixels * kernel**2 * c_in * c_out, (kernel**2 * c_in + 1) * c_out, c_out * (out_pixels or pixels)


def _pyramid(image_shape: ImageShape, channels: int) -> tuple[list[int], list[int]]:
    """Widths of the strided layers, and the pixels of the feature maps from the padded image to the coarsest."""
    _, height, width = image_shape
    depth = max(1, math.ceil(math.log2(max(height, width) / 4)))
    cells = math.ceil(height / 2**depth) * math.ceil(width / 2**depth)
    return [channels * 2 ** min(layer, 3) for layer in range(depth)], [cells * 4**k for k in range(depth, -1, -1)]


def _conv(model: Mapping[str, Any], image_shape: ImageShape) -> Iterator[Layer]:
    at = layout_of(model, image_shape)
    if at is not None:
        yield from _grid(model, at, (1, 3))
        return
    widths, pixels = _pyramid(image_shape, model["channels"])
    yield from _heads(model, widths[-1] * pixels[-1])
    for layer, (c_in, c_out) in enumerate(zip([image_shape[0], *widths], widths, strict=False)):
        yield _convolution(c_in, c_out, 4, pixels[layer + 1])
        yield 0, 0, c_out * pixels[layer + 1]  # SiLU
        # its mirror image in the decoder
        macs, _, outputs = _convolution(c_out, c_in, 4, pixels[layer + 1], pixels[layer])
        yield macs, (16 * c_out + 1) * c_in, outputs + c_out * pixels[layer + 1]


def _resnet(model: Mapping[str, Any], image_shape: ImageShape) -> Iterator[Layer]:
    at = layout_of(model, image_shape)
    if at is not None:
        blocks = model.get("blocks", 1)
        yield from _grid(model, at, (2 * blocks, 4 * blocks))
        return
    widths, pixels = _pyramid(image_shape, model["channels"])
    colours, blocks = image_shape[0], model.get("blocks", 1)
    yield from _heads(model, widths[-1] * pixels[-1])
    yield _convolution(colours, widths[0], 3, pixels[0])
    yield _convolution(widths[0], colours, 3, pixels[0])
    for c, p in ((widths[-1], pixels[-1]), (widths[0], pixels[0])):
        yield 0, 2 * c, 2 * c * p  # norm and SiLU
    for layer, (c_in, c_out) in enumerate(zip([widths[0], *widths], widths, strict=False)):
        yield _convolution(c_in, c_out, 3, pixels[layer + 1])
        yield from _residual(c_in, pixels[layer], blocks)
    for layer, (c_in, c_out) in enumerate(zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True)):
        yield _convolution(c_in, c_out, 3, pixels[-2 - layer])
        yield 0, 0, c_in * pixels[-2 - layer]  # upsampling
        yield from _residual(c_out, pixels[-2 - layer], blocks)


def _grid(model: Mapping[str, Any], at: Layout, convolutions: tuple[int, int]) -> Iterator[Layer]:
    """grid.py. convolutions: of the encoder's and of the decoder's blocks."""
    width, cells, places = 2 * model["channels"], at.cells**2, at.places**2
    path, patch, codes = bool(model.get("linear_path")), at.image_shape[0] * at.step**2, at.cell_codes
    squeezed = SQUEEZED * at.squeezed**2
    if path:
        pixels = math.prod(at.image_shape)
        yield 3 * pixels * at.picture_codes, at.picture_codes + codes, 3 * pixels
        yield 2 * cells * at.patch * codes, 2 * at.patch * codes, cells * (codes + at.patch)
    for channels_in in (patch * (1 + path), patch * path):
        if channels_in:
            yield _convolution(channels_in, width, 1, places)
    for _ in range(sum(convolutions)):
        yield _convolution(width, width, 3, places)
        yield 0, 2 * width, 2 * width * places  # norm and SiLU
    yield _convolution(width, width, at.places // at.cells, cells)
    yield _convolution(width, SQUEEZED, 1, cells)
    if codes:
        yield _convolution(width, 2 * codes, 1, cells)
        macs, _, outputs = _convolution(codes, width, at.places // at.cells, cells, places)
        yield macs, codes * width * (at.places // at.cells) ** 2 + width, outputs
    if at.picture_codes:
        yield _dense(squeezed, 2 * at.picture_codes)
        yield _dense(at.picture_codes, squeezed)
        yield _convolution(SQUEEZED, width, 1, at.squeezed**2)
    if model["posterior"] == "full":
        yield _dense(SQUEEZED, at.latent_dim * (at.latent_dim - 1) // 2)
    yield _convolution(width, patch, 3, places)


def _residual(channels: int, pixels: int, blocks: int) -> Iterator[Layer]:
    for _ in range(2 * blocks):
        yield _convolution(channels, channels, 3, pixels)
        yield 0, 2 * channels, 2 * channels * pixels  # norm and SiLU


def _heads(model: Mapping[str, Any], cells: int) -> Iterator[Layer]:
    latent = model["latent_dim"]
    yield _dense(cells, n_posterior_params(model["posterior"], latent))
    yield _dense(latent, cells)


def _mlp(model: Mapping[str, Any], image_shape: ImageShape) -> Iterator[Layer]:
    n_pixels, latent, hidden = math.prod(image_shape), model["latent_dim"], list(model["hidden"])
    encoder = [n_pixels, *hidden, n_posterior_params(model["posterior"], latent)]
    decoder = [latent, *reversed(hidden), n_pixels]
    for sizes in (encoder, decoder):
        yield from _dense_layers(sizes)


def _dense_layers(sizes: Sequence[int]) -> Iterator[Layer]:
    for n_in, n_out in pairwise(sizes):
        yield _dense(n_in, n_out)


def _linear(model: Mapping[str, Any], image_shape: ImageShape) -> Iterator[Layer]:
    n_pixels, latent = math.prod(image_shape), model["latent_dim"]
    yield _dense(n_pixels, latent)
    yield 0, n_posterior_params(model["posterior"], latent) - latent, 0
    yield _dense(latent, n_pixels)


_BUILDERS: dict[str, Callable[[Mapping[str, Any], ImageShape], Iterator[Layer]]] = {
    "vae_sweep.models.conv": _conv,
    "vae_sweep.models.resnet": _resnet,
    "vae_sweep.models.mlp": _mlp,
    "vae_sweep.models.linear": _linear,
}
