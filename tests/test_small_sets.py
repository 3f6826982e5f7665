"""As few pictures as there can be, or as alike: trained, measured, shown and opened, or refused in one line."""

import contextlib
import copy
import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import member_config
from rich.console import Console

import vae_sweep
from vae_sweep import evaluate
from vae_sweep.data.image_data import DataError
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.report import __main__ as report
from vae_sweep.runs.reading import load_sweep
from vae_sweep.sweep.run_sweep import Job, Outcome, run_sweep

SMALL = (
    "data=arrays", "model.latent_dim=4", "trainer.max_steps=3", "trainer.accelerator=cpu",
    "trainer.precision=32", "logger.wandb=disabled", "launcher.pack=off", "sweep=s",
)  # fmt: skip
MODELS = {
    "default": ("model.channels=4",),
    "conv": ("model=conv", "model.latent_grid=1", "model.linear_path=false", "model.channels=4"),
    "linear": ("model=linear",),
    "multi_rate": ("model.multi_rate=true", "model.channels=4"),
    "autoencoder": ("objective=autoencoder", "model.channels=4"),
    "optimal_sigma": ("loss.recon=optimal_sigma", "model.channels=4"),
}


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


ALIKE = drawn(1).repeat(12, 0)
ONE_PIXEL = ALIKE[:1] ^ np.eye(1, 192, dtype=np.uint8).reshape(1, 8, 8, 3)
# (images, labels, overrides)
SETS: dict[str, tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]] = {
    "2 pictures": (drawn(2), None, ()),
    "3 pictures": (drawn(3), None, ()),
    "2 of 3 held out": (drawn(3), None, ("data.val_fraction=0.6",)),
    "identical but one": (np.concatenate([ALIKE[:11], drawn(2)[1:]]), None, ()),
    "one pixel in the whole set": (np.concatenate([ALIKE[:11], ONE_PIXEL]), None, ()),
    "black and white": (np.repeat(np.uint8([0, 255]), 8 * 8 * 3).reshape(2, 8, 8, 3), None, ()),
    "one class": (drawn(12), np.zeros(12, int), ()),
    "a class each": (drawn(12), np.arange(12), ()),
    "2 of 12 held out": (drawn(12), np.arange(12) % 2, ("data.val_fraction=0.17",)),
}  # fmt: skip
QUICK = [("2 pictures", "linear"), ("identical but one", "linear")]
EACH = [(data, model) for data in SETS for model in MODELS]


def trained(place: Path, data: str, model: str) -> tuple[Outcome, str]:
    images, labels, more = SETS[data]
    np.savez(place / "x.npz", images=images, **({} if labels is None else {"labels": labels}))
    config = member_config(*SMALL, *more, *MODELS[model])
    config["data"] |= {"path": str(place / "x.npz"), "cache_dir": str(place / "cache")}
    config["output_dir"] = str(place / "outputs")
    jobs = []
    for weight in (1.0, 0.1):
        changed = copy.deepcopy(config)
        changed["loss"]["kl_weight"] = weight
        jobs.append(Job(changed, (f"loss.kl_weight={weight}",)))
    text = io.StringIO()
    return run_sweep(jobs, ThisProcess(), ["run.py", "-m"], console=Console(file=text, width=200)), text.getvalue()


@contextlib.contextmanager
def heard() -> Iterator[io.StringIO]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            yield out
    finally:
        logging.getLogger().removeHandler(handler)


def the_whole_way(place: Path, data: str, model: str, *shown: str) -> None:
    """Warnings are errors (pyproject.toml): a division by zero in numpy is one."""
    outcome, said = trained(place, data, model)
    assert [result["status"] for result in outcome.results] == ["done", "done"], said
    numbers: dict[str, Any] = {}
    for run in load_sweep(outcome.folder).runs:
        measured = run.evaluation()
        assert measured["val"]["images"] == len(load_images(run.config).val)
        for split in ("train", "val"):
            numbers |= {f"{split}/{key}": value for key, value in measured[split].items()}
            # What is computed without a division is a number whatever the set; what is not, may be missing.
            assert all(math.isfinite(measured[split][key]) for key in ("sse", "mse", "recon"))
    with heard() as out:
        assert report.main([str(outcome.folder), *shown]) == 0
        assert len(vae_sweep.load(outcome.folder)) == len(load_sweep(outcome.folder).runs)
        run = load_sweep(outcome.folder).runs[0].folder
        vae = vae_sweep.load_model(run)
        assert vae.sample(2).shape == (2, 3, 8, 8)
        held_out = vae.images("val")
        assert np.isfinite(np.asarray(vae.reconstruct(held_out))).all()
        again = ["--weights", "0.5"] if model == "multi_rate" else []
        assert evaluate.main([str(run), *again]) == 0
    assert "Traceback" not in out.getvalue()
    assert "nan" not in out.getvalue().replace("nance", "")
    assert numbers


def load_images(config: dict[str, Any]) -> Any:
    from vae_sweep.data import load

    return load(config["data"])


@pytest.mark.parametrize(("data", "model"), QUICK)
def test_the_smallest_sets_go_the_whole_way(data: str, model: str, tmp_path: Path) -> None:
    the_whole_way(tmp_path, data, model, "--no-figures")


@pytest.mark.slow
@pytest.mark.parametrize(("data", "model"), EACH)
def test_small_and_uniform_sets_go_the_whole_way(data: str, model: str, tmp_path: Path) -> None:
    the_whole_way(tmp_path, data, model)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_one_picture_however_often_is_refused_in_a_line(count: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETS, "one", (drawn(1).repeat(count, 0), None, ()))
    with pytest.raises(DataError, match=rf"x\.npz: {count} image\(s\), 1 distinct: a training and a validation image"):
        trained(tmp_path, "one", "linear")
    assert not (tmp_path / "outputs" / "s").exists()
