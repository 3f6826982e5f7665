"""One trained member, measured on training and held-out images."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_sweep.data.batches import generator
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import EVALUATION_SEED, chosen
from vae_sweep.evaluation import noise as pixel_noise
from vae_sweep.evaluation import showing
from vae_sweep.evaluation.bounds import sample_posterior, sizes_of_k
from vae_sweep.evaluation.codes import Codes, Split, encode, noise_for
from vae_sweep.evaluation.own import Metric, measured
from vae_sweep.evaluation.samples import Samples, judge
from vae_sweep.evaluation.slopes import encoder_gradients
from vae_sweep.metrics.aggregate import active_units, activity, aggregate_kl
from vae_sweep.metrics.disentanglement import mutual_information_gap
from vae_sweep.metrics.gradients import gradient_view
from vae_sweep.metrics.prior import cycle_error, mmd2, mmd2_null, moments
from vae_sweep.models.code_sampler import FILE as SAMPLER
from vae_sweep.models.grid_sampler import from_arrays
from vae_sweep.models.objective import Objective
from vae_sweep.runs.files import write_arrays
from vae_sweep.runs.records import write_record
from vae_sweep.runs.schema import SCHEMA
from vae_sweep.theory.conventions import Sizes
from vae_sweep.theory.linear import ACTIVE

Values = dict[str, float]
_PER_IMAGE = ("recon", "sse", "kl", "psnr_mean")  # kept of every held-out image, so that runs are compared in pairs


@dataclass(frozen=True)
class Settings:
    """How much to measure. None: all there are.

    images: of each split; of the first ssim_images of them the SSIM. aggregate_samples: draws of z, each compared with
    all these images, for MI, TC and dimension-wise KL. mmd_samples: of codes and of the prior. gradient_images: of the
    training split. bound_images: held-out images for NLL_k. k: its largest number of samples. sample_images: held-out
    images that samples are compared with. sampler_images: training images to whose codes the sampler is fitted.
    """

    images: int | None = 1024
    ssim_images: int | None = 128
    aggregate_samples: int | None = 256
    mmd_samples: int | None = 512
    gradient_images: int | None = 512
    bound_images: int | None = 64
    k: int = 100
    sample_images: int | None = 256
    sampler_images: int | None = 4096


class Evaluation(NamedTuple):
    """What evaluation.json, evaluation.npz and sampler.npz hold; no sampler where too few images are held out."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray]
    sampler: dict[str, np.ndarray]

    def write(self, folder: Path) -> None:
        """Into a run folder; the json last, so that where it is there is everything."""
        write_arrays(folder / "evaluation.npz", self.arrays)
        if self.sampler:
            write_arrays(folder / SAMPLER, self.sampler)
        write_record(folder / "evaluation.json", self.values)


def evaluate(
    objective: Objective,
    kl_weight: float,
    step: int,
    data: ImageData,
    batch_size: int,
    settings: Settings = Settings(),
    metrics: Sequence[Metric] = (),
) -> Evaluation:
    """Measure a trained objective where it lies (CPU or GPU).

    kl_weight: in force after `step` steps; batch_size: it was trained with. metrics: of other packages, measured on
    both splits. What has no meaning for an autoencoder is left out.
    """
    was_training = objective.training
    objective.eval()
    try:
        subject = _Subject(objective, kl_weight, data, batch_size, settings, metrics)
        values = {
            "schema": SCHEMA,
            "step": step,
            "settings": dataclasses.asdict(settings),
            "beta": subject.beta,
            "train": subject.on_training_images(),
            "val": subject.on_held_out_images(),
        }
        if metrics:
            values["own_metrics"] = sorted(subject.own_metrics)
        if subject.samples is not None:
            values["samples"] = subject.samples.detail
        arrays = subject.arrays()
    finally:
        objective.train(was_training)
    sampler = {} if subject.samples is None else subject.samples.sampler | {"step": np.array(step)}
    return Evaluation(values, arrays, sampler)


class _Subject:
    """A member with its images encoded once."""

    def __init__(
        self,
        objective: Objective,
        kl_weight: float,
        data: ImageData,
        batch_size: int,
        settings: Settings,
        metrics: Sequence[Metric],
    ):
        self.objective, self.kl_weight, self.data, self.settings = objective, kl_weight, data, settings
        self.metrics = metrics
        self.own_metrics: set[str] = set()  # what those have found, by name
        self.latent_dim = objective.vae.latent_dim
        self.device = next(objective.parameters()).device
        self.train = Split(data, chosen(data.train, settings.images), self.device)
        self.val = Split(data, chosen(data.val, settings.images), self.device)
        self.train_codes = encode(
            self.objective, self.train, self.noise("train", len(self.train)), settings.ssim_images
        )
        self.val_codes = encode(self.objective, self.val, self.noise("val", len(self.val)), settings.ssim_images)
        mse = float(self.train_codes.terms["mse"].mean())
        self.fitted_sigma = mse**0.5
        likelihood, pixels = self.objective.likelihood, self.train.pixels
        self.sizes = Sizes(pixels, self.latent_dim, batch_size)
        self.fitted = pixel_noise.fitted_noise(likelihood, pixels, mse)
        self.own = pixel_noise.own_noise(objective, kl_weight, self.sizes)
        self.at_weight_1 = pixel_noise.noise_at_weight_1(likelihood, pixels)

    def noise(self, name: str, images: int) -> Tensor:
        return noise_for((images, self.latent_dim), self.device, name)

    def on_training_images(self) -> Values:
        found = self._on_either(self.train, self.train_codes)
        if self.objective.deterministic:
            return found
        first = moments(self.train_codes.posterior)
        found |= {
            "moment_second": float(first.second.mean()),
            "moment_second_worst": float(first.second[(first.second - 1).abs().argmax()]),
            "moment_mean": float(first.mean.square().mean().sqrt()),
            "moment_rate": first.rate,
        }
        if self.objective.weight_kl_weight is not None:
            found["weight_kl"] = float(self.objective.vae.weight_kl())
        split = Split(self.data, chosen(self.data.train, self.settings.gradient_images), self.device)
        of_recon, of_kl = encoder_gradients(self.objective, split, self.noise("gradients", len(split)))
        view, unit = gradient_view(of_recon, of_kl), pixel_noise.distortion_per_recon(self.objective.likelihood)
        return found | {
            "grad_norm_recon": view.norm_recon * unit,
            "grad_norm_kl": view.norm_kl,
            "grad_cosine": view.cosine,
            "beta_hat": view.beta_hat * unit,
            "gradient_images": len(split),
        }

    def on_held_out_images(self) -> Values:
        found = self._on_either(self.val, self.val_codes)
        if self.samples is not None:
            found |= self.samples.values
        if self.objective.deterministic:
            return found
        return found | self._bounds() | self._holes()

    @functools.cached_property
    def samples(self) -> Samples | None:
        training = Split(self.data, chosen(self.data.train, self.settings.sampler_images), self.device)
        images = len(self.val) if self.settings.sample_images is None else self.settings.sample_images
        return judge(self.objective, self.val, self.val_codes, training, self.train_codes, images)

    def _on_either(self, split: Split, codes: Codes) -> Values:
        found = codes.means() | {"images": len(split), "sigma_calibrated": self.fitted_sigma}
        if not self.objective.deterministic:
            found |= self._elbos(codes) | self._aggregate(codes) | self._distance_to_prior(codes)
            if self.own is not None and self.own.sigma2 is not None:
                found["implied_sigma"] = self.own.sigma2**0.5
        found |= self._disentanglement(split, codes)
        own = measured(self.metrics, self.objective, split, codes, found)
        self.own_metrics |= own.keys()
        return found | own

    @property
    def beta(self) -> float | None:
        return pixel_noise.beta_in_force(self.objective, self.kl_weight, self.sizes, self.fitted_sigma)

    def _elbos(self, codes: Codes) -> Values:
        yardsticks = {"elbo": self.own, "elbo_calibrated": self.fitted, "elbo_beta1": self.at_weight_1}
        recon, sse, kl = (codes.terms[name] for name in ("recon", "sse", "kl"))
        return {
            name: -float((noise.nats(recon, sse) + kl).mean())
            for name, noise in yardsticks.items()
            if noise is not None
        }

    def _aggregate(self, codes: Codes) -> Values:
        mean = codes.posterior.mean
        found: Values = {"active_units": active_units(mean)}
        if len(mean) < 2:
            return found
        samples = len(mean) if self.settings.aggregate_samples is None else self.settings.aggregate_samples
        z = codes.z[:samples]
        with torch.no_grad():
            bracket = aggregate_kl(codes.posterior, z, torch.arange(len(z), device=z.device))
        for name, split in (("leave_in", bracket.leave_in), ("leave_one_out", bracket.leave_one_out)):
            found |= {
                f"mi_{name}": split.mutual_information,
                f"tc_{name}": split.total_correlation,
                f"dwkl_{name}": split.dimension_wise,
            }
        return found | {"log_n": bracket.log_n, "aggregate_samples": len(z)}

    def _distance_to_prior(self, codes: Codes) -> Values:
        z = codes.z[: self.settings.mmd_samples].cpu()
        if len(z) < 2:
            return {}
        low, high = _null_band(len(z), self.latent_dim)
        prior = noise_for(z.shape, z.device, "mmd")
        return {"mmd2": mmd2(z, prior), "mmd2_null_low": low, "mmd2_null_high": high, "mmd_samples": len(z)}

    def _disentanglement(self, split: Split, codes: Codes) -> Values:
        if self.data.factors is None or self.latent_dim < 2 or len(split) < 2:
            return {}
        factors = self.data.factors[split.rows]
        found = {"mig_mean": mutual_information_gap(codes.posterior.mean.cpu().numpy(), factors).score}
        if not self.objective.deterministic:
            found["mig_sampled"] = mutual_information_gap(codes.z.cpu().numpy(), factors).score
        return found

    def _bounds(self) -> Values:
        split = self.val.first(self.settings.bound_images)
        ks = sizes_of_k(self.settings.k)
        samples = sample_posterior(self.objective, split, self.val_codes.first(len(split)), self.settings.k)
        found: Values = {"bound_images": len(split)}
        if self.own is not None:
            found |= samples.bounds(self.own, ks)
        return found if self.fitted is None else found | samples.bounds(self.fitted, ks, "_calibrated")

    @torch.no_grad()
    def _holes(self) -> Values:
        """Draws of the prior, and codes of held-out images, decoded and encoded again."""
        vae, likelihood = self.objective.vae, self.objective.likelihood
        active = activity(self.val_codes.posterior.mean) > ACTIVE
        n = min(256, len(self.val))
        found = {}
        for name, z in (("", self.noise("holes", n)), ("_codes", self.val_codes.z[:n])):
            back = [vae.encode(likelihood.image(vae.decode(part)).clamp(0, 1)).mean for part in z.split(64)]
            found[f"hole_cycle_error{name}"] = cycle_error(z, torch.cat(back), active)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        labels = None if self.data.labels is None else self.data.labels[self.val.rows]
        arrays = showing.pictures(self.objective, self.val, self.val_codes)
        arrays |= showing.latents(self.val_codes, labels, self.objective.deterministic)
        arrays |= {
            f"val_image_{name}": self.val_codes.terms[name].float().numpy()
            for name in _PER_IMAGE
            if name in self.val_codes.terms
        }
        arrays["mean_image"] = self._mean_image()
        if self.samples is not None:
            arrays |= self.samples.arrays
        if not self.objective.deterministic:
            kl_per_unit = self.val_codes.posterior.kl_per_unit().mean(0)
            start = self.val_codes.posterior.mean[0]
            arrays |= showing.from_the_prior(self.objective, kl_per_unit, start, *self._where_codes_lie())
        return arrays

    def _where_codes_lie(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation (d,) of every unit in the fitted sampler; 0 and 1 where none was fitted."""
        prior = torch.zeros(self.latent_dim), torch.ones(self.latent_dim)
        found = prior if self.samples is None else from_arrays(self.samples.sampler).marginals()
        centre, spread = (torch.as_tensor(value, dtype=torch.float32, device=self.device) for value in found)
        return centre, spread

    def _mean_image(self) -> np.ndarray:
        """(H, W, C) uint8: the best that can be said of an image without looking at it."""
        total = sum(x.cpu().double().sum(0) for _, x in self.train.batches())
        assert isinstance(total, Tensor)
        return showing.as_bytes((total / len(self.train))[None])[0]


@functools.cache
def _null_band(n: int, latent_dim: int) -> tuple[float, float]:
    """Of MMD^2 between n codes and n draws of the prior: the same for every run of that size."""
    return mmd2_null(n, latent_dim, generator("cpu", "mmd null", EVALUATION_SEED))
