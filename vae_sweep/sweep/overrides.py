"""What is typed on the command line, before Hydra composes it: names that do not exist, or not together.

One rule for every unknown name: the trade's other word for it, else a key with the same last word, else the nearest.
"""

import difflib
import functools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vae_sweep.checks import meant
from vae_sweep.runs.nested import flatten
from vae_sweep.sweep.settings import CHECKS, SettingsError
from vae_sweep.sweep.typed import quoted

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

# The trade's other words, by their last part: `beta`, `model.z_dim` and `--learning-rate` are all understood.
OTHER_WORDS = {
    "loss.kl_weight": "beta kl kld beta_kl kl_beta kl_coeff kl_coef kld_weight kl_lambda lambda_kl weight",
    "loss.recon": "likelihood reconstruction recon_loss loss_fn rec_loss loss_type decoder_dist criterion",
    "loss.scale": "sigma std decoder_std noise noise_std",
    "loss.free_bits": "free_nats kl_floor lambda_free",
    "objective": "type model_type variational",
    "model": "arch architecture network net backbone encoder decoder",
    "model.latent_dim": "z_dim zdim z dim_z latent latents latent_size n_latent n_latents latent_dims code_size",
    "model.channels": "width filters n_filters num_filters base_channels nf",
    "model.hidden": "hidden_dim hidden_dims hidden_size layers",
    "kl_schedule": "annealing anneal kl_annealing kl_anneal beta_schedule warm_up",
    "data": "dataset data_set dataset_name",
    "data.root": "dir data_dir folder images data_path dataset_path image_dir pictures",
    "data.path": "file npy npz",
    "data.image_size": "size img_size resolution input_size",
    "data.batch_size": "batch bs batchsize train_batch_size per_device_train_batch_size",
    "data.workers": "num_workers n_workers",
    "data.max_images": "limit subset n_samples max_samples limit_train_batches",
    "optimizer": "optim opt solver",
    "optimizer.lr": "learning_rate eta step_size",
    "optimizer.lr_schedule": "scheduler lr_scheduler sched",
    "optimizer.grad_clip": "clip gradient_clip_val clip_grad max_grad_norm grad_clip_norm",
    "optimizer.weight_decay": "wd decay l2",
    "trainer.max_epochs": "epochs epoch n_epochs num_epochs nb_epochs",
    "trainer.max_steps": "steps n_steps num_steps iterations iters max_iter total_steps",
    "trainer.devices": "gpus n_gpus num_gpus n_devices",
    "trainer.accelerator": "gpu cuda device",
    "trainer.precision": "fp16 bf16 amp mixed_precision dtype",
    "trainer.ema": "ema_decay use_ema model_ema polyak swa weight_averaging",
    "trainer.keep": "save_best save_best_only restore_best_weights",
    "trainer.val_every_n_epochs": "check_val_every_n_epoch eval_every",
    "launcher.jobs": "n_jobs processes parallel",
    "seed": "random_seed manual_seed random_state rng",
    "sweep": "name run_name exp_name experiment_name tag",
    "output_dir": "out output outdir out_dir save_dir log_dir results_dir",
}
_FREE = ("model._target_", "optimizer._target_", "kl_schedule._target_", "data._target_")


@dataclass(frozen=True)
class Conf:
    """The yaml files below conf/. defaults: of config.yaml; groups: group -> option -> its dotted keys and defaults;
    chosen: the option of every group without any override; experiments: name -> the options it chooses."""

    defaults: dict[str, Any]
    groups: dict[str, dict[str, dict[str, Any]]]
    chosen: dict[str, str]
    experiments: dict[str, dict[str, str]]

    @functools.cached_property
    def keys(self) -> set[str]:
        """Every dotted key, sections included."""
        flat = {*self.defaults, *(key for options in self.groups.values() for keys in options.values() for key in keys)}
        return {key.rsplit(".", depth)[0] for key in flat for depth in range(key.count(".") + 1)}

    @functools.cached_property
    def sections(self) -> set[str]:
        """Keys with keys below them, and groups."""
        return {key.split(".")[0] for key in self.keys if "." in key}

    def default_of(self, key: str) -> Any:
        """What a dotted key is without any override, in the first option that has it; None for one that none has."""
        for keys in (self.defaults, *self.groups.get(key.split(".")[0], {}).values()):
            if key in keys:
                return keys[key]
        return None

    @functools.cached_property
    def names(self) -> list[str]:
        """Keys and groups, those first that there always are."""
        return sorted(self.keys | set(self.groups), key=lambda name: (name not in self.defaults, name))


@functools.cache
def read_conf(conf: Path) -> Conf:
    """Reads the yaml files only; Hydra's own group is left out."""
    top = _yaml(conf / "config.yaml")
    chosen = {
        group: option for entry in top.pop("defaults") if isinstance(entry, dict) for group, option in entry.items()
    }
    top.pop("hydra", None)
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    experiments: dict[str, dict[str, str]] = {}
    for path in sorted(conf.glob("*/*.yaml")):
        group, content = path.parent.name, _yaml(path)
        if group == "experiment":  # overrides other keys, and adds none
            replaced = [entry for entry in content.get("defaults", []) if isinstance(entry, dict)]
            experiments[path.stem] = {
                key.removeprefix("override /"): option for entry in replaced for key, option in entry.items()
            }
            content = {}
        groups.setdefault(group, {})[path.stem] = flatten(content, f"{group}.")
    return Conf(flatten(top), groups, chosen, experiments)


def _yaml(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}


def check_overrides(words: Iterable[str], conf: Path, multirun: bool = True) -> None:
    """Refuse names that do not exist, with the one that was meant, and keys that a chosen option of a group lacks.

    Left to Hydra: its own keys, `+key` (a new key, on purpose) and `~key`; but our own networks take no new ones.
    Raises SettingsError.
    """
    known, words = read_conf(conf), list(words)
    typed = [_split(word) for word in words if not word.startswith(("+", "~", "hydra"))]
    if not any(key == "model._target_" or (key == "model" and "own" in values) for _, key, values in typed):
        typed += [
            _split(word.lstrip("+")) for word in words if word.startswith("+") and word.lstrip("+").startswith("model.")
        ]
    for word, key, values in typed:
        if key == "loss.kl_weight" and (decimal := re.search(r"=0,(\d+)$", word)):
            raise SettingsError(
                f"{word}: two weights, of which 0 is none; one of them, with a point, is 0.{decimal[1]}"
            )
        if len(values) > 1 and not multirun:
            raise SettingsError(f"{word}: several values are a sweep, which needs -m")
        if key in known.groups:
            for value in values:
                _check_option(key, value, known)
        elif key not in known.keys:
            if not key.startswith(_FREE):
                raise SettingsError(_unknown(key, typed, known))
        elif key not in known.defaults and any(name.startswith(f"{key}.") for name in known.keys):
            for value in values:
                if not value.startswith("{"):  # a dictionary is Hydra's to merge
                    raise SettingsError(_section(key, value, known))
    chosen = _chosen(typed, known)
    for word, key, _ in typed:
        _check_belongs(word, key, chosen, known)


def values_of(word: str) -> list[Any]:
    """ "a=1,2" -> [1, 2], "a=range(3)" -> [0, 1, 2]. Raises SettingsError for what lists no values."""
    override = _parsed(word)
    if not override.is_sweep_override():
        return [getattr(override.value(), "text", override.value())]  # a text in quotes
    if not (override.is_choice_sweep() or override.is_range_sweep()):
        raise SettingsError(f"{word}: expected values, such as {override.key_or_group}=1,2")
    return [getattr(value, "text", value) for value in override.sweep_iterator()]


def _parsed(word: str) -> "Override":
    """By Hydra's own grammar. Raises SettingsError for what it cannot read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if "=" not in word:
        raise SettingsError(f"{word!r}: expected key=value, such as loss.kl_weight=0.1")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        why = str(error).splitlines()[0]
        key, _, value = word.partition("=")
        typed = f"{key}={quoted(value)}"
        typed = shlex.quote(typed) if set(typed) & set('"$`!\\') else f'"{typed}"'  # for a shell
        raise SettingsError(f"{word}: cannot be read ({why}); if it is a text: {typed}") from None


def _split(word: str) -> tuple[str, str, list[str]]:
    """ "a=1,2" -> ("a=1,2", "a", ["1", "2"]). Raises SettingsError for what cannot be read."""
    override = _parsed(word)
    key = override.key_or_group
    if override.is_choice_sweep():
        return word, key, [str(value).strip("'\"") for value in override.sweep_string_iterator()]
    if override.is_sweep_override():  # a range or a glob
        return word, key, []
    return word, key, [word.partition("=")[2].strip("'\"")]


def _check_option(group: str, option: str, known: Conf) -> None:
    options = known.groups[group]
    if option in options:
        return
    if group == "data" and ("/" in option or Path(option).exists()):
        from vae_sweep.data.shards import loader_of

        key = " ".join(loader_of(Path(option).expanduser()))
        raise SettingsError(f"data={option}: no such data; files of your own are data={key}={option}")
    if group == "model" and (target := meant(option, CHECKS["objective"])):
        raise SettingsError(f"model={option}: no such model; did you mean 'objective={target}'?")
    raise SettingsError(f"{group}={option}: no such {group}{_nearest(option, sorted(options))}")


def _unknown(key: str, typed: Sequence[tuple[str, str, list[str]]], known: Conf) -> str:
    section = key.split(".")[0]
    if section == "model" and any(name == "model._target_" for _, name, _ in typed):
        return f"unknown key {key!r}: a parameter of your own network is added with a plus, +{key}=..."
    return f"unknown key {key!r}{_other_word(key, known) or _nearest(key, known.names)}"


def _other_word(key: str, known: Conf) -> str:
    last = key.lstrip("-").rsplit(".", 1)[-1].lower().replace("-", "_")
    for name, words in OTHER_WORDS.items():
        if last in words.split() and (name in known.keys or name in known.groups):
            return f"; did you mean {name!r}?"
    return ""


def _section(key: str, value: str, known: Conf) -> str:
    """loss=mse: the setting of that section which may have this value, else all of them."""
    inside = sorted(name for name in known.keys if name.startswith(f"{key}.") and name in CHECKS)
    for name in inside:
        if found := meant(value, CHECKS[name]):
            return f"{key}={value}: {key} is a section of settings; did you mean '{name}={found}'?"
    return f"{key}={value}: {key} is a section of settings; there are {', '.join(inside)}"


def _chosen(typed: Sequence[tuple[str, str, list[str]]], known: Conf) -> dict[str, list[str]]:
    """The options of every group that this command composes with."""
    chosen = {group: [option] for group, option in known.chosen.items()}
    values = {key: found for _, key, found in typed}
    for group in known.groups:
        told = [known.experiments.get(name, {}).get(group) for name in values.get("experiment", [])]
        if any(told):
            chosen[group] = [option or chosen[group][0] for option in told]
    return chosen | {key: found for key, found in values.items() if key in known.groups}


def _check_belongs(word: str, key: str, chosen: Mapping[str, Sequence[str]], known: Conf) -> None:
    """A key of a group must be one of every option that is chosen."""
    group = key.split(".")[0]
    if group not in known.groups or key == group or key.endswith("._target_"):
        return
    for option in chosen.get(group, []):
        keys = known.groups[group].get(option)
        if keys is not None and key not in keys:
            last = key.partition(".")[2]
            others = [name for name, found in known.groups[group].items() if key in found]
            its = ", ".join(name.partition(".")[2] for name in keys if not name.endswith("_target_")) or "no settings"
            raise SettingsError(
                f"{word}: {group}={option} has no {last!r}, it has {its}; {last!r} belongs to {', '.join(others)}"
            )


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    last = word.rsplit(".", 1)[-1]
    guesses = [key for key in known if key.rsplit(".", 1)[-1] == last]
    guesses = guesses or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not guesses:
        lasts = {key.rsplit(".", 1)[-1]: key for key in known}
        guesses = [lasts[name] for name in difflib.get_close_matches(last, lasts, n=1, cutoff=0.7)]
    if guesses:
        return f"; did you mean {guesses[0]!r}?"
    return f"; there are {', '.join(known)}" if len(known) < 20 else "; --help lists what there is"
