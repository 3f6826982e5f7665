"""Paths as people type them: what Hydra reads of a command line is what was meant."""

import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from properties import fewer

from vae_sweep.checks import number
from vae_sweep.runs.members import slug
from vae_sweep.sweep.overrides import check_overrides
from vae_sweep.sweep.settings import SettingsError
from vae_sweep.sweep.typed import as_typed

CONF = Path(__file__).parents[1] / "conf"

ODD = [
    "~/Pictures", "/data/été", "a=b", "pics(1)", "[old]", "pics[old]", "it's", 'a "b"', "a#b", "a b", "a  b", "{x}",
    "1,5", "2024", "null.d", "true", "C:\\pics", "a\\", "a:b", "写真", "a;b", "a&b", "$x", "-", "+a", "a,b", "(a)",
    "'a'", "@home", "50%", "a|b", "*", "a?", "!", "<x>", "`x`", "a^b", "e\u0301", "\U0001f600", "a\tb", "a,", ",",
    "a/b/", "..", "café,2 (old)",
]  # fmt: skip


def read(word: str):
    override = OverridesParser.create().parse_override(word)
    assert not override.is_sweep_override()
    return getattr(override.value(), "text", override.value())


def test_there_are_forty_of_them() -> None:
    assert len(ODD) >= 40


@pytest.mark.parametrize("name", ODD)
def test_a_folder_that_there_is_is_one_value(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / name.replace("~/", "").lstrip("/")
    path.mkdir(parents=True, exist_ok=True)
    typed = f"data.root={name}" if name.startswith("~") else f"data.root={path}"
    assert read(as_typed([typed])[0]) == typed.partition("=")[2]
    check_overrides(["data=image_folder", *as_typed([typed])], CONF)


@pytest.mark.parametrize("split", ["train", "train[:100]", "train[50%:]+test", "test[-5:]"])
def test_a_split_is_one_value(split: str) -> None:
    assert read(as_typed([f"data.split={split}"])[0]) == split


@fewer
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: "," not in text))
def test_one_that_is_not_there_is_read_as_something_too(name: str) -> None:
    """Such as an output_dir to be: a text, null, or a sweep such as choice(a), never an error of the grammar."""
    OverridesParser.create().parse_override(as_typed([f"output_dir={name}"])[0])


@pytest.mark.parametrize("name", ["pics", "./pics", "../pics", "/data/my-pics_2/a.b", "a/b"])
def test_a_usual_path_stays_as_it_was_typed(name: str, tmp_path: Path, monkeypatch) -> None:
    """The page and the terminal show it in commands that are to be pasted."""
    monkeypatch.setattr("os.path.exists", lambda path: True)
    assert as_typed([f"data.root={name}"]) == [f"data.root={name}"]
    assert read(f"data.root={name}") == name


def test_folders_that_are_not_there_are_several_values() -> None:
    assert as_typed(["data.root=a,b", "data.path='a b'", "loss.kl_weight=1,0.1", "--help", "-m"]) == [
        "data.root=a,b", "data.path='a b'", "loss.kl_weight=1,0.1", "--help", "-m",
    ]  # fmt: skip


def test_other_texts_are_answered_with_the_very_quoting() -> None:
    with pytest.raises(SettingsError, match=re.escape("if it is a text: \"logger.project='pics (1'\"")):
        check_overrides(["logger.project=pics (1"], CONF)


@pytest.mark.parametrize(("typed", "said"), [("0,5", "with a point, is 0.5"), ("0,05", "with a point, is 0.05")])
def test_a_decimal_comma(typed: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        check_overrides([f"loss.kl_weight={typed}"], CONF)


def test_fractions_and_commas_in_any_number() -> None:
    assert number(low=0)("1/4") == "a number >= 0; 1/4 is 0.25"
    assert number()("0,5") == "a number; with a point, 0.5"
    assert number()("x") == "a number"


def test_a_range_makes_clean_names(compose) -> None:
    assert slug(["loss.kl_weight=0.30000000000000004"], compose()) == "kl_weight=0.3"
    assert slug(["loss.kl_weight=0.325"], compose()) == "kl_weight=0.325"
