"""Which mode is chosen, and that it never takes long."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from vae_sweep.tracking.mode import choose_mode, has_key, reachable, wanted_mode


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of somebody without netrc, settings or proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return {"NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path / "config")}


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("setting", ["auto", "online"])
@pytest.mark.parametrize("forced", [{}, {"WANDB_MODE": "online"}])
def test_without_a_key_later_and_said(nobody: dict[str, str], setting: str, forced: dict[str, str]) -> None:
    mode = choose_mode(setting, nobody | forced)
    assert mode.name == "later"
    assert "no API key for https://api.wandb.ai" in mode.line
    assert len(mode.line.splitlines()) == 1


def test_auto_is_online_with_a_key_and_a_connection(nobody: dict[str, str], listening: str, closed: str) -> None:
    key = nobody | {"WANDB_API_KEY": "k" * 40}
    mode = choose_mode("auto", key | {"WANDB_BASE_URL": listening})
    assert (mode.name, mode.base_url, mode.line) == ("online", listening, "")
    mode = choose_mode("auto", key | {"WANDB_BASE_URL": closed})
    assert mode.name == "later"
    assert f"no connection to {closed}" in mode.line
    assert choose_mode("online", key | {"WANDB_BASE_URL": closed}).name == "online"


def test_the_environment_wins_then_the_setting_then_wandbs_own(nobody: dict[str, str]) -> None:
    assert wanted_mode("disabled", nobody | {"WANDB_MODE": "offline"}) == "offline"
    assert wanted_mode("auto", nobody | {"WANDB_MODE": "dryrun"}) == "offline"
    config = Path(nobody["WANDB_CONFIG_DIR"])
    config.mkdir()
    (config / "settings").write_text("[default]\nmode = offline\nbase_url = http://ours:8080/\n")
    assert wanted_mode("auto", nobody) == "offline"
    assert wanted_mode("online", nobody) == "online"
    assert choose_mode("offline", nobody).base_url == "http://ours:8080"


@pytest.mark.parametrize("setting", ["offline", "disabled"])
def test_what_was_asked_for_needs_no_words(nobody: dict[str, str], setting: str) -> None:
    assert choose_mode(setting, nobody).name == setting
    assert choose_mode(setting, nobody).line == ""


def test_a_key_is_found_in_netrc_for_its_server_only(nobody: dict[str, str]) -> None:
    Path(nobody["NETRC"]).write_text("machine api.wandb.ai login user password secret\n")
    assert has_key("https://api.wandb.ai", nobody)
    assert not has_key("https://elsewhere.example", nobody)
    Path(nobody["NETRC"]).write_text("this is not a netrc file")
    assert not has_key("https://api.wandb.ai", nobody)


def test_reachable_through_a_proxy(listening: str, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far = "https://a.server.that.is.not.there.invalid"
    monkeypatch.setenv("https_proxy", listening)
    monkeypatch.delenv("no_proxy", raising=False)
    assert reachable(far)
    monkeypatch.setenv("https_proxy", closed)
    assert not reachable(far)


def test_a_slow_lookup_of_the_name_is_not_waited_for(nobody: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    over, found = threading.Event(), threading.Event()

    def look_up(*_: object) -> None:
        over.wait(PATIENCE_S)
        found.set()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", look_up)
    assert not reachable("http://somewhere", timeout_s=0.1)
    assert not found.is_set()
    over.set()
