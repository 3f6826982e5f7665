"""Weights to begin with from a file of the user's (`model.init_from`): read without running any code in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vae_sweep.environment import install
from vae_sweep.training.lit_vae import LitVAE

_INSIDE = ("state_dict", "model_state_dict", "model", "weights")  # where others put the weights in a checkpoint


def start_from(network: nn.Module, path: str) -> None:
    """Load the weights of `network` from a .pt, .ckpt or .safetensors file; names may have a prefix, as Lightning's do.

    Raises ValueError, which names the key, for a file that cannot be read safely, or that lacks one of them.
    """
    file = Path(path).expanduser()
    try:
        found = _weights(_read(file))
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        if "Weights only" in said or "Unsupported" in said:
            said = "it holds more than tensors, and running what it holds is not safe; save its state_dict"
        raise ValueError(f"model.init_from={path}: {said or type(error).__name__}") from None
    wanted = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    prefix = _prefix(wanted, found)
    missing = [name for name in wanted if prefix + name not in found]
    if missing:
        raise ValueError(
            f"model.init_from={path}: {len(missing)} of {len(wanted)} weights are not in it, first {missing[0]};"
            f" it has {', '.join(list(found)[:3])} ..."
        )
    for name, value in wanted.items():
        if found[prefix + name].shape != value.shape:
            raise ValueError(
                f"model.init_from={path}: {name} is {tuple(found[prefix + name].shape)} in it,"
                f" {tuple(value.shape)} in the network"
            )
    network.load_state_dict({name: found[prefix + name] for name in wanted})


def network_of(lit: LitVAE) -> nn.Module:
    """The user's own network inside a member."""
    vae = lit.objective.vae
    while isinstance(vae, nn.Module) and isinstance(inside := getattr(vae, "vae", None), nn.Module):
        vae = inside  # out of random weights, or of a model of all weights
    network = getattr(vae, "network", vae)
    return network


def _read(file: Path) -> Any:
    if file.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise ValueError(f"reading it needs safetensors: {install('safetensors')}") from None
        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _weights(content: Any) -> dict[str, Tensor]:
    for name in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            return _weights(content[name])
    found = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not found:
        raise ValueError("there are no weights in it")
    return found


def _prefix(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What stands before the names of the network in the file: "", "vae.", "module." ..."""
    first = next(iter(wanted), "")
    prefixes = ["", *(name[: -len(first)] for name in found if first and name.endswith(f".{first}"))]
    return max(prefixes, key=lambda prefix: sum(prefix + name in found for name in wanted))
