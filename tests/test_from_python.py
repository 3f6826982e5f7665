"""A sweep from Python: the words it stands for, read back by Hydra's own grammar, and what comes back."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import outside
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer

import vae_sweep
from vae_sweep.conf_folder import CONF
from vae_sweep.data.image_data import DataError
from vae_sweep.report.notebook import load
from vae_sweep.sweep import in_python
from vae_sweep.sweep.overrides import check_overrides, read_conf
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.sweep.typed import quoted

KNOWN = read_conf(CONF)
SMALL = {
    "model": "linear", "latent_dim": 2, "max_steps": 4, "accelerator": "cpu", "precision": 32, "wandb": "disabled",
    "batch_size": 10, "sweep": "mine",
}  # fmt: skip


def read_back(text: str):
    value = OverridesParser.create().parse_override(f"key={text}").value()
    return getattr(value, "text", value)  # a text in quotes


def words(**settings) -> dict[str, list[str]]:
    return in_python.words(settings, KNOWN)


@fewer
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_is_read_back_as_it_is(text: str) -> None:
    assert read_back(quoted(text)) == text.replace("${", "\\${")  # as OmegaConf has it


@pytest.mark.parametrize("value", [1, 0.1, 1e-12, True, None, [512, 256], {"a": 1, "b": [2.5]}, np.float64(0.1), "a,b"])
def test_values_are_read_back_as_they_are(value) -> None:
    assert read_back(in_python.shown(value)) == value


def test_a_key_is_found_by_its_last_word() -> None:
    assert words(kl_weight=[1, 0.1], lr=1e-3, seed=(0), objective=["vae", "autoencoder"]) == {
        "loss.kl_weight": ["1", "0.1"], "optimizer.lr": ["0.001"], "seed": ["0"], "objective": ["vae", "autoencoder"],
    }  # fmt: skip
    assert words(loss={"kl_weight": 1, "scale": 2}) == {"loss.kl_weight": ["1"], "loss.scale": ["2"]}
    assert words(**{"loss.recon": "gaussian"}) == {"loss.recon": ["gaussian"]}
    with pytest.raises(SettingsError, match=re.escape("channels: which of data.channels, model.channels?")):
        words(channels=1)


def test_a_list_is_one_value_of_a_key_that_holds_lists() -> None:
    assert words(model="mlp", hidden=[64, 32])["model.hidden"] == ["[64,32]"]
    assert words(model="mlp", hidden=[[64], [64, 32]])["model.hidden"] == ["[64]", "[64,32]"]


def test_the_grid_is_hydras() -> None:
    assert in_python.combinations(words(kl_weight=[1, 0.1], seed=[0, 1])) == [
        ["loss.kl_weight=1", "seed=0"], ["loss.kl_weight=1", "seed=1"],
        ["loss.kl_weight=0.1", "seed=0"], ["loss.kl_weight=0.1", "seed=1"],
    ]  # fmt: skip


def test_pictures_and_networks_are_what_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "it's [old], a=b"
    folder.mkdir()
    found = words(data=folder)
    assert (found["data"], read_back(found["data.root"][0])) == (["image_folder"], str(folder))
    for name in ("set.zip", "list.csv", "parts/0.npy", "one.NPZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, loader in {
        "set.zip": "image_folder data.root", "list.csv": "image_folder data.root", "*.zip": "image_folder data.root",
        "one.NPZ": "arrays data.path", "parts": "arrays data.path", "parts/*.npy": "arrays data.path",
    }.items():  # fmt: skip
        section, key = loader.split()
        found = words(data=str(tmp_path / name))
        assert (found["data"], read_back(found[key][0])) == ([section], str(tmp_path / name))
        if "*" not in name:
            with pytest.raises(SettingsError, match=f"files of your own are data={section} {key}=".replace(" ", ".")):
                check_overrides([f"data={tmp_path / name}"], CONF)
    assert words(data="mnist", root="there") == {"data": ["mnist"], "data.root": ["there"]}
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    kept = read_back(words(data=images)["data.path"][0])
    assert np.array_equal(np.load(kept), images)
    assert words(data=images) == words(data=images.copy())
    own = {"model": ["own"], "model._target_": ["outside.OneByOne"]}
    assert words(model=outside.OneByOne) == own == words(model="outside.OneByOne")
    assert words(model={"_target_": "outside.OneByOne", "latent_dim": 4, "width": [8, 16]}) == own | {
        "model.latent_dim": ["4"], "+model.width": ["8", "16"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": "nowhere"}, "data=nowhere: no such file or folder"),
        ({"data": np.array([None])}, "an array of Python objects"),
        ({"model": type("Net", (), {"__module__": "__main__"})}, "Net: members train in processes of their own"),
        ({"model": object()}, "model: an object of object"),
        ({"beta": [1]}, "did you mean 'loss.kl_weight'?"),
        ({"kl_wieght": 1}, "did you mean 'loss.kl_weight'?"),
        ({"kl_weight": []}, "an empty list"),
        ({"kl_weight": [1, -1]}, "loss.kl_weight=-1: expected"),
        ({"model": "cnov"}, "did you mean 'conv'?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_an_error_of_one_line(settings, said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SettingsError, DataError), match=re.escape(said)) as refused:
        vae_sweep.sweep(output_dir=str(tmp_path / "out"), **settings)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_it_gives_what_load_gives_and_goes_on(tmp_path: Path, capsys) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    place = outside.OneByOne()
    runs = vae_sweep.sweep(kl_weight=[1, 0.1], data=images, output_dir=str(tmp_path), place=place, **SMALL)
    assert list(runs["status"]) == ["done", "done"]
    assert list(runs["loss.kl_weight"]) == [1, 0.1]
    assert runs.equals(load(tmp_path / "mine"))
    assert (tmp_path / "mine/report/index.html").exists()
    assert "page      " in capsys.readouterr().out
    frame = runs.report(show=False, figures=False)._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!doctype html')
    assert '"' not in frame.split('srcdoc="', 1)[1].split('" style=')[0]
    again = vae_sweep.sweep(
        kl_weight=[0.1, 0.01], data=images, output_dir=str(tmp_path), place=place, report=False, **SMALL
    )
    assert list(again["loss.kl_weight"]) == [1, 0.1, 0.01]
    assert [len(ran) for ran in place.ran] == [2, 1]  # what is done is not trained again


def test_two_images_have_a_page(tmp_path: Path) -> None:
    """One to train on, whose mean a linear model needs no more than: its error there is zero."""
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    settings = {**SMALL, "batch_size": 1, "data": images, "output_dir": str(tmp_path)}
    runs = vae_sweep.sweep(kl_weight=0.1, place=outside.OneByOne(), **settings)
    assert list(runs["status"]) == ["done"]
    assert (tmp_path / "mine/report/index.html").exists()


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """Members train in other processes, which do not run the script a second time."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, image_shape):\n"
        "        super().__init__()\n"
        "        self.layer, self.back = nn.Linear(192, 4), nn.Linear(2, 192)\n"
        "    def encode(self, x):\n        return self.layer(x.flatten(1)).chunk(2, 1)\n"
        "    def decode(self, z):\n        return self.back(z).unflatten(1, (3, 8, 8))\n"
    )
    rest = {key: value for key, value in SMALL.items() if key != "model"}
    (tmp_path / "script.py").write_text(
        "import numpy as np\nimport vae_sweep\nfrom net import Net\nprint('once')\n"
        "images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)\n"
        f"runs = vae_sweep.sweep(kl_weight=[1, 0.1], data=images, model=Net, **{rest})\n"
        "print(runs['status'].tolist())\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1
    assert done.stdout.strip().endswith("['done', 'done']")
