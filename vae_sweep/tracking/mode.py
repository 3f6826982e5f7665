"""How a run is told to W&B: settled without wandb, which would prompt, or wait a minute and a half."""

import configparser
import netrc
import os
import socket
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vae_sweep.commands import command

CONNECT_TIMEOUT_S = 2.0
DEFAULT_URL = "https://api.wandb.ai"

_SAME = {"dryrun": "offline", "run": "online"}  # older names of W&B's own


@dataclass(frozen=True)
class Mode:
    """`line`: what a user should be told about it, if anything. `name`:

    online    as it trains
    offline   into wandb's own files, as it trains, for `wandb sync` and `wandb leet`
    later     not yet: its folder has all that sync.py needs
    disabled  never
    """

    name: str
    base_url: str = DEFAULT_URL
    line: str = ""


def wanted_mode(setting: str, environ: Mapping[str, str] = os.environ) -> str:
    """auto, online, offline or disabled: WANDB_MODE, else `setting`, else what `wandb offline` has written down."""
    wanted = environ.get("WANDB_MODE") or (setting if setting != "auto" else _user_setting("mode", environ)) or "auto"
    wanted = _SAME.get(wanted, wanted)
    return wanted if wanted in ("online", "offline", "disabled") else "auto"


def choose_mode(setting: str, environ: Mapping[str, str] = os.environ) -> Mode:
    """The mode to log in; setting: logger.wandb. Takes CONNECT_TIMEOUT_S at most.

    Online needs a key in any case, since W&B would prompt for one. Only `auto` asks for a connection beforehand.
    """
    wanted = wanted_mode(setting, environ)
    url = server_url(environ)
    if wanted in ("offline", "disabled"):
        return Mode(wanted, url)
    if not has_key(url, environ):
        return Mode("later", url, f"W&B: no API key for {url} (`wandb login` stores one); {upload_later()}")
    if wanted == "auto" and not reachable(url):
        return Mode("later", url, f"W&B: no connection to {url}; {upload_later()}")
    return Mode("online", url)


def upload_later() -> str:
    return f"`{command('tracking')}` uploads later"


def server_url(environ: Mapping[str, str] = os.environ) -> str:
    url = environ.get("WANDB_BASE_URL") or _user_setting("base_url", environ) or DEFAULT_URL
    return url.rstrip("/")


def has_key(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether wandb would find credentials for `url` without asking: environment, netrc, its settings files."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE") or _user_setting("api_key", environ):
        return True
    places = [environ["NETRC"]] if environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for place in places:
        try:
            login = netrc.netrc(Path(place).expanduser()).authenticators(urlsplit(url).netloc)
        except (OSError, netrc.NetrcParseError):
            continue
        if login and login[2]:
            return True
    return False


def reachable(url: str, timeout_s: float = CONNECT_TIMEOUT_S) -> bool:
    """Whether somebody listens at `url`, or at the proxy on the way there."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    answered = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(address, timeout_s).close()
            answered.set()
        except OSError:
            pass

    # The lookup of a name has no timeout of its own: a thread that hangs in it is left behind.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answered.is_set()


def _user_setting(key: str, environ: Mapping[str, str]) -> str | None:
    """A value of wandb's settings files, where `wandb login --host` and `wandb offline` write; the nearer one wins."""
    for folder in (Path("wandb"), Path(environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(folder / "settings")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_option("default", key):
            return parser.get("default", key)
    return None
