"""The pre-flight of a sweep, as JSON and as lines for a person."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_theory_covariance import dense_eigenvalues, images_of, standardised_threshold

from vae_sweep.theory import Loss, banner, data_forecast, linear_vae, spectrum
from vae_sweep.theory.covariance import Pixels
from vae_sweep.traits import DIVERGENCES, LIKELIHOODS, SCHEDULES

CAPACITY = SCHEDULES["vae_sweep.schedules.capacity"]
GECO = SCHEDULES["vae_sweep.schedules.controllers.Geco"]


def test_contents() -> None:
    images, train = images_of(300), np.arange(250)
    found = data_forecast(images, train, [4, 16], [0.5, 1.0], bernoulli=True)
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
    found = data_forecast(binary, np.arange(300), [2], bernoulli=True)
    assert found["collapse_threshold_bernoulli"] == pytest.approx(standardised_threshold(binary), rel=1e-4)
    assert data_forecast(binary, np.arange(300), [2])["collapse_threshold_bernoulli"] is None


def test_identical_images_and_more_latents_than_pixels() -> None:
    same = np.full((10, 2, 2, 1), 7, np.uint8)
    found = data_forecast(same, np.arange(10), [2, 9], [1.0], bernoulli=True)
    assert found["total_variance"] == 0
    assert found["collapse_threshold"] == pytest.approx(0, abs=1e-12)
    assert set(found["linear"][0]["rate"]) == {0.0}
    assert "collapse" not in banner([1.0], [2], 4, 8, forecast=found).lower()


def test_banner_states_the_noise_the_threshold_and_other_codes() -> None:
    images = images_of(300)
    known = data_forecast(images, np.arange(300), [4, 16], [1.0, 0.1])
    text = banner([1.0, 0.1, 100.0], [4, 16], 192, 64, forecast=known)
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
    known = data_forecast(images_of(300), np.arange(300), [4], [1.0], bernoulli=True)
    bernoulli = banner([1.0], [4], 192, 64, Loss(LIKELIHOODS["bernoulli"]), known)
    assert "tempers" in bernoulli
    assert f"{known['collapse_threshold_bernoulli']:.3g}" in bernoulli
    assert "255" not in bernoulli
    assert "exact ELBO at scale 0.1 w" in banner([1.0], [4], 192, 64, Loss(LIKELIHOODS["laplace"], scale=0.1), known)
    sigma = np.sqrt(known["linear"][0]["likelihood_optimal_weight"] / 2)
    assert f"{sigma:.3f}" in banner([1.0], [4], 192, 64, Loss(LIKELIHOODS["optimal_sigma"]), known)
    gaussian = banner([1.0], [4], 192, 64, Loss(LIKELIHOODS["gaussian"], scale=0.1), known)
    assert "26 of 255" in gaussian
    assert f"Above weight {known['collapse_threshold'] / 0.02:.3g}" in gaussian
    assert banner([], [4], 192, 64) == ""


def test_banner_warns_of_a_reduction_that_moves_with_the_size() -> None:
    text = banner([0.01], [4], 192, 64, Loss(reduction="mean_pixels_latents"))
    assert "WARNING: the meaning of this weight changes with the image size and the latent size." in text
    assert f"0.01 = {0.01 * 192 / 4:.4g}" in text
    assert "WARNING" not in banner([1.0], [4], 192, 64, Loss(reduction="half_sum"))


def test_the_converted_weight_is_the_beta_that_the_table_below_is_of() -> None:
    """SSE / (2 s^2 n) + w KL has the optimum of SSE + 2 s^2 n w KL; with a fitted s there is no such weight."""
    gaussian = banner([1.0], [4], 12288, 64, Loss(LIKELIHOODS["gaussian"], reduction="mean_pixels", scale=0.1))
    assert "As the weight of SSE + w KL: 1 = 245.8." in gaussian
    fitted = banner([1.0], [4], 12288, 64, Loss(LIKELIHOODS["optimal_sigma"], reduction="mean_pixels"))
    assert "As the weight of nats + w KL: 1 = 1.229e+04." in fitted
    laplace = banner([1.0], [4], 12288, 64, Loss(LIKELIHOODS["laplace"], reduction="mean_pixels", scale=0.1))
    assert "As the weight of nats + w KL: 1 = 1.229e+04." in laplace


def test_thresholds_are_right_under_every_reduction_likelihood_and_latent_size() -> None:
    """The threshold in SSE + beta KL is 2 lambda_1; a * recon + w b KL has it at w = beta a / b, written out here."""
    known = data_forecast(images_of(300), np.arange(300), [4, 16], [1.0], bernoulli=True)
    gaussian, bernoulli = known["collapse_threshold"], known["collapse_threshold_bernoulli"]
    n = 192
    two = banner([1.0], [4, 16], n, 64, Loss(reduction="mean_pixels_latents"), known)
    for d in (4, 16):
        assert f"Above weight {gaussian * d / n:.3g} with {d} latents" in two
    mean = banner([1.0, 1e-4], [4], n, 64, Loss(LIKELIHOODS["bernoulli"], reduction="mean_pixels"), known)
    assert f"Above weight {bernoulli / n:.3g} " in mean
    assert "Expect collapse at weight 1." in mean
    scaled = banner([1.0], [4], n, 64, Loss(LIKELIHOODS["laplace"], reduction="half_sum", scale=0.3), known)
    assert f"at scale {2 * 0.3:.3g} w" in scaled
    tc = banner([1.0], [4], n, 64, Loss(divergence=DIVERGENCES["tc"], mi_weight=4.0), known)
    assert f"Above weight {gaussian / 4:.3g} " in tc
    assert "exact ELBO" not in tc


def test_what_is_no_elbo_is_not_called_one_and_expects_no_collapse() -> None:
    known = data_forecast(images_of(300), np.arange(300), [4], [1.0])
    free = banner([1000.0], [4], 192, 64, Loss(divergence=DIVERGENCES["free_bits"], free_bits=2.0), known)
    assert "no weight makes collapse stable" in free
    for text in (
        free,
        banner([1000.0], [4], 192, 64, Loss(divergence=DIVERGENCES["capacity"], schedule=CAPACITY, goal=25.0), known),
    ):
        assert "exact ELBO" not in text
        assert "Expect collapse" not in text
    assert "strength of the pull" in banner(
        [100.0], [4], 192, 64, Loss(divergence=DIVERGENCES["capacity"], schedule=CAPACITY, goal=25.0), known
    )
    values = np.array(known["eigenvalues"])
    goal = float(np.minimum(0.3, values[:4]).sum() + known["total_variance"] - values[:4].sum())
    assert "at weight 0.6." in banner([1.0], [4], 192, 64, Loss(schedule=GECO, goal=goal), known)  # 2 theta


def test_less_noise_than_rounding_is_said() -> None:
    """Uniform on one of 255 levels: variance (1/255)^2 / 12, beta = 2 s^2 = 2.56e-6; Stable Diffusion's 1e-6."""
    assert "Below the rounding" not in banner([2.6e-6], [4], 192, 64)
    assert "weight 2.5e-06." in banner([1.0, 2.5e-6], [4], 192, 64)
    assert "weight 1e-06." in banner([1.0, 1e-6], [4], 192, 64, Loss(LIKELIHOODS["laplace"], scale=0.5))


def test_the_table_is_of_held_out_images_where_they_are_known() -> None:
    known = data_forecast(images_of(300), np.arange(250), [4], [0.1], held_out=np.arange(250, 300))
    text = banner([0.1], [4], 192, 64, forecast=known)
    curve = known["linear"][0]
    at = curve["kl_weight"].index(0.1)
    assert "held-out images" in text
    assert f"{curve['held_out']['psnr_mean'][at]:.1f} dB" in text


def test_many_latents_and_nats_stay_in_their_columns() -> None:
    known = data_forecast(images_of(300), np.arange(250), [4], [0.1], held_out=np.arange(250, 300))
    held_out = known["linear"][0]["held_out"]
    held_out["active_units"], held_out["rate"] = ([value] * len(held_out["rate"]) for value in (1024.0, 1934.6))
    [row] = [line for line in banner([0.1], [4], 192, 64, forecast=known).splitlines() if " nats" in line]
    assert row.split()[5:9] == ["4", "1024", "1,935", "nats"]


def test_no_torch() -> None:
    code = "import sys, vae_sweep.theory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_grey_pixels_are_no_draws_of_a_bernoulli() -> None:
    """Of x = 1/4 everywhere with variance v: 1 - v / (1/4 * 3/4); of black and white, 0."""
    rng = np.random.default_rng(0)
    binary = (rng.random((40, 4, 4, 1)) < 0.25).astype(np.uint8) * 255
    uniform = rng.random((4000, 2, 2, 1)).astype(np.float32)  # E[x] = 1/2, variance 1/12: 1 - (1/12) / (1/4)
    found = [data_forecast(x, np.arange(len(x)), [2], bernoulli=True) for x in (binary, uniform)]
    assert found[0]["grey"] == pytest.approx(0, abs=1e-12)
    assert found[1]["grey"] == pytest.approx(2 / 3, rel=0.02)
    loss = Loss(likelihood=LIKELIHOODS["bernoulli"])
    said = ["The pixels are grey" in banner([1.0], [2], 16, 8, loss, told) for told in found]
    assert said == [False, True]
    assert data_forecast(binary, np.arange(40), [2])["grey"] is None
