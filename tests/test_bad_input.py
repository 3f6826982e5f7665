"""What a person gets wrong, through the command line: one line that names the thing, exit code 1, nothing written."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from marks import slow
from omegaconf import OmegaConf
from PIL import Image


def folder(place: Path, **files: bytes) -> Path:
    place.mkdir()
    for name, content in files.items():
        (place / name.replace("_", ".")).write_bytes(content)
    return place


def saved(place: Path, array: np.ndarray, **options: bool) -> Path:
    np.save(place, array, **options)
    return place


def broken_image(place: Path) -> tuple[list[str], str]:
    found = folder(place / "pictures", a_jpg=b"no picture")
    return ["data=image_folder", f"data.root={found}"], "a.jpg"


def truncated_image(place: Path) -> tuple[list[str], str]:
    whole = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(whole).save(place / "whole.png")
    found = folder(place / "pictures", cut_png=(place / "whole.png").read_bytes()[:2000])
    return ["data=image_folder", f"data.root={found}"], "cut.png"


def truncated_npz(place: Path) -> tuple[list[str], str]:
    np.savez(place / "whole.npz", images=np.zeros((9, 8, 8), dtype=np.uint8))
    (place / "cut.npz").write_bytes((place / "whole.npz").read_bytes()[:300])
    return ["data=arrays", f"data.path={place / 'cut.npz'}"], "cut.npz"


def array(array: np.ndarray, expected: str = "x.npy", **options: bool):
    def make(place: Path) -> tuple[list[str], str]:
        return ["data=arrays", f"data.path={saved(place / 'x.npy', array, **options)}"], expected

    return make


def setting(override: str, expected: str):
    return lambda place: ([override], expected)


def settings(*overrides: str, expected: str):
    return lambda place: (list(overrides), expected)


def unwritable(place: Path) -> tuple[list[str], str]:
    (place / "taken").write_text("a file")
    return [f"output_dir={place / 'taken'}", "data.n_images=40"], "taken"


def test_what_hydra_cannot_write_is_one_line(typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(OmegaConf, "save", full)
    code, _, said = typed(["-m", "data.n_images=40"])
    assert (code, said) == (1, f"error: {tempfile.gettempdir()}: No space left on device\n")


NAN = np.full((9, 8, 8), np.nan, dtype=np.float32)
CASES = {
    "broken image": broken_image,
    "truncated image": truncated_image,
    "empty folder": lambda place: (["data=image_folder", f"data.root={folder(place / 'none')}"], "none"),
    "missing folder": settings("data=image_folder", "data.root=nowhere", expected="nowhere"),
    "no folder given": settings("data=image_folder", expected="data.root"),
    "truncated npz": truncated_npz,
    "pickled npy": array(np.array([{}, {}], dtype=object), allow_pickle=True),
    "wrong dtype": array(np.zeros((9, 8, 8), dtype=np.complex64), "complex64"),
    "NaN pixels": array(NAN),
    "pixels out of range": array(np.full((9, 8, 8), 2.0, dtype=np.float32)),
    "one image": array(np.zeros((1, 8, 8), dtype=np.uint8)),
    "flat array": array(np.zeros(9, dtype=np.uint8)),
    "missing file": settings("data=arrays", "data.path=gone.npy", expected="gone.npy"),
    "offline without MNIST": lambda place: (["data=mnist", f"data.root={place}"], "data.download=true"),
    "typo in a key": setting("loss.kl_wieght=1", "did you mean 'loss.kl_weight'"),
    "typo in a group": setting("data=painting", "did you mean 'paintings'"),
    "negative weight": setting("loss.kl_weight=1,-1", "member 2 of 2"),
    "weight that is a word": setting("loss.kl_weight=small", "loss.kl_weight=small"),
    "no latents": setting("model.latent_dim=0", "model.latent_dim=0"),
    "warm-up longer than the run": settings(
        "kl_schedule=linear", "kl_schedule.warmup_steps=10000000", "data.n_images=40", expected="warmup_steps"
    ),
    "unwritable outputs": unwritable,
    "size of the paintings": setting("data.image_size=7", "data.image_size=7"),
    "missing device": settings("trainer.accelerator=cuda", expected="trainer.accelerator=cuda"),
    "unknown model": setting("model._target_=no.such.Thing", "no.such.Thing"),
    "swept sweep": setting("sweep=a,b", "sweep"),
}
ALIKE = ("missing folder", "wrong dtype", "flat array", "pixels out of range", "truncated image")  # as others of these


@pytest.mark.parametrize("case", [*(case for case in CASES if case not in ALIKE), *slow(*ALIKE)])
def test_one_line_names_it(case: str, typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides, expected = CASES[case](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if "trainer.accelerator=cuda" in overrides:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code, _, said = typed(["-m", f"data.cache_dir={tmp_path / 'cache'}", *overrides])
    assert code == 1
    assert [line for line in said.splitlines() if line.startswith("error:")] == said.splitlines()[-1:], said
    assert expected in said.splitlines()[-1]
    assert "Traceback" not in said
    written = {path for path in tmp_path.rglob("*") if "cache" not in path.parts} - set(before)
    assert not [path for path in written if path != tmp_path / "outputs"], written
