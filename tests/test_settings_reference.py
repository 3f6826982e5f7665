"""docs/settings.md: complete, true to conf/, and true about what makes another member."""

from pathlib import Path
from typing import Any

import pytest

from vae_sweep.runs.members import member_id
from vae_sweep.settings import main
from vae_sweep.sweep.overrides import read_conf
from vae_sweep.sweep.reference import default_config, markdown, settings_of

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
FILES = [CONF / "config.yaml", *CONF.glob("data/*.yaml"), *CONF.glob("model/*.yaml"), *CONF.glob("kl_schedule/*.yaml")]


def prefix(path: Path) -> str:
    return "" if path.parent == CONF else f"{path.parent.name}."


def base(path: Path) -> dict[str, Any]:
    """The default config, with this file as its group's option."""
    import yaml

    config = default_config(CONF)
    return config if path.parent == CONF else config | {path.parent.name: yaml.safe_load(path.read_text())}


def changed(config: dict[str, Any], key: str) -> dict[str, Any]:
    """The config with another value of that key."""
    head, _, rest = key.partition(".")
    return config | {head: changed(config[head], rest) if rest else "another value"}


def test_the_document_is_made_from_conf() -> None:
    """After a change of conf/: python3 -m vae_sweep.settings > docs/settings.md"""
    assert (ROOT / "docs/settings.md").read_text() == markdown(CONF)


def test_it_holds_every_key_that_the_command_line_knows() -> None:
    known = read_conf(CONF)
    leaves = {*known.defaults, *(key for options in known.groups.values() for keys in options.values() for key in keys)}
    text = markdown(CONF)
    assert [key for key in leaves if f"| `{key}` |" not in text and not key.endswith("._target_")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_says_what_it_is_and_every_number_in_which_unit(path: Path) -> None:
    for setting in settings_of(path, prefix(path), base(path)):
        assert setting.what, setting.key
        number = setting.default.replace(".", "").replace("e-", "").isdecimal()
        assert setting.unit or not number or setting.key.endswith(("seed", "data.channels")), (
            f"{setting.key}: no [unit]"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_it_changes_is_what_another_value_changes(path: Path) -> None:
    kinds = {"vae": {}, "autoencoder": {"objective": "autoencoder"}, "multi-rate": {"multi_rate": True}}
    told = {
        "the member": {"vae", "autoencoder", "multi-rate"},
        "the member, if a VAE": {"vae", "multi-rate"},
        "the member, if a VAE of one weight": {"vae"},
        "the member, if multi-rate": {"multi-rate"},
        "only where it runs": set(),
        "how far the member goes": {"vae", "autoencoder", "multi-rate"},
    }
    default = base(path)
    configs = {
        kind: default
        | {"objective": change.get("objective", "vae")}
        | {"model": default["model"] | {"multi_rate": change.get("multi_rate", False)}}
        for kind, change in kinds.items()
    }
    ids = {kind: member_id(config, "f") for kind, config in configs.items()}
    for setting in settings_of(path, prefix(path), default):
        if setting.key in ("objective", "model.multi_rate"):
            continue
        others = {kind: member_id(changed(config, setting.key), "f") for kind, config in configs.items()}
        assert told[setting.changes] == {kind for kind in kinds if ids[kind] != others[kind]}, setting.key


def test_a_word_finds_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup_steps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("`kl_schedule.warmup_steps`" in line for line in lines)
    assert main(["no such word"]) == 1
