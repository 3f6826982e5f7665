"""`vae_sweep.forecast`: its figures against scikit-learn's PCA, its picture, and that it loads no torch."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from vae_sweep.data import load
from vae_sweep.forecast import _settings, forecast, lines, main
from vae_sweep.theory import first_look
from vae_sweep.theory.first_look import nearest, weights_to_sweep


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """An image array of 120 ramps and discs, as cfg.data."""
    from synthetic_sweep import draw_images

    folder = tmp_path_factory.mktemp("pictures")
    images = (draw_images(120, 16, 3, np.random.default_rng(0)) * 255).astype(np.uint8)
    np.save(folder / "x.npy", images)
    return ["data=arrays", f"data.path={folder / 'x.npy'}", "data.image_size=16"]


def test_figures_equal_an_independent_pca_s(section, tmp_path):
    """scikit-learn's components, shrunk by 1 - (beta / 2) / lambda, on the very held-out pictures."""
    from vae_sweep.forecast import _settings

    data = load(_settings(section)[0])
    found = forecast(data, [6], [1.0, 0.1])
    flat = data.images.reshape(len(data.images), -1) / 255.0
    pca = PCA(6, svd_solver="full").fit(flat[data.train])
    values = pca.explained_variance_ * (len(data.train) - 1) / len(data.train)
    [curve] = found.values["linear"]
    for beta in (1.0, 0.1):
        shrink = np.maximum(1 - beta / 2 / values, 0)
        shown = pca.mean_ + (pca.transform(flat[data.val]) * shrink) @ pca.components_
        error = ((flat[data.val] - shown) ** 2).sum(1)
        assert nearest(curve, beta, "distortion_mean") == pytest.approx(error.mean(), rel=1e-3)
        psnr = (-10 * np.log10(error / flat.shape[1])).mean()
        assert nearest(curve, beta, "psnr_mean") == pytest.approx(psnr, abs=5e-3)
        row = next(line for line in lines(data, found) if line.split()[:1] == [f"{beta:g}"])
        assert f"{psnr:.1f} dB" in row
    place = list(found.pictures["betas"]).index(0.1)
    rows = [list(data.val).index(row) for row in _shown(data)]
    exact = np.clip(np.round(shown[rows] * 255), 0, 255).reshape(-1, 16, 16, 3)
    assert np.abs(found.pictures["linear"][0, place].astype(int) - exact).max() <= 1


def _shown(data):
    from vae_sweep.data.split import chosen

    return chosen(data.val, first_look.PICTURES)


def test_the_door_prints_and_draws(section, tmp_path, capsys):
    out = tmp_path / "look.png"
    assert main([*section, "model.latent_dim=4,8", "loss.kl_weight=1,0.1", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "held-out images of 16x16x3" in text
    assert "to sweep: loss.kl_weight=" in text
    assert max(map(len, text.splitlines()[:-1])) <= 110
    with Image.open(out) as picture:
        assert min(picture.size) > 100


@pytest.mark.slow
def test_it_loads_no_torch():
    code = "import sys, vae_sweep.forecast, vae_sweep.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.rot=x"], "data.rot"),
        (["loss.kl_weight=0"], "loss.kl_weight=0: expected a number > 0"),
        (["model.latent_dim=8,x"], "model.latent_dim=x: expected a whole number >= 1"),
        (["loss.kl_weight=interval(1,2)"], "expected values, such as loss.kl_weight=1,2"),
        (["data=own"], "data.dataset._target_: needs a value"),
    ],
)
def test_what_it_cannot_do_is_one_line(words, said):
    with pytest.raises(SystemExit, match=said):
        main(words)


def test_one_training_image_has_nothing_to_tell(tmp_path):
    np.save(tmp_path / "x.npy", np.stack([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)]))
    with pytest.raises(SystemExit, match=r"no pixel varies over the 1 training image\(s\) of x"):
        main(["data=arrays", f"data.path={tmp_path / 'x.npy'}", "model.latent_dim=2"])


@pytest.mark.parametrize(
    ("words", "dims", "betas"),
    [
        ([], [128], [10, 1, 0.1, 0.01, 0.001]),
        (["model.latent_dim=auto"], [128], [10, 1, 0.1, 0.01, 0.001]),
        (["model.latent_dim=4,auto,2", "loss.kl_weight=1,1e-2"], [2, 4, 128], [1, 0.01]),
        (["model.latent_dim=range(2,9,3)", "loss.kl_weight=range(1,3)"], [2, 5, 8], [1, 2]),
        (["model=mlp", "model.latent_dim=choice(3,1)"], [1, 3], [10, 1, 0.1, 0.01, 0.001]),
    ],
)
def test_values_are_those_of_a_sweep(words, dims, betas):
    assert _settings(words)[1:] == (dims, betas)


def test_weights_to_sweep_bracket_both_answers():
    assert weights_to_sweep(0.3, 0.02) == [3, 1, 0.3, 0.1, 0.03]
    for best, likeliest in ((10.0, 1.0), (0.01, 0.2), (1.0, 1e-5)):
        weights = weights_to_sweep(best, likeliest)
        assert weights[0] > best > weights[-1]
        assert 5 <= len(weights) <= 9
