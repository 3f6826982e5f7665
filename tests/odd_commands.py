"""Command lines that nobody should type: every key with values of every wrong kind. Not a test."""

import itertools
import random

from configs import CONF

from vae_sweep.sweep.overrides import read_conf

VALUES = (
    "abc", "''", "null", "true", "-1", "0", "1.5", "nan", "inf", "-inf", "1e-300", "1e300", "1000000000000",
    "{a:1}", "[]", "[1,2]", "[a,b]", "{_target_:os.system}", "é☃", "'\u202ex'", "'a\\tb'", "x" * 300, "=cmd|calc",
    "'$x$'", "'<script>'", "/dev/null", "../..", "0x10", "1_000",
)  # fmt: skip
BASE = (
    "data=paintings", "data.n_images=40", "data.image_size=32", "model=linear", "model.latent_dim=2",
    "trainer.max_steps=2", "trainer.accelerator=cpu", "logger.wandb=disabled",
)  # fmt: skip
_NOT_OURS = ("output_dir", "hydra", "experiment")  # a folder of any name may be made
_GECO, _CONTROL = ["kl_schedule=geco", "kl_schedule.goal=1"], ["kl_schedule=control_vae", "kl_schedule.target=1"]
_STEERED = {"goal": _GECO, "eta": _GECO, "memory": _GECO, "target": _CONTROL, "kp": _CONTROL, "ki": _CONTROL}
_NEED_MORE = ("mnist", "fashion_mnist", "cifar10", "celeba", "arrays", "image_folder", "own", "geco", "control_vae")


def every_line() -> list[list[str]]:
    known = read_conf(CONF)
    keys = [key for key in sorted(known.keys) if not key.startswith(_NOT_OURS)]
    pairs = [(key, value) for key, value in itertools.product(keys, VALUES) if not _is_set(key, value)]
    lines = [[*_goes_with(key), f"{key}={value}"] for key, value in pairs]
    lines += [[*_goes_with(key), f"~{key}"] for key in keys]
    lines += [[f"{group}={value}"] for group in known.groups for value in ("null", "{a:1}", "[]", "é")]
    lines += [[f"+{section}.foo=1"] for section in ("loss", "optimizer", "trainer", "data", "model", "launcher")]
    return lines


def _goes_with(key: str) -> list[str]:
    """The option of its group that has the key."""
    group, _, last = key.partition(".")
    if group == "kl_schedule" and last in _STEERED:
        return _STEERED[last]
    known = read_conf(CONF)
    options = [option for option, keys in known.groups.get(group, {}).items() if key in keys]
    chosen = {"data": "paintings", "model": "linear", "kl_schedule": "constant"}
    if not options or chosen.get(group) in options or options[0] in _NEED_MORE:
        return []
    return [f"{group}={options[0]}"]


def _is_set(key: str, value: str) -> bool:
    return "." not in key and value.startswith("{") and key not in ("seed", "sweep", "retry", "objective")


def some_lines(count: int, seed: int = 0) -> list[list[str]]:
    return random.Random(seed).sample(every_line(), count)
