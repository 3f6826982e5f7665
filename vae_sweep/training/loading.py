"""A trained member, opened from its run folder or its checkpoint file: encode, decode, sample."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data import load as load_data
from vae_sweep.data.batches import generator
from vae_sweep.data.decoding import Decoding, Unreadable
from vae_sweep.data.decoding import decode as decode_file
from vae_sweep.data.split import chosen
from vae_sweep.evaluation.codes import Split
from vae_sweep.evaluation.samples import saved_sampler
from vae_sweep.models.code_sampler import FILE as SAMPLER
from vae_sweep.models.code_sampler import CodeSampler
from vae_sweep.models.grid_sampler import GridSampler
from vae_sweep.models.multi_rate import AtWeight
from vae_sweep.models.networks import VAE, ImageShape
from vae_sweep.models.posteriors import Posterior
from vae_sweep.runs.moved import data_section
from vae_sweep.runs.reading import load_run
from vae_sweep.runs.records import Damaged, log
from vae_sweep.runs.schema import BEST
from vae_sweep.runs.withheld import resolved
from vae_sweep.training.belongs import check_config
from vae_sweep.training.build import build
from vae_sweep.training.checkpoints import LAST, PREVIOUS, at_best, load_checkpoint, starts_from_data
from vae_sweep.training.lit_vae import LitVAE
from vae_sweep.training.starting import unknown_moments


class TrainedVAE:
    """Images to posteriors over latents and back. `lit` is the LightningModule inside.

    Images are tensors (B, C, H, W) or one (C, H, W), or numpy arrays (B, H, W, C), (H, W, C) or, of one channel,
    (H, W); uint8, or floats in [0, 1]. Made by `load_model`.
    config: of its member. vae: what encodes and decodes; by default the one in `lit`, of a multi-rate model at
    loss.kl_weight. kl_weight: that of `vae`. fingerprint: of the images that it was trained on, where known.
    folder: of its run, None if it has none, with what evaluation has fitted to the codes.
    """

    def __init__(
        self,
        lit: LitVAE,
        image_shape: ImageShape,
        config: Mapping[str, Any],
        vae: VAE | AtWeight | None = None,
        kl_weight: float | None = None,
        fingerprint: str | None = None,
        folder: Path | None = None,
    ):
        self.lit = lit.float().eval().requires_grad_(False)
        channels, height, width = image_shape
        self.image_shape: ImageShape = (channels, height, width)
        self.config = config
        self.fingerprint = fingerprint
        self.vae = lit.objective.vae if vae is None else vae
        self.folder = folder
        self.kl_weight = None if lit.objective.deterministic else config["loss"]["kl_weight"]
        if kl_weight is not None:
            self.kl_weight = kl_weight

    def __repr__(self) -> str:
        channels, height, width = self.image_shape
        kind = "autoencoder" if self.kl_weight is None else f"kl_weight={self.kl_weight:g}"
        parameters = sum(p.numel() for p in self.lit.parameters())
        return (
            f"TrainedVAE({kind}, latent_dim={self.latent_dim}, images {height}x{width}x{channels}, "
            f"{parameters:,} parameters, step {self.lit.step})"
        )

    def at(self, kl_weight: float) -> "TrainedVAE":
        """A multi-rate model at another weight. Raises ValueError outside its range, and for a model of one weight."""
        if not self.lit.objective.multi_rate:
            raise ValueError("this model was trained at one weight; model.multi_rate=true trains one for all")
        model = self.lit.objective.vae
        low, high = model.kl_weight_range
        if not low <= kl_weight <= high:
            raise ValueError(f"kl_weight={kl_weight}: this model was trained on {low:g} to {high:g}")
        view = model.at(kl_weight)
        return TrainedVAE(self.lit, self.image_shape, self.config, view, kl_weight, self.fingerprint, self.folder)

    @property
    def latent_dim(self) -> int:
        return self.lit.objective.vae.latent_dim

    # ---- pictures in

    def read(self, *paths: str | Path) -> Tensor:
        """Image files as (B, C, H, W) in [0, 1], decoded and cut as the images that it was trained on.

        Raises ValueError that names a file that gives no image.
        """
        channels, height, width = self.image_shape
        if height != width:
            raise ValueError(f"this model takes images of {height}x{width}: read them yourself, files are cut square")
        read = self.config["data"]
        how = Decoding(height, channels, read.get("fit", "crop"), read.get("white"), read.get("range"))
        return _as_tensor(np.stack([_decoded(Path(path), how) for path in paths]), self.image_shape)

    def images(self, split: str = "val", count: int | None = 16) -> Tensor:
        """The sweep's own images (B, C, H, W): the first `count` (None: all) of "val" or "train" in the report's order.

        Raises DataError if the data set cannot be loaded, ValueError if it holds other images than it was trained on.
        """
        if split not in ("train", "val"):
            raise ValueError(f"split={split!r}: train or val")
        data = load_data(data_section(self.folder, self.config))
        if self.fingerprint not in (None, data.fingerprint):
            raise ValueError(f"data={data.name} holds other images than this model was trained on")
        return Split(data, chosen(getattr(data, split), count), torch.device("cpu"))[:]

    # ---- codes

    def encode(self, images: Tensor | np.ndarray) -> Posterior:
        """q(z|x) with .mean and .variance (B, d) and .sample(noise). Raises ValueError for images of another size."""
        return self.vae.encode(_as_tensor(images, self.image_shape))

    def decode(self, z: Tensor) -> Tensor:
        """Images of latents (B, d), clipped to [0, 1]."""
        return self.lit.objective.likelihood.image(self.vae.decode(z)).clamp(0, 1)

    def reconstruct(self, images: Tensor | np.ndarray) -> Tensor:
        """Decode the posterior mean: (B, C, H, W)."""
        return self.decode(self.encode(images).mean)

    def sample(self, n: int, seed: int = 0, from_: str = "prior") -> Tensor:
        """n images: of z ~ N(0, I), or with from_="codes" of z drawn from `sampler`. Raises ValueError as that does."""
        if from_ == "codes":
            return self.decode(torch.from_numpy(self.sampler.sample(n, seed)))
        if from_ != "prior":
            raise ValueError(f"from_={from_!r}: expected 'prior' or 'codes'")
        z = torch.randn((n, self.latent_dim), generator=generator("cpu", "prior", seed))
        return self.decode(z)

    @functools.cached_property
    def sampler(self) -> CodeSampler | GridSampler:
        """Fitted to the codes of training images; of a multi-rate model, at this weight.

        Raises ValueError where evaluation has fitted none, or to the codes of another step than this checkpoint's.
        """
        file = None if self.folder is None else self.folder / SAMPLER
        if file is None or not file.exists():
            raise ValueError(
                f"no sampler is fitted to the codes yet (no {file}): evaluate the run, which fits one"
                " where 8 images are held out"
            )
        return saved_sampler(file, self.lit.step, self.vae)

    def interpolate(self, first: Tensor | np.ndarray, second: Tensor | np.ndarray, steps: int = 8) -> Tensor:
        """(steps, C, H, W): decoded on the straight line between the mean codes of two images, both ends included."""
        start, end = self.encode(first).mean[:1], self.encode(second).mean[:1]
        return self.decode(start + torch.linspace(0, 1, steps)[:, None] * (end - start))


def _decoded(path: Path, how: Decoding) -> np.ndarray:
    try:
        return decode_file(path, how)[1]
    except Unreadable as error:
        raise ValueError(f"{path}: {error}") from None


def _as_tensor(images: Tensor | np.ndarray, shape: ImageShape) -> Tensor:
    """(B, C, H, W) float32 in [0, 1] of any form that TrainedVAE takes. Raises ValueError with the shape or range."""
    channels, height, width = shape
    x = torch.as_tensor(images)
    given = tuple(x.shape)
    if channels == 1 and x.dim() in (2, 3) and given[-2:] == (height, width):
        x = x.reshape(-1, 1, height, width)
    elif isinstance(images, np.ndarray) and given[-3:] == (height, width, channels) and given[-3:] != tuple(shape):
        x = x.movedim(-1, -3)
    x = x[None] if x.dim() == 3 else x
    if x.dim() != 4 or tuple(x.shape[1:]) != tuple(shape):
        wanted = f"{tuple(shape)}, as numpy {(height, width, channels)}"
        raise ValueError(f"images of shape {given}: this model takes {wanted}")
    if not x.is_floating_point():
        x = x / 255
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):  # NaN fails too
        raise ValueError(f"pixels from {float(x.min()):g} to {float(x.max()):g}: floats must lie in [0, 1]")
    return x.float()


def load_lit(path: str | Path) -> tuple[LitVAE, dict]:
    """(module with its trained weights on the CPU, checkpoint) of a run folder or checkpoint file.

    Of a folder those that trainer.keep names: its last weights, or its best. Raises RecordError if there is no
    checkpoint, or none that can be opened.
    """
    path = Path(path)
    checkpoint = _of_run(path) if (path / "checkpoints").is_dir() else load_checkpoint(path)
    known = checkpoint["hyper_parameters"]
    config = resolved(known["config"], known["config"].keys() - {"data", "logger"})
    check_config(config)
    shape = tuple(known["image_shape"])
    moments = unknown_moments(config, shape) if starts_from_data(checkpoint) else None
    lit = build(config, shape, known["images"], moments)
    try:
        lit.restore_weights(checkpoint)
        lit.take_kept()
    except (RuntimeError, AttributeError, TypeError) as error:
        raise Damaged(f"{path}: its weights are not those of its network: {str(error).splitlines()[0]}") from None
    return lit, checkpoint


def _of_run(folder: Path) -> dict[str, Any]:
    try:
        if os.path.lexists(folder / BEST):
            return load_checkpoint(folder / BEST)
    except Damaged as error:
        log.warning("%s; the same weights are read from %s", error, LAST)
    try:
        return at_best(load_checkpoint(folder / LAST))
    except Damaged as error:
        if not (folder / PREVIOUS).exists():
            raise
        raise Damaged(
            f"{error}; {folder / PREVIOUS} is the one before: remove {folder / 'result.json'} and give the sweep's"
            " command again, it trains on from there"
        ) from None


def load_model(run: str | Path) -> TrainedVAE:
    """The trained VAE of a run folder (or of a checkpoint file).

    >>> vae = load_model("outputs/my_sweep/000-kl_weight=0.1-4f2a9c01")  # doctest: +SKIP
    >>> vae.sample(16).shape  # doctest: +SKIP
    torch.Size([16, 3, 64, 64])
    >>> vae.sample(16, from_="codes")  # of a distribution fitted to the codes of training images  # doctest: +SKIP
    """
    lit, checkpoint = load_lit(run)
    known = checkpoint["hyper_parameters"]
    lit.step = checkpoint["step"]
    trained_on = load_run(Path(run)).result.get("data_fingerprint") if Path(run).is_dir() else None
    path = Path(run).absolute()
    folder = path if path.is_dir() else path.parents[1]  # RUN/checkpoints/last.ckpt
    return TrainedVAE(lit, known["image_shape"], known["config"], fingerprint=trained_on, folder=folder)
