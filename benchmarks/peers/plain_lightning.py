"""A LightningModule as people write it: ImageFolder, two loader workers, Resize every epoch, self.log every step."""

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from benchmarks.peers.task import Task, usual_transform
from vae_sweep.models.networks import VAE

Batch = tuple[Tensor, Tensor]


class PlainVAE(pl.LightningModule):
    def __init__(self, vae: VAE, kl_weight: float, lr: float, epochs: int):
        super().__init__()
        self.vae = vae
        self.kl_weight = kl_weight
        self.lr = lr
        self.epochs = epochs

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._loss(batch, "val")

    def _loss(self, batch: Batch, split: str) -> Tensor:
        x, _ = batch
        out, posterior, _ = self.vae(x, torch.randn(len(x), self.vae.latent_dim))
        recon = (out - x).square().flatten(1).sum(1).mean()
        kl = posterior.kl().mean()
        loss = recon + self.kl_weight * kl
        self.log_dict({f"{split}/loss": loss, f"{split}/recon": recon, f"{split}/kl": kl}, batch_size=len(x))
        return loss

    def configure_optimizers(self) -> tuple[list, list]:
        adam = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [adam], [torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.epochs)]


def loaders(task: Task) -> list[DataLoader]:
    """Of the training and the validation files."""
    folder = ImageFolder(task.root, transform=usual_transform(task.image_size))
    place = {path: index for index, (path, _) in enumerate(folder.samples)}
    return [
        DataLoader(
            Subset(folder, [place[f"{task.root}/{name}"] for name in names]),
            task.batch_size,
            shuffle=names is task.train,
            num_workers=2,
            persistent_workers=True,
        )
        for names in (task.train, task.val)
    ]


def main() -> None:
    task = Task.from_command_line()
    train, val = loaders(task)
    for kl_weight in task.kl_weights:
        module = PlainVAE(task.network(), kl_weight, task.lr, task.epochs)
        trainer = pl.Trainer(
            max_epochs=task.epochs,
            accelerator="cpu",
            precision="bf16-mixed" if task.bf16 else "32-true",
            default_root_dir=task.out,
            enable_progress_bar=False,
        )
        trainer.fit(module, train, val)
        task.save(kl_weight, module.vae)


if __name__ == "__main__":
    main()
