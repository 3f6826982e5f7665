"""The pre-flight of a sweep, as JSON and as lines for a person."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_theory_covariance import dense_eigenvalues, images_of, standardised_threshold

from vae_sweep.theory import banner, linear_vae, preflight, spectrum
from vae_sweep.theory.covariance import Pixels
from vae_sweep.traits import LIKELIHOODS


def test_contents() -> None:
    images, train = images_of(300), np.arange(250)
    found = preflight(images, train, [4, 16], [0.5, 1.0], bernoulli=True)
    assert json.loads(json.dumps(found)) == found
    expected = dense_eigenvalues(images[:250])
    assert (found["n"], found["images"], found["images_used"], found["exact"]) == (192, 250, 250, True)
    assert found["total_variance"] == pytest.approx(expected.sum())
    assert found["eigenvalues"][:50] == pytest.approx(expected[:50], rel=1e-4)
    assert found["collapse_threshold"] == pytest.approx(2 * expected[0], rel=1e-5)
    p = (images[:250].reshape(250, -1) / 255).mean(0)
    assert found["collapse_threshold_bernoulli"] < 1 / (p * (1 - p)).min() * expected[0]
    for curve, d in zip(found["linear"], (4, 16), strict=True):
        assert curve["latent_dim"] == d
        assert {0.5, 1.0} <= set(curve["kl_weight"])
        assert curve["kl_weight"] == sorted(curve["kl_weight"])
        assert curve["active_units"][-1] == 0  # past the threshold
        assert curve["active_units"][0] == d
        at = curve["kl_weight"].index(0.5)
        point = linear_vae(spectrum(Pixels(images, train)), d, 0.5)
        assert curve["rate"][at] == pytest.approx(point.rate)
        assert curve["distortion"][at] == pytest.approx(point.distortion)
        assert curve["distortion_mean"][at] == pytest.approx(point.distortion_mean)
        assert curve["likelihood_optimal_weight"] == pytest.approx(2 * expected[d:].sum() / (192 - d), rel=1e-4)


def test_bernoulli_threshold_of_binary_images() -> None:
    binary = np.where(images_of(300, channels=1) > 127, np.uint8(255), np.uint8(0))
    found = preflight(binary, np.arange(300), [2], bernoulli=True)
    assert found["collapse_threshold_bernoulli"] == pytest.approx(standardised_threshold(binary), rel=1e-4)
    assert preflight(binary, np.arange(300), [2])["collapse_threshold_bernoulli"] is None


def test_identical_images_and_more_latents_than_pixels() -> None:
    same = np.full((10, 2, 2, 1), 7, np.uint8)
    found = preflight(same, np.arange(10), [2, 9], [1.0], bernoulli=True)
    assert found["total_variance"] == 0
    assert found["collapse_threshold"] == pytest.approx(0, abs=1e-12)
    assert set(found["linear"][0]["rate"]) == {0.0}
    assert "collapse" not in banner([1.0], [2], 4, 8, preflight=found).lower()


def test_banner_states_the_noise_the_threshold_and_other_codes() -> None:
    images = images_of(300)
    known = preflight(images, np.arange(300), [4, 16], [1.0, 0.1])
    text = banner([1.0, 0.1, 100.0], [4, 16], 192, 64, preflight=known)
    assert max(map(len, text.splitlines())) <= 100
    assert "180 of 255" in text
    assert "57 of 255" in text
    best = linear_vae(spectrum(Pixels(images)), 16, 0.1)
    row = next(line for line in text.splitlines() if line.split()[:1] == ["0.1"] and " 16 " in line)
    assert f"{best.rate:.3g} nats" in row
    assert f"{best.distortion:.4g}" in row
    assert f" {best.active_units} " in row
    assert f"Above weight {known['collapse_threshold']:.3g}" in text
    assert "Expect collapse at weight 100." in text
    assert "w = 0.5 b" in text  # pythae's 1/2 SSE
    assert f"w = {1 / 192:.3g} b" in text  # the mean over pixels
    alone = banner([0.1], [16], 192, 64)
    assert "w = 0.05" in alone
    assert "linear" not in alone


def test_banner_of_other_objectives() -> None:
    known = preflight(images_of(300), np.arange(300), [4], [1.0], bernoulli=True)
    bernoulli = banner([1.0], [4], 192, 64, likelihood=LIKELIHOODS["bernoulli"], preflight=known)
    assert "tempers" in bernoulli
    assert f"{known['collapse_threshold_bernoulli']:.3g}" in bernoulli
    assert "255" not in bernoulli
    assert "exact ELBO at scale 0.1 w" in banner(
        [1.0], [4], 192, 64, likelihood=LIKELIHOODS["laplace"], scale=0.1, preflight=known
    )
    sigma = np.sqrt(known["linear"][0]["likelihood_optimal_weight"] / 2)
    assert f"{sigma:.3f}" in banner([1.0], [4], 192, 64, likelihood=LIKELIHOODS["optimal_sigma"], preflight=known)
    gaussian = banner([1.0], [4], 192, 64, likelihood=LIKELIHOODS["gaussian"], scale=0.1, preflight=known)
    assert "26 of 255" in gaussian
    assert f"Above weight {known['collapse_threshold'] / 0.02:.3g}" in gaussian
    assert banner([], [4], 192, 64) == ""


def test_banner_warns_of_a_reduction_that_moves_with_the_size() -> None:
    text = banner([0.01], [4], 192, 64, reduction="mean_pixels_latents")
    assert "WARNING: the meaning of this weight changes with the image size and the latent size." in text
    assert f"0.01 = {0.01 * 192 / 4:.4g}" in text
    assert "WARNING" not in banner([1.0], [4], 192, 64, reduction="half_sum")


def test_no_torch() -> None:
    code = "import sys, vae_sweep.theory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
