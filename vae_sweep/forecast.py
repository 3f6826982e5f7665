"""What a linear VAE makes of your pictures at every weight, from a closed form: no training, seconds.

python3 -m vae_sweep.forecast data=image_folder data.root=PICTURES
python3 -m vae_sweep.forecast data=image_folder data.root=PICTURES model.latent_dim=16,128 loss.kl_weight=1,0.1,0.01

Prints, per latent size, what is left of held-out pictures at each weight, above which weight codes collapse, which
pixel noise is likeliest, and which weights to sweep; writes forecast.png (the pictures, and rate against error on both
splits).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_sweep.analysis import choice
from vae_sweep.checks import integer, number
from vae_sweep.commands import Parser, door
from vae_sweep.conf_folder import CONF
from vae_sweep.data.image_data import ImageData
from vae_sweep.data.split import chosen
from vae_sweep.models.layout import AUTO, ONE_CODE
from vae_sweep.sweep.jobs import job_of
from vae_sweep.sweep.one_job import config_of
from vae_sweep.sweep.overrides import check_overrides, values_of
from vae_sweep.sweep.refusal import refused_in_one_line
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.sweep.typed import as_typed
from vae_sweep.theory import data_forecast, first_look
from vae_sweep.theory.covariance import Pixels
from vae_sweep.theory.first_look import nearest
from vae_sweep.theory.pca import principal_axes
from vae_sweep.theory.weights import GREY_LEVELS, ROUNDING_WEIGHT, implied_sigma

DEFAULT_WEIGHTS = (10.0, 1.0, 0.1, 0.01, 0.001)
_SWEPT = _WEIGHT, _LATENT = "loss.kl_weight", "model.latent_dim"


@dataclass(frozen=True)
class Forecast:
    """values: of data_forecast, with held-out curves; pictures: of first_look.pictures; betas: those asked for."""

    values: dict[str, Any]
    pictures: dict[str, np.ndarray]
    betas: list[float]
    seconds: float


def forecast(data: ImageData, latent_dims: Sequence[int], betas: Sequence[float]) -> Forecast:
    """Of images as they are loaded. Raises SettingsError for images that have no pictures to project."""
    if data.binarize == "dynamic":
        raise SettingsError("data.binarize=dynamic: each look is another picture; take data.binarize=static or none")
    began = time.perf_counter()
    axes = principal_axes(Pixels(data.images, data.train), max(latent_dims))
    values = data_forecast(data.images, data.train, latent_dims, betas, held_out=data.val, axes=axes)
    if values["total_variance"] == 0:
        raise SettingsError(f"data: no pixel varies over the {len(data.train)} training image(s) of {data.name}")
    shown = chosen(data.val, first_look.PICTURES)
    pictures = first_look.pictures(axes, data.images, shown, latent_dims, betas)
    return Forecast(values, pictures, sorted(betas, reverse=True), time.perf_counter() - began)


def lines(data: ImageData, found: Forecast) -> list[str]:
    """What a terminal is shown, at most 100 columns."""
    told = [
        f"{data.name}: {len(data.train):,} training and {len(data.val):,} held-out images of "
        f"{'x'.join(map(str, data.images.shape[1:]))}; a linear VAE, from the closed form",
        "",
        "  weight   pixel noise, of 255   latents  in use       KL   held-out SSE     PSNR",
    ]
    for curve in found.values["linear"]:
        for beta in found.betas:
            row = [nearest(curve, beta, key) for key in ("active_units", "rate", "distortion", "psnr_mean")]
            active, rate, sse, psnr = (value if value is not None else np.nan for value in row)
            noise = GREY_LEVELS * implied_sigma(beta)
            told.append(
                f"{beta:>8.3g}   {noise:>19.3g}   {curve['latent_dim']:>7}{active:>8.0f}{rate:>9.3g}{sse:>15.4g}"
                f"{psnr:>6.1f} dB"
            )
    told += [
        "",
        f"collapse    above {found.values['collapse_threshold']:.3g} ignoring the code is stable, for any network",
    ]
    for curve in found.values["linear"]:
        told += _of_one_size(curve)
    low = [beta for beta in found.betas if beta < ROUNDING_WEIGHT]
    if low:
        told.append(f"rounding    {', '.join(f'{w:g}' for w in low)}: less noise than 8 bits have")
    return told


def _of_one_size(curve: dict[str, Any]) -> list[str]:
    best, likeliest = _best(curve), curve["likelihood_optimal_weight"]
    if best is None or not likeliest:
        return []
    noise = GREY_LEVELS * implied_sigma(likeliest)
    weights = ",".join(f"{w:g}" for w in first_look.weights_to_sweep(best, likeliest))
    return [
        f"{curve['latent_dim']:>4} latents reconstruct: below {best:.2g} ten times less weight gains the linear model "
        f"under {choice.WORTH_DB:g} dB",
        f"             likeliest: at {likeliest:.2g}, a pixel noise of {noise:.3g} grey levels",
        f"             to sweep: loss.kl_weight={weights} model.latent_dim={curve['latent_dim']}",
    ]


def _best(curve: dict[str, Any]) -> float | None:
    """The rule of the report on the held-out curve of the closed form."""
    decibels = (curve.get("held_out") or {}).get("psnr_mean")
    found = choice.reconstruct(curve["kl_weight"], decibels) if decibels else None
    return found.weight if found else None


def picture(data: ImageData, found: Forecast, path: Path) -> None:
    """A row of held-out pictures per weight for every latent size, and rate against error on both splits."""
    from matplotlib.figure import Figure

    betas, dims = found.pictures["betas"], found.pictures["latent_dims"]
    shown = found.pictures["originals"][:6]
    rows = len(betas) + 1
    figure = Figure(figsize=(5.4 * len(dims) + 5.2, 0.85 * rows + 0.8), layout="constrained")
    columns: Any = figure.subfigures(1, len(dims) + 1, width_ratios=[5.4] * len(dims) + [5.2])
    for column, d, linear, curve in zip(columns, dims, found.pictures["linear"], found.values["linear"], strict=False):
        panels = column.subplots(rows, 1)
        column.suptitle(f"{d} latents, linear VAE, held-out pictures")
        for axes, beta, strip in zip(panels, [None, *betas], [shown, *linear], strict=True):
            axes.imshow(np.concatenate(list(strip[: len(shown)]), 1).squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            psnr = None if beta is None else nearest(curve, float(beta), "psnr_mean")
            name = "original" if beta is None else f"{beta:g}" + (f"\n{psnr:.1f} dB" if psnr is not None else "")
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    plane = columns[-1].subplots()
    for k, curve in enumerate(found.values["linear"]):
        own = curve["held_out"]
        plane.plot(own["rate"], own["distortion"], color=f"C{k}", label=f"{curve['latent_dim']} latents, held out")
        plane.plot(curve["rate"], curve["distortion"], color=f"C{k}", ls=":", label="training images")
        for beta in betas:
            at = [nearest(curve, float(beta), key) for key in ("rate", "distortion")]
            if None not in at:
                plane.plot(*at, "o", color=f"C{k}", ms=4)
                plane.annotate(f"{beta:g}", at, (4, 4), textcoords="offset points", fontsize=8)  # type: ignore[arg-type]
    plane.set(xlabel="rate: KL, nats per image", ylabel="squared error per image", ylim=(0, None), xlim=(0, None))
    plane.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _settings(words: Sequence[str]) -> tuple[dict[str, Any], list[int], list[float]]:
    """cfg.data, latent sizes and weights of what was typed. Raises SettingsError."""
    words = as_typed(words)
    check_overrides(words, CONF)
    swept = {key: values_of(word) for word in words for key in _SWEPT if word.startswith(f"{key}=")}
    config = job_of(config_of([word for word in words if word.partition("=")[0] not in swept])).config
    dims = [ONE_CODE if size == AUTO else size for size in swept.get(_LATENT, [config["model"]["latent_dim"]])]
    betas = swept.get(_WEIGHT, DEFAULT_WEIGHTS)
    for key, values, check in ((_LATENT, dims, integer(1)), (_WEIGHT, betas, number(above=0))):
        for value in values:
            if expected := check(value):
                raise SettingsError(f"{key}={value}: expected {expected}")
    return config["data"], sorted(set(dims)), [float(beta) for beta in betas]


def parser() -> argparse.ArgumentParser:
    described, _, rest = (__doc__ or "").partition("\n")
    found = Parser("forecast", described, rest)
    found.add_argument("settings", nargs="*", metavar="key=value", help="data, model.latent_dim, loss.kl_weight")
    found.add_argument("--out", type=Path, default=Path("forecast.png"), help="the picture (forecast.png)")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        options = parser().parse_args(arguments)
        with refused_in_one_line():
            section, dims, betas = _settings(options.settings)
            from vae_sweep.data import load

            data = load(section)
            found = forecast(data, dims, betas)
        print("\n".join(lines(data, found)), flush=True)
        try:
            picture(data, found, options.out)
        except (OSError, ValueError) as error:
            print(f"error: {options.out}: {error}", file=sys.stderr)
            return 1
        print(f"\npictures    {options.out} ({found.seconds:.1f} s for the closed form)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
