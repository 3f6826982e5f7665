"""Networks of other libraries: by what they offer, and on the real packages where they are installed."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import importing
import numpy as np
import pytest
import torch
from configs import member_config
from rich.console import Console
from torch import nn
from torch.distributions import Independent, Normal

from vae_sweep.check import main
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.models.own import as_vae
from vae_sweep.models.posteriors import Diagonal
from vae_sweep.models.squashed import squashed
from vae_sweep.sweep.run_sweep import Job, run_sweep
from vae_sweep.training.checkpoints import LAST, load_checkpoint
from vae_sweep.training.init_from import start_from
from vae_sweep.training.trial import refused

SHAPE = (3, 8, 8)


class Plain(nn.Module):
    """Latents (2, 2, 2). wrap: how encode gives (mean, logvar); unwrap: how decode gives pictures; last: a layer."""

    def __init__(self, wrap=lambda mean, logvar: (mean, logvar), unwrap=lambda x: x, last=None, image_shape=SHAPE):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 4, stride=4), nn.ConvTranspose2d(2, 3, 4, stride=4)
        self.wrap, self.unwrap, self.last = wrap, unwrap, last or nn.Identity()

    def encode(self, x):
        return self.wrap(*self.down(x).chunk(2, 1))

    def decode(self, z):
        return self.unwrap(self.last(self.up(z)))


def sigmoid_net(image_shape):
    return Plain(last=nn.Sigmoid())


def tanh_net(image_shape):
    return Plain(last=nn.Tanh())


def batchnorm_net(image_shape):
    return Plain(last=nn.BatchNorm2d(3))


def sequentials(image_shape):
    return (nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), nn.Sequential(nn.Linear(5, 192), nn.Unflatten(1, SHAPE)))


FORMS = {
    "diffusers": lambda mean, logvar: SimpleNamespace(
        latent_dist=SimpleNamespace(mean=mean, logvar=logvar, sample=0, kl=0)
    ),
    "pythae": lambda mean, logvar: SimpleNamespace(embedding=mean, log_covariance=logvar),
    "dict": lambda mean, logvar: {"mu": mean, "log_var": logvar, "z": mean},
    "torch": lambda mean, logvar: Independent(Normal(mean, (logvar / 2).exp()), 3),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_what_encode_and_decode_give_is_understood(form: str) -> None:
    for unwrap in (lambda x: x, lambda x: SimpleNamespace(sample=x), lambda x: {"x_hat": x}):
        network = Plain(FORMS[form], unwrap)
        vae, x = as_vae(network, 8, SHAPE), torch.rand(3, *SHAPE)
        mean, logvar = network.down(x).chunk(2, 1)
        posterior = vae.encode(x)
        assert isinstance(posterior, Diagonal)
        torch.testing.assert_close(posterior.mean, mean.flatten(1))
        torch.testing.assert_close(posterior.variance, logvar.flatten(1).exp())
        torch.testing.assert_close(vae.decode(posterior.mean), network.up(mean))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Plain(lambda mean, logvar: (mean, mean, logvar)), "Plain.encode returns tuple of 3, expected (mean, logvar)"),
        (Plain(lambda mean, logvar: {"mu": mean, "std": logvar}), "Plain.encode returns dict of mu, std, expected"),
        (Plain(unwrap=lambda x: (x, None)), "Plain.decode returns tuple of 2, expected images (B, C, H, W)"),
    ],
)
def test_what_is_not_understood_is_told(network: nn.Module, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        as_vae(network, 8, SHAPE)


class InPlace(Plain):
    def encode(self, x):
        return super().encode(x.mul_(2).sub_(1))


def test_a_network_that_changes_its_images_would_be_measured_against_others() -> None:
    with pytest.raises(ValueError, match="encode changes the images that it is given, in place"):
        as_vae(InPlace(), 8, SHAPE)


def test_a_pair_of_sequentials_is_a_network() -> None:
    encoder, decoder = sequentials(SHAPE)
    vae, x = as_vae((encoder, decoder), 5, SHAPE), torch.rand(2, *SHAPE)
    torch.testing.assert_close(vae.encode(x).mean, encoder(x)[:, :5])
    torch.testing.assert_close(vae.decode(torch.ones(2, 5)), decoder(torch.ones(2, 5)))
    assert len(list(vae.parameters())) == 4
    with pytest.raises(ValueError, match="an even number"):
        as_vae((nn.Sequential(nn.Flatten(), nn.Linear(192, 9)), decoder), 5, SHAPE)


@pytest.mark.parametrize(
    ("last", "said"),
    [(nn.Sigmoid(), "sigmoid"), (nn.Tanh(), "tanh"), (None, None), (nn.ReLU(), None), (nn.GroupNorm(1, 3), None)],
)
def test_a_squashed_output_is_noticed(last: nn.Module, said: str | None) -> None:
    """Also in the forward, where no layer tells."""
    torch.manual_seed(0)
    assert squashed(as_vae(Plain(last=last), 8, SHAPE), 8) == said
    if said:
        function = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[said]
        assert squashed(as_vae(Plain(unwrap=function), 8, SHAPE), 8) == said


@pytest.mark.parametrize("network", ["sigmoid_net", "tanh_net"])
def test_bernoulli_takes_logits(network: str) -> None:
    config = member_config("model=own", f"model._target_=test_adapters.{network}", "model.latent_dim=8",
                           "loss.recon=bernoulli")  # fmt: skip
    said = refused(config, [], torch.rand(4, *SHAPE), 100)
    kind = network.removesuffix("_net")
    assert said.startswith(f"model._target_=test_adapters.{network}: decode ends in a {kind}, and loss.recon=bernoulli")
    config["loss"]["recon"] = "sse"
    assert refused(config, [], torch.rand(4, *SHAPE), 100) is None


def test_batchnorm_of_one_image_is_named() -> None:
    config = member_config("model=own", "model._target_=test_adapters.batchnorm_net", "model.latent_dim=8")
    assert "data.batch_size=1: test_adapters.batchnorm_net has BatchNorm" in refused(
        config, [], torch.rand(1, *SHAPE), 9
    )


# Weights to begin with -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["", "lightning", "module."])
def test_weights_of_a_checkpoint_are_begun_with(form: str, tmp_path: Path) -> None:
    source, network = Plain(), Plain()
    state = source.state_dict()
    saved = {
        "": state,
        "lightning": {"state_dict": {f"vae.{name}": value for name, value in state.items()}, "epoch": 3},
        "module.": {f"module.{name}": value for name, value in state.items()},
    }[form]
    torch.save(saved, tmp_path / "a.ckpt")
    start_from(network, str(tmp_path / "a.ckpt"))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_a_sweep_begins_with_the_weights_of_a_safetensors_file(tmp_path: Path, monkeypatch) -> None:
    """One step of a tiny rate leaves them as they are in the file; with the rate of another run they move."""
    safetensors = pytest.importorskip("safetensors.torch")
    monkeypatch.setenv("PYTHONPATH", importing.path(importing.HERE))
    source = Plain().state_dict()
    safetensors.save_file({f"vae.{name}": value for name, value in source.items()}, tmp_path / "a.safetensors")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
    jobs = []
    for rate in (1e-12, 0.1):
        config = member_config(
            "data=arrays", "model=own", "model._target_=test_adapters.Plain", "model.latent_dim=8", "optimizer=sgd",
            "trainer.max_steps=1", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.evaluate=false",
            "logger.wandb=disabled", "sweep=s",
        )  # fmt: skip
        config["model"]["init_from"] = str(tmp_path / "a.safetensors")
        config["optimizer"] |= {"lr": rate, "lr_schedule": "constant"}
        config["data"] |= {"path": str(tmp_path / "x.npy"), "cache_dir": str(tmp_path / "cache")}
        config["output_dir"] = str(tmp_path / "outputs")
        jobs.append(Job(config, (f"optimizer.lr={rate}",)))
    outcome = run_sweep(jobs, ThisProcess(), ["run.py", "-m"], console=Console(file=io.StringIO()))
    assert [result["status"] for result in outcome.results] == ["done", "done"]
    for result, begun in zip(outcome.results, (True, False), strict=True):
        found = load_checkpoint(outcome.folder / result["folder"] / LAST)["state_dict"]
        weights = {name: value for key, value in found.items() for name in source if key.endswith(f".{name}")}
        assert weights.keys() == source.keys()
        same = all(torch.allclose(value, source[name], rtol=0, atol=1e-6) for name, value in weights.items())
        assert same is begun


class Danger:
    def __reduce__(self):
        return (print, ("it ran",))


def test_no_other_file_is(tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.pt"
    torch.save({"state_dict": {"down.weight": torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=r"model.init_from=.*: 3 of 4 weights are not in it, first down.bias"):
        start_from(Plain(), str(path))
    torch.save(Plain().state_dict() | {"down.bias": torch.zeros(9)}, path)
    with pytest.raises(ValueError, match=r"down.bias is \(9,\) in it, \(4,\) in the network"):
        start_from(Plain(), str(path))
    torch.save({"x": Danger()}, path)
    with pytest.raises(ValueError, match=r"running what it holds is not safe; save its state_dict"):
        start_from(Plain(), str(path))
    assert "it ran" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"model.init_from=.*No such file"):
        start_from(Plain(), str(tmp_path / "gone.pt"))


# The door, and the real packages -------------------------------------------------------------------------------------

DATA = ["data.image_size=32", "data.n_images=40", "data.batch_size=4"]


def test_a_look_at_a_network(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(__file__).parents[1].joinpath("docs/own_model.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "my_look.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["model._target_=my_look.MyVAE", *DATA]) == 0
    said = capsys.readouterr().out
    assert "latents     8 x 8 x 8 of an image: model.latent_dim=512" in said
    assert "outputs     read as pixels in [0, 1], not squashed" in said
    with pytest.raises(SystemExit, match=r"error: model._target_=my_look.MyVAE: TypeError"):
        main(["model._target_=my_look.MyVAE", "+model.width=[1]", *DATA])


REAL = {
    "diffusers": [
        "model._target_=diffusers.AutoencoderKL", "+model.block_out_channels=[8,16]", "+model.norm_num_groups=4",
        "+model.down_block_types=[DownEncoderBlock2D,DownEncoderBlock2D]",
        "+model.up_block_types=[UpDecoderBlock2D,UpDecoderBlock2D]", "model.latent_dim=1024",
    ],
    "pythae": [
        "model._target_=pythae.models.VAE", "+model.model_config._target_=pythae.models.VAEConfig",
        "+model.model_config.input_dim=[3,32,32]", "+model.model_config.latent_dim=6", "model.latent_dim=6",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("package", REAL)
def test_the_real_packages_are_looked_at(package: str, capsys) -> None:
    pytest.importorskip(package)
    assert main([*REAL[package], *DATA]) == 0
    said = capsys.readouterr().out
    assert REAL[package][-1] in said
    assert ("they end in a sigmoid" in said) == (package == "pythae")
