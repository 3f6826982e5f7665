"""What every peer is asked to do: train the same network on the same files, once per KL weight.

A peer is a program: `python3 -m benchmarks.peers.NAME TASK.json`. It ends with one file of weights per KL weight, which
`benchmarks.peers.scores` measures for all peers alike.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from vae_sweep.models.networks import VAE, conv

# The network of one code per picture, which other libraries have too, trained on the pictures as they are.
ONE_CODE = (
    "model.latent_grid=1", "model.linear_path=false", "model.latent_dim=128", "data.augment=none",
    "optimizer.lr_schedule=cosine",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """root: folder of images; train, val: names below it. out: folder for weights and whatever the peer leaves.

    settings: of this tool's command alone, with which it trains the network that the others train, or another.
    """

    root: str
    train: list[str]
    val: list[str]
    kl_weights: list[float]
    epochs: int
    batch_size: int
    lr: float
    image_size: int
    latent_dim: int
    channels: int
    seed: int
    bf16: bool
    out: str
    settings: list[str]

    @classmethod
    def from_command_line(cls) -> "Task":
        return cls(**json.loads(Path(sys.argv[1]).read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def network(self) -> VAE:
        """Every peer starts from the same weights."""
        torch.manual_seed(self.seed)
        return conv((3, self.image_size, self.image_size), self.latent_dim, channels=self.channels)

    def save(self, kl_weight: float, vae: VAE) -> None:
        torch.save(vae.state_dict(), self.weights(kl_weight))

    def weights(self, kl_weight: float) -> Path:
        return Path(self.out) / f"{kl_weight:g}.pt"


def usual_transform(image_size: int) -> transforms.Compose:
    return transforms.Compose([transforms.Resize(image_size), transforms.CenterCrop(image_size), transforms.ToTensor()])


class Files(Dataset):
    """Image files as float tensors (C, H, W) in [0, 1], decoded when they are asked for."""

    def __init__(self, root: str, names: Sequence[str], image_size: int):
        self.paths = [Path(root) / name for name in names]
        self.transform = usual_transform(image_size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def decoded_once(root: str, names: Sequence[str], image_size: int, workers: int = 2) -> Tensor:
    """All files in memory: (N, C, H, W) float32."""
    return torch.cat(list(DataLoader(Files(root, names, image_size), batch_size=16, num_workers=workers)))
