"""A network of somebody's own: the documented one runs; what is wrong with another is one line, early."""

import itertools
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vae_sweep.data.image_data import ImageData
from vae_sweep.models.networks import linear
from vae_sweep.models.own import as_vae, call_with_taken
from vae_sweep.models.posteriors import Diagonal
from vae_sweep.runs.members import Member
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.sweep.trial import try_out
from vae_sweep.training.trial import refused

ROOT = Path(__file__).parents[1]
EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs/own_model.md").read_text(), re.DOTALL)[1]
SHAPE = (3, 16, 16)
NUMBERS = itertools.count()  # a module of another name for each: imports are remembered


class Own(nn.Module):
    """Latents (4, 2, 2) of images (1, 8, 8)."""

    def __init__(self, image_shape, width=4):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 2 * width, 4, stride=4), nn.ConvTranspose2d(width, 1, 4, stride=4)
        self.norm = nn.BatchNorm2d(1)

    def encode(self, x):
        return self.down(self.norm(x)).chunk(2, dim=1)

    def decode(self, z):
        return self.up(z)


def test_latents_of_any_shape_are_flat_outside() -> None:
    network = Own((1, 8, 8))
    vae, x = as_vae(network, 16, (1, 8, 8)), torch.rand(3, 1, 8, 8)
    out, posterior, z = vae(x, torch.randn(3, 16))
    mean, logvar = network.encode(x)
    assert isinstance(posterior, Diagonal)
    torch.testing.assert_close(posterior.mean, mean.reshape(3, 16))
    torch.testing.assert_close(posterior.variance, logvar.reshape(3, 16).exp())
    torch.testing.assert_close(out, network.decode(z.reshape(3, 4, 2, 2)))
    assert network.training


def test_trying_a_network_leaves_it_and_the_randomness_as_they_were() -> None:
    torch.manual_seed(0)
    network = Own((1, 8, 8))
    before, state = {key: value.clone() for key, value in network.state_dict().items()}, torch.get_rng_state()
    as_vae(network, 16, (1, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_posterior_of_its_own_and_a_vae_are_taken_as_they_are() -> None:
    class WithPosterior(nn.Module):
        def encode(self, x):
            return Diagonal(x.flatten(1)[:, :2], torch.zeros(len(x), 2))

        def decode(self, z):
            return z.sum(1)[:, None, None, None].expand(-1, 1, 4, 4)

    assert as_vae(WithPosterior(), 2, (1, 4, 4)).encode(torch.rand(3, 1, 4, 4)).mean.shape == (3, 2)
    ours = linear((1, 4, 4), 2)
    assert as_vae(ours, 2, (1, 4, 4)) is ours


def test_only_what_the_signature_has_a_name_for_is_passed() -> None:
    offered = {"latent_dim": 4, "posterior": "full", "channels": 8}
    assert call_with_taken(partial(lambda image_shape: image_shape, **offered), image_shape=SHAPE) == SHAPE
    assert call_with_taken(partial(lambda *, latent_dim, width=3: (latent_dim, width), **offered)) == (4, 3)
    assert call_with_taken(partial(lambda **everything: everything, **offered)) == offered


@pytest.fixture
def config(compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """config(source, *overrides) -> a member's config with the network `Net` of that module."""

    def config(source: str, *overrides: str):
        module = f"net_{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        return compose("model=own", f"model._target_={module}.Net", *overrides)

    return config


BODY = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self{parameters}):
        super().__init__()
        {init}
        self.layer = nn.Linear(768, 4)
    def encode(self, x):
        return {encoded}
    def {decode}(self, z):
        return {decoded}
"""
GOOD = {
    "parameters": ", latent_dim", "init": "pass", "encoded": "self.layer(x.flatten(1)).chunk(2, dim=1)",
    "decode": "decode", "decoded": "z.sum(1)[:, None, None, None].expand(-1, 3, 16, 16)",
}  # fmt: skip
WRONG = {
    "raises": ({"init": "raise ValueError('no good')"}, "ValueError: no good (net_"),
    "no decode": ({"decode": "decoded"}, "Net has no decode"),
    "a name that is not there": ({"encoded": "wrong"}, "NameError: name 'wrong' is not defined (net_"),
    "shapes that do not fit": ({"encoded": "self.layer(x)"}, "mat1 and mat2 shapes cannot be multiplied"),
    "one tensor": ({"encoded": "self.layer(x.flatten(1))"}, "Net.encode returns Tensor, expected (mean, logvar)"),
    "unequal": ({"encoded": "self.layer(x.flatten(1)).split([1, 3], dim=1)"}, "differ in shape"),
    "other latents": ({"encoded": "self.layer(x.flatten(1)).chunk(4, dim=1)[:2]"}, "which is model.latent_dim=1"),
    "other pictures": ({"decoded": "z"}, "Net.decode gives (2, 2) for two images, expected (2, 3, 16, 16)"),
    "not a number": ({"decoded": "(z.sum(1) / 0)[:, None, None, None].expand(-1, 3, 16, 16)"}, "the loss of the first"),
    "nothing to learn": ({"encoded": "[part.detach() for part in self.layer(x.flatten(1)).chunk(2, 1)]"}, "gradient"),
}


def test_a_good_network_passes(config) -> None:
    assert refused(config(BODY.format_map(GOOD), "model.latent_dim=2"), [], torch.rand(4, *SHAPE), 100) is None


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_that_names_it(case: str, config) -> None:
    change, expected = WRONG[case]
    made = config(BODY.format_map(GOOD | change), "model.latent_dim=2")
    said = refused(made, [], torch.rand(4, *SHAPE), 100)
    assert expected in said
    assert "\n" not in said
    assert "model." in said


def test_a_parameter_that_was_typed_is_one_that_there_is(config) -> None:
    source = BODY.format_map(GOOD)
    made = config(source, "model.latent_dim=2", "+model.width=3")
    said = refused(made, ["+model.width=3"], torch.rand(4, *SHAPE), 100)
    assert said.startswith("+model.width=3: ")
    taken = config(source.replace(", latent_dim", ", latent_dim, width"), "model.latent_dim=2", "+model.width=3")
    assert refused(taken, ["+model.width=3"], torch.rand(4, *SHAPE), 100) is None


@pytest.mark.slow
def test_the_planner_hears_of_it_from_a_child(config) -> None:
    made = config(BODY.format_map(GOOD), "model.latent_dim=3")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    data = ImageData(pixels, np.arange(30), np.arange(30, 40), "f", "images")
    with pytest.raises(SettingsError, match=r"model\.latent_dim=3: Net\.encode gives 2 latents per image"):
        try_out([Member("m", made)], {"m": data})


def test_what_is_ours_is_not_tried(compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_sweep.sweep.trial.children", None)  # no child, no time
    try_out([Member("m", compose())], {"m": None})


def test_a_child_that_dies_names_all_that_is_not_ours(compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_sweep.sweep.trial.children.start", lambda *_, **options: _python("exit(7)", **options))
    data = ImageData(np.zeros((3, 8, 8, 3), np.uint8), np.arange(2), np.arange(2, 3), "f", "images")
    made = compose("loss.recon=my.Student", "kl_schedule._target_=my.stairs")
    said = r"^loss\.recon=my\.Student, kl_schedule=my\.stairs: could not be tried: exit code 7$"
    with pytest.raises(SettingsError, match=said):
        try_out([Member("m", made)], {"m": data})


def _python(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


@pytest.mark.slow  # three processes that import torch
def test_the_documented_network_trains_from_the_folder_it_lies_in(tmp_path: Path) -> None:
    """By a console script, on whose import path that folder is not by itself."""
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 16
    (tmp_path / "my_vae.py").write_text(EXAMPLE)
    program = tmp_path / "bin" / "vae-sweep"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom vae_sweep.run import main\nmain()\n")
    program.chmod(0o755)
    typed = re.search(r"python3 -m vae_sweep.run (.*)", (ROOT / "docs/own_model.md").read_text())[1]
    assert "model.latent_dim=2048" in typed  # 8 x 16 x 16 at the default size; at 32 it is 8 x 8 x 8
    small = [
        "data.image_size=32", "model.latent_dim=512", "data.max_images=40", "trainer.max_steps=2", "sweep=own",
        "trainer.evaluate=false", "trainer.accelerator=cpu", "+model.width=8",
    ]  # fmt: skip
    words = [word for word in typed.split() if not word.startswith("model.latent_dim")]
    done = subprocess.run([program, *words, *small], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert [run.status for run in load_sweep(tmp_path / "outputs/own").runs] == ["done"] * 2
