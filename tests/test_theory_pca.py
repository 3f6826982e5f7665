"""The linear VAE on pictures: against scikit-learn's PCA, and against drawing from the model itself."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from test_theory_covariance import images_of

from vae_sweep.theory import data_forecast, linear_vae, spectrum
from vae_sweep.theory.covariance import Pixels
from vae_sweep.theory.pca import principal_axes

IMAGES = images_of(300)
TRAIN, VAL = np.arange(250), np.arange(250, 300)
FLAT = IMAGES.reshape(300, -1) / 255.0
D, BETA = 7, 0.2


@pytest.fixture(scope="module")
def sklearn_pca():
    return PCA(D, svd_solver="full").fit(FLAT[TRAIN])


@pytest.fixture(scope="module")
def axes():
    return principal_axes(Pixels(IMAGES, TRAIN), D)


def test_axes_are_those_of_scikit_learn(axes, sklearn_pca):
    assert axes.values == pytest.approx(sklearn_pca.explained_variance_ * 249 / 250, rel=1e-4)
    assert abs((axes.vectors * sklearn_pca.components_.T).sum(0)) == pytest.approx(1, abs=1e-3)
    assert axes.mean == pytest.approx(sklearn_pca.mean_, abs=1e-6)


def test_pictures_are_those_of_scikit_learn_s_components_shrunk(axes, sklearn_pca):
    """Shrinkage written out: 1 - (beta / 2) / lambda, or nothing."""
    values = sklearn_pca.explained_variance_ * 249 / 250
    shrink = np.maximum(1 - BETA / 2 / values, 0)
    expected = sklearn_pca.mean_ + (sklearn_pca.transform(FLAT[VAL]) * shrink) @ sklearn_pca.components_
    found = axes.decoded_means(IMAGES[VAL], D, BETA).reshape(50, -1)
    assert found == pytest.approx(expected, abs=2e-4)
    curve = axes.project(Pixels(IMAGES, VAL)).curve(D, [BETA])
    error = ((FLAT[VAL] - expected) ** 2).sum(1)
    assert curve["distortion_mean"][0] == pytest.approx(error.mean(), rel=1e-4)
    assert curve["psnr_mean"][0] == pytest.approx((-10 * np.log10(error / 192)).mean(), abs=1e-3)


def test_rate_and_distortion_of_held_out_pictures_are_those_of_the_model_written_out(axes):
    """Encoder, decoder and posterior of theory/linear.py as matrices; z by Monte Carlo, the KL by its definition."""
    rng = np.random.default_rng(0)
    s2 = BETA / 2
    on = axes.values > s2
    scale, variance = np.sqrt(axes.values[on] - s2), s2 / axes.values[on]
    code = (FLAT[VAL] - axes.mean) @ axes.vectors[:, on]
    mean = code * scale / axes.values[on]  # W^T (x - m) / lambda
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(1).mean()
    z = mean + np.sqrt(variance) * rng.standard_normal((400, *mean.shape))
    sse = np.square(FLAT[VAL] - axes.mean - (z * scale) @ axes.vectors[:, on].T).sum(-1).mean()
    curve = axes.project(Pixels(IMAGES, VAL)).curve(D, [BETA])
    assert curve["rate"][0] == pytest.approx(kl, rel=1e-4)
    assert curve["distortion"][0] == pytest.approx(sse, rel=2e-3)
    assert curve["active_units"][0] == on.sum()


def test_on_the_training_images_the_projection_is_the_closed_form(axes):
    model = linear_vae(spectrum(Pixels(IMAGES, TRAIN)), D, BETA)
    curve = axes.project(Pixels(IMAGES, TRAIN)).curve(D, [BETA])
    assert curve["rate"][0] == pytest.approx(model.rate, rel=1e-3)
    assert curve["distortion"][0] == pytest.approx(model.distortion, rel=1e-4)
    assert curve["distortion_mean"][0] == pytest.approx(model.distortion_mean, rel=1e-4)


def test_many_images_of_many_pixels_are_close_to_exact():
    exact, rough = (principal_axes(Pixels(IMAGES, TRAIN), 5, limit) for limit in (4096, 100))
    assert rough.values == pytest.approx(exact.values, rel=0.03)
    assert (rough.values <= exact.values * (1 + 1e-5)).all()  # Rayleigh-Ritz


def test_the_forecast_has_both_splits():
    [curve] = data_forecast(IMAGES, TRAIN, [D], [BETA], held_out=VAL)["linear"]
    at = curve["kl_weight"].index(BETA)
    direct = principal_axes(Pixels(IMAGES, TRAIN), D).project(Pixels(IMAGES, VAL)).curve(D, [BETA])
    for key in ("rate", "distortion", "distortion_mean", "psnr_mean"):
        assert curve["held_out"][key][at] == pytest.approx(direct[key][0], rel=1e-6)
    objective = [c["distortion"][at] + BETA * c["rate"][at] for c in (curve, curve["held_out"])]
    assert objective[1] > objective[0]  # fitted to the one, not to the other
