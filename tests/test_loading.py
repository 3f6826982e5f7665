"""A trained member in a notebook: what it takes, what it gives back, what it refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_sweep import load_model
from vae_sweep.report.notebook import load
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.loading import TrainedVAE
from vae_sweep.training.train import train_pack

SmallSweep = Callable[..., tuple[Path, list[str]]]


@pytest.fixture
def sweep(small_sweep: SmallSweep) -> Path:
    folder, ids = small_sweep(
        ["loss.kl_weight=0.1", "trainer.evaluate=true"], ["loss.kl_weight=1"], ["objective=autoencoder"]
    )
    for member in ids:
        train_pack(folder, [member])
    return folder


@pytest.fixture
def vae(sweep: Path) -> TrainedVAE:
    return load_model(load_sweep(sweep).runs[0].folder)


def test_what_it_takes_and_gives(vae: TrainedVAE, sweep: Path, tmp_path: Path) -> None:
    """One test, since training its model costs more than all that is asked of it."""
    run = load_sweep(sweep).runs[0]
    arrays = run.arrays()
    originals = arrays["originals"]  # (M, 16, 16, 3) uint8
    held_out = vae.images("val", len(originals))
    assert (held_out * 255).round().byte().permute(0, 2, 3, 1).numpy().tolist() == originals.tolist()
    expected = vae.reconstruct(held_out)
    made = (expected * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(made - arrays["recon_mean"]).max() <= 1  # those of the evaluation

    for same in (originals, originals / 255, originals.transpose(0, 3, 1, 2), torch.tensor(originals).movedim(-1, 1)):
        torch.testing.assert_close(vae.reconstruct(same), expected, rtol=1e-4, atol=1e-5)
    for one in (originals[0], originals[0] / 255.0, held_out[0]):
        torch.testing.assert_close(vae.reconstruct(one), expected[:1], rtol=1e-4, atol=1e-5)

    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, image in zip(paths, originals, strict=False):
        Image.fromarray(image).save(path)
    torch.testing.assert_close(vae.read(*paths), held_out[:2])
    Image.fromarray(originals[0]).resize((64, 48)).save(paths[0])
    assert vae.read(paths[0]).shape == (1, 3, 16, 16)
    paths[1].write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1\.png: not an image"):
        vae.read(*paths)

    way = vae.interpolate(held_out[0], held_out[1], steps=5)
    torch.testing.assert_close(way[[0, -1]], expected[:2], rtol=1e-4, atol=1e-5)
    assert way.shape == (5, 3, 16, 16)

    for wrong, said in (
        (torch.rand(2, 3, 8, 8), r"\(2, 3, 8, 8\): this model takes \(3, 16, 16\)"),
        (held_out * 255, r"floats must lie in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=said):
            vae.encode(wrong)
    with pytest.raises(ValueError, match="train or val"):
        vae.images("test")

    latent = run.config["model"]["latent_dim"]
    assert repr(vae).startswith(f"TrainedVAE(kl_weight=0.1, latent_dim={latent}, images 16x16x3, ")

    runs = load(sweep)
    assert runs.folder.tolist() == [str(r.folder) for r in (load_sweep(sweep).runs[i] for i in (1, 0, 2))]
    for name in ("0.1", 0.1, "#0", run.id):
        torch.testing.assert_close(runs.load(name).reconstruct(originals), expected)
    assert repr(runs.load("autoencoder")).startswith("TrainedVAE(autoencoder, ")
    with pytest.raises(KeyError, match=r"'0\.3' is no run of these: #1 .*; #0 "):
        runs.load("0.3")
