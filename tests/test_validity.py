"""The whole tool, trained through its own door, against closed forms: the figures of docs/validity.md."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import validity
from benchmarks.validity import Figure


def missed(figures: list[Figure]) -> list[str]:
    return [str(figure) for figure in figures if not figure.holds]


@pytest.mark.slow
def test_linear_vae_collapsed_and_coding(tmp_path: Path) -> None:
    """Two weights of one latent size, before all of them."""
    figures = validity.linear(tmp_path, steps=800, weights=(1.0, 0.2), latents=(1,))
    assert len(figures) == 2 * 7 + 1
    assert missed(figures) == []


@pytest.mark.slow
@pytest.mark.parametrize("experiment", validity.EXPERIMENTS.values(), ids=validity.EXPERIMENTS.keys())
def test_every_figure_is_within_its_tolerance(experiment: Callable[[Path], list[Figure]], tmp_path: Path) -> None:
    assert missed(experiment(tmp_path)) == []


def test_a_figure_knows_when_it_is_off() -> None:
    assert Figure("x", 1.009, 1.0, 0.01).holds
    assert not Figure("x", 1.011, 1.0, 0.01).holds
    assert Figure("x", -0.005, 0.0, 0.01, absolute=True).holds
    assert Figure("x", 0.5, -0.5, 0.01).error == 2
    assert "MISSED" in str(Figure("x", 2.0, 1.0, 0.01))


def test_names_that_do_not_exist_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        validity.main(["linaer"])
    assert stop.value.code == 2
    assert "linaer: expected linear, null_tests" in capsys.readouterr().err
