"""A KL weight of one library in the terms of every other, without data and without training.

python3 -m vae_sweep.weights "1 half_sum"                                  pythae's weight 1
python3 -m vae_sweep.weights "0.00025 mean_pixels 64x64x3 d128"            MSE averaged over pixels + w KL
python3 -m vae_sweep.weights "1 mean_pixels_latents 3x64x64 d128 [-1,1]"   pixels in [-1, 1]
python3 -m vae_sweep.weights "1e-6 l1 [-1,1] 64x64x3"                      summed |x - xhat|, as latent diffusion
python3 -m vae_sweep.weights "0.005 M/N n12288 d128"                       M/N: the KL times minibatch over data set

In quotes: the weight, then in any order
  how the objective is written   a name of loss.reduction (sum if none is given), M/N, or l1 for a summed |x - xhat|
  the images                     64x64x3 or 3x64x64, or n12288, their number of values
  d128   latents       b64   images in a batch      [-1,1]   pixels there instead of in [0, 1]
  s0.1   std of fixed Gaussian pixels, whose nats are then what the weight stands beside
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vae_sweep.commands import Parser, door
from vae_sweep.text import inert
from vae_sweep.theory.conventions import REDUCTIONS, Sizes, from_sum, to_sum
from vae_sweep.theory.weights import GREY_LEVELS, ROUNDING_SIGMA, ROUNDING_WEIGHT, implied_sigma

_M_N = "mean_pixels"  # programs that scale the KL by M/N have the mean squared error beside it (PyTorch-VAE)


@dataclass(frozen=True)
class Asked:
    """What was typed. sizes: None where not given. span: of the pixels' range. sigma: of fixed Gaussian pixels."""

    weight: float
    reduction: str = "sum"
    pixels: int | None = None
    latent_dim: int | None = None
    batch_size: int | None = None
    span: float = 1.0
    sigma: float | None = None
    absolute: bool = False

    def sizes(self, needed: Sequence[str]) -> Sizes:
        """Raises ValueError for a size that a reduction needs and that was not given."""
        for name in needed:
            if getattr(self, name) is None:
                hint = {"pixels": "64x64x3", "latent_dim": "d128", "batch_size": "b64"}[name]
                raise ValueError(f"{self.reduction}: the meaning of its weight needs the {name}: add {hint}")
        return Sizes(self.pixels or 1, self.latent_dim or 1, self.batch_size or 1)


def parse(text: str) -> Asked:
    """Raises ValueError for a word that means nothing here, or something else than another one."""
    first, *words = text.replace("[-1, 1]", "[-1,1]").replace("[0, 1]", "[0,1]").split() or [""]
    try:
        weight = float(first)
    except ValueError:
        raise ValueError(f"{first!r}: expected a weight first, as in '0.00025 mean_pixels 64x64x3 d128'") from None
    if not 0 < weight < math.inf:
        raise ValueError(f"{first}: expected a weight that is positive and finite")
    found: dict[str, object] = {"weight": weight}
    for word in words:
        said = _word(word)
        if any(found.get(name, value) != value for name, value in said.items()):
            raise ValueError(f"{word!r}: another word says something else of the same")
        found |= said
    if "absolute" in found and "sigma" in found:
        raise ValueError(f"l1 and s{found['sigma']:g} exclude each other: s is the std of Gaussian pixels")
    return Asked(**found)  # type: ignore[arg-type]


def _word(word: str) -> dict[str, object]:
    sizes = {"n": "pixels", "d": "latent_dim", "b": "batch_size"}
    if word in REDUCTIONS:
        return {"reduction": word}
    if word in ("M/N", "m/n"):
        return {"reduction": _M_N}
    if word == "l1":
        return {"absolute": True}
    if word in ("[-1,1]", "[0,1]"):
        return {"span": 2.0 if word == "[-1,1]" else 1.0}
    if re.fullmatch(r"\d{1,9}(x\d{1,9}){1,2}", word) and (pixels := math.prod(map(int, word.split("x")))):
        return {"pixels": pixels}
    if (size := re.fullmatch(r"([ndb])(\d{1,18})", word)) and int(size[2]) > 0:
        return {sizes[size[1]]: int(size[2])}
    if (sigma := re.fullmatch(r"s(\d*\.?\d+(?:e-?\d+)?)", word)) and 0 < float(sigma[1]) < math.inf:
        return {"sigma": float(sigma[1])}
    raise ValueError(
        f"{word!r}: expected one of {', '.join(REDUCTIONS)}, M/N, l1, "
        "an image size (64x64x3), d128, b64, s0.1 or [-1,1]"
    )


def beta(asked: Asked) -> float:
    """The weight of SSE + beta KL on pixels in [0, 1], or of summed |x - xhat| + beta KL. Raises ValueError.

    A squared error on a range `span` times as wide is span^2 times as large, an absolute one span times.
    """
    per_unit = asked.span if asked.absolute else asked.span**2
    nats = 1.0 if asked.sigma is None else 2 * asked.sigma * asked.sigma
    sizes = asked.sizes(REDUCTIONS[asked.reduction].depends_on)
    found = to_sum(asked.weight, asked.reduction, sizes) * nats / per_unit
    if not 0 < found < math.inf:
        raise ValueError(f"{asked.weight:g}: no weight here, it would be {found:g}")
    return found


def lines(asked: Asked) -> list[str]:
    """What it is here, what it assumes, and what it is elsewhere. Raises ValueError."""
    here = beta(asked)
    if asked.absolute:
        scale = here  # |x - xhat|_1 / scale is the Laplace's nats
        spread = math.sqrt(2) * scale
        below = spread < ROUNDING_SIGMA
        return [
            f"here        loss.recon=laplace loss.scale={scale:.4g} loss.kl_weight=1",
            f"            Laplace pixels, std {GREY_LEVELS * spread:.3g} of {GREY_LEVELS} grey levels",
            *["            below the rounding of 8 bits: such pixels are claimed to have no noise at all"] * below,
        ]
    sigma = implied_sigma(here)
    noise = f"{sigma:.4g}, {GREY_LEVELS * sigma:.3g} of {GREY_LEVELS} grey levels"
    found = [f"here        loss.kl_weight={here:.4g}", f"            SSE + {here:.4g} KL: pixel noise {noise}"]
    if here < ROUNDING_WEIGHT:
        found.append("            below the rounding of 8 bits: such pixels are claimed to have no noise at all")
    for name, convention in REDUCTIONS.items():
        missing = [size for size in convention.depends_on if getattr(asked, size) is None]
        if name == "sum":
            continue
        if missing:
            words = f"needs the {' and the '.join(missing)}"
        else:
            there = from_sum(here, name, asked.sizes(convention.depends_on))
            words = f"w = {there:.4g}, with pixels in [-1, 1] {4 * there:.4g}"
        found.append(f"{name:<20}  {convention.formula:<40}{words}")
    return found


def parser() -> argparse.ArgumentParser:
    described, _, examples = (__doc__ or "").partition("\n")
    found = Parser("weights", described, examples)
    found.add_argument("weight", nargs="+", help="a weight and how it is written, as below")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        options = parser().parse_args(arguments)
        try:
            print("\n".join(lines(parse(" ".join(options.weight)))))
        except ValueError as error:
            print(f"error: {inert(error)}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
