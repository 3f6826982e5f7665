"""The converter: against objectives written out and minimised, and against published conventions."""

import math

import numpy as np
import pytest

from vae_sweep import weights
from vae_sweep.weights import beta, lines, main, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1.0),
        ("1 half_sum", 2.0),  # pythae
        ("0.00025 mean_pixels 64x64x3 d128", 0.00025 * 12288),
        ("1 mean_pixels 3x32x32", 3072.0),  # datascience.SE 35741
        ("0.1 mean_pixels_latents 64x64x3 d32", 38.4),  # WorldModels #12
        ("1 mean_pixels_batch 64x64x3 b144", 12288 * 144.0),
        ("0.5 normalised n784 d10", 39.2),
        ("0.01 M/N 64x64x3", 122.88),
        ("1 s0.1", 0.02),  # nats of Gaussian pixels of std 0.1
        ("1 [-1,1]", 0.25),
        ("1 mean_pixels [-1,1] n784", 196.0),
    ],
)
def test_conversions_written_out(text, expected):
    assert beta(parse(text)) == pytest.approx(expected)


@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.parametrize("reduction", ["sum", "half_sum", "mean_pixels", "mean_pixels_latents", "normalised"])
def test_the_optimum_is_the_same(span, reduction):
    """One latent of a linear VAE, minimised on a grid of posterior variances under both ways of writing it."""
    n, d, lam, weight = 12, 3, 0.7, 0.01
    v = np.geomspace(1e-4, 1, 4001)  # posterior variance; the decoder at its best for it leaves lam v
    sse, kl = lam * v, -0.5 * np.log(v)
    theirs = {  # a * SSE, b * KL as that code has them
        "sum": (1, 1), "half_sum": (0.5, 1), "mean_pixels": (1 / n, 1), "mean_pixels_latents": (1 / n, 1 / d),
        "normalised": (1, n / d),
    }[reduction]  # fmt: skip
    there = v[np.argmin(theirs[0] * span**2 * sse + weight * theirs[1] * kl)]
    asked = parse(f"{weight} {reduction} n{n} d{d} {'[-1,1]' if span == 2 else ''}")
    here = v[np.argmin(sse + beta(asked) * kl)]
    assert here == pytest.approx(there, rel=5e-3)


def test_an_absolute_error_is_a_laplace_scale():
    """Stable Diffusion's 1e-6 beside a summed |x - xhat| on [-1, 1]: scale 0.5e-6."""
    text = "\n".join(lines(parse("1e-6 l1 [-1,1] 64x64x3")))
    assert "loss.scale=5e-07" in text
    assert "below the rounding of 8 bits" in text
    assert "rounding" not in "\n".join(lines(parse("1 l1")))


def test_what_it_prints_converts_back():
    there = dict(line.split(maxsplit=1) for line in lines(parse("0.1 64x64x3 d128 b64"))[2:])
    for name, words in there.items():
        w = float(words.partition("w = ")[2].split(",")[0])
        assert beta(parse(f"{w} {name} 64x64x3 d128 b64")) == pytest.approx(0.1, rel=1e-3)
    assert math.isclose(weights.implied_sigma(0.1), math.sqrt(0.05))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one", "'one': expected a weight first"),
        ("-1", "-1: expected a weight that is positive"),
        ("1 mean_pixels", "mean_pixels: the meaning of its weight needs the pixels: add 64x64x3"),
        ("1 mean_pixels_latents 8x8x1", "needs the latent_dim: add d128"),
        ("1 mse", "'mse': expected one of sum, half_sum"),
        ("0.001 mean_pixels_latents 0x8x8 d4", "'0x8x8': expected one of"),
        ("1 mean_pixels 2x64x64x3", "'2x64x64x3': expected one of"),
        ("1 mean_pixels n0", "'n0': expected one of"),
        (f"1 mean_pixels n{'9' * 400}", "9': expected one of"),
        ("1 s0", "'s0': expected one of"),
        ("1 s1e400", "'s1e400': expected one of"),
        ("1 s1e-300", "1: no weight here, it would be 0"),
        ("1 s1e300", "1: no weight here, it would be inf"),
        ("0.1 l1 s0.1 8x8x1", "l1 and s0.1 exclude each other"),
        ("1 mean_pixels 8x8x1 n65", "'n65': another word says something else of the same"),
        ("1 sum half_sum", "'half_sum': another word says something else of the same"),
    ],
)
def test_what_it_cannot_read_is_one_line(text, said, capsys):
    assert main([text] if not text.startswith("-") else ["--", text]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
