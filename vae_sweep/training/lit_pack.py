"""A pack: members that differ only in numbers, trained together with the numbers of separate runs.

The parameters of all members lie in stacked tensors (N, ...), of which each member's own parameters are slices. The
forward pass runs once for all by `torch.func.vmap`; one backward pass of the summed losses leaves every member the
gradient it would have had alone, since no loss depends on another's slice. What follows, clipping, learning rate,
Adam, controllers, is each member's own code on its own slices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vae_sweep.models.objective import Terms, Weight
from vae_sweep.training.lit_steps import LitSteps
from vae_sweep.training.lit_vae import Diverged, LitVAE
from vae_sweep.training.running_means import RunningMeans


class LitPack(LitSteps):
    """Trains `members` in lockstep. A member that diverges is frozen, its error kept in `failed` by its index.

    A batch is (B, C, H, W) for all members, or (N, B, C, H, W). The members' networks have one architecture, their
    objectives one form, their steps stand at the same number.
    """

    def __init__(self, members: Sequence[LitVAE]):
        super().__init__()
        self.lit_members = nn.ModuleList(members)
        self.failed: dict[int, Diverged] = {}
        self.means = RunningMeans()
        self.val_means = RunningMeans()
        self._parameters_of_all: dict[str, Tensor] = {}
        self._buffers_of_all: dict[str, Tensor] = {}
        self._averages_of_all: dict[str, Tensor] = {}

    @property
    def members(self) -> list[LitVAE]:
        return list(self.lit_members)  # type: ignore[arg-type]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Stacks the parameters (they are on their device by now) and gives every member its Adam."""
        objectives = [member.objective for member in self.members]
        self._parameters_of_all = _stack([dict(objective.named_parameters()) for objective in objectives])
        self._buffers_of_all = _stack([dict(objective.named_buffers()) for objective in objectives])
        for stacked in self._parameters_of_all.values():
            stacked.requires_grad_(True)
        return [member.configure_optimizers() for member in self.members]

    # ---- training

    def train_on(self, batch: Tensor) -> None:
        members = self.members
        x, in_dim = self._inputs(batch)
        of_member = x if in_dim == 0 else [x] * len(members)
        noises = [member.noise(images) for member, images in zip(members, of_member, strict=True)]
        weight_noises = [member.weight_noise(images) for member, images in zip(members, of_member, strict=True)]
        kl_weights = [member.weights_for(images) for member, images in zip(members, of_member, strict=True)]
        for member in members:
            member.objective.divergence.advance(member.step)
        losses, terms = self._objectives(x, in_dim, noises, kl_weights, weight_noises)
        self.manual_backward(losses.sum())
        for index, member in enumerate(members):
            if index not in self.failed:
                for name, parameter in member.objective.named_parameters():
                    gradient = self._parameters_of_all[name].grad
                    parameter.grad = None if gradient is None else gradient[index]
                member.update()
                member.kl_schedule.update({name: term[index] for name, term in terms.items()})
        for stacked in self._parameters_of_all.values():
            stacked.grad = None
        members[0].objective.observe({name: term.detach() for name, term in terms.items()}, self._buffers_of_all)
        self.means.add(losses, terms, x[0, 0].numel() if in_dim == 0 else x[0].numel())
        self._count(len(terms["sse"][0]))

    def _inputs(self, batch: Tensor) -> tuple[Tensor, int | None]:
        """Images, and their vmap axis: None where all members see the same."""
        members = self.members
        if batch.dim() == 4 and not members[0].binarize:
            return batch, None
        of_member = batch if batch.dim() == 5 else [batch] * len(members)
        return torch.stack([member.draw(images) for member, images in zip(members, of_member, strict=True)]), 0

    def _objectives(
        self,
        x: Tensor,
        in_dim: int | None,
        noises: Sequence[Tensor | None],
        kl_weights: Sequence[Weight],
        weight_noises: Sequence[Tensor | None],
        judged: bool = False,
    ) -> tuple[Tensor, Terms]:
        """Losses (N,) and terms (N, B) of all members. judged: at their averaged weights, where they have them."""
        template, state = self.members[0].objective, self._parameters_of_all | self._buffers_of_all
        if judged:
            state |= self._averages_of_all

        def objective(state, *inputs):  # type: ignore[no-untyped-def]
            return functional_call(template, state, inputs)

        inputs = (x, _stacked(noises), _numbers(kl_weights, x), _stacked(weight_noises))
        in_dims = (0, in_dim, *(None if tensor is None else 0 for tensor in inputs[1:]))
        return vmap(objective, in_dims=in_dims)(state, *inputs)

    def _count(self, images: int) -> None:
        """One step is done; write rows where they are due, and freeze who diverged."""
        alive = [index for index in range(len(self.members)) if index not in self.failed]
        for index in alive:
            self.members[index].step += 1
            self.members[index].seen += images
            self.members[index].leave_best()
        if alive and self.members[alive[0]].row_due:
            rows = self.means.take_all()
            for index in alive:
                try:
                    self.members[index].write_train_row(rows[index])
                except Diverged as error:
                    self.failed[index] = error
        if len(self.failed) == len(self.members):
            self.trainer.should_stop = True

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        self.val_means.take_all()
        averages = [member.average.tensors() for member in self.members if member.average is not None]
        names = averages[0] if averages else ()  # all members have one, or none
        self._averages_of_all = {name: torch.stack([of_member[name] for of_member in averages]) for name in names}

    def validation_step(self, x: Tensor, batch_idx: int) -> None:
        members = self.members
        drawn, noise = members[0].validation_inputs(x, batch_idx)
        kl_weights = [member.settled_weight for member in members]
        nothing = [None] * len(members)
        losses, terms = self._objectives(drawn, None, [noise] * len(members), kl_weights, nothing, judged=True)
        self.val_means.add(losses, terms, x[0].numel())

    def on_validation_epoch_end(self) -> None:
        for index, (member, means) in enumerate(zip(self.members, self.val_means.take_all(), strict=True)):
            if index not in self.failed:
                member.write_val_row(means, self.val_means.pixels)

    # ---- state, for the checkpoints of the members

    def share_means(self) -> None:
        """Hand the running means out to the members, whose checkpoints hold them."""
        for member, state in zip(self.members, self.means.states(len(self.members)), strict=True):
            member.means.restore(state)

    def gather_means(self) -> None:
        """Take the running means of members that were restored from their checkpoints."""
        self.means.restore_all([member.means.state() for member in self.members])


def _numbers(numbers: Sequence[Weight], like: Tensor) -> Tensor:
    """(N,), or (N, B), of the type and on the device of `like`, in one copy that nobody waits for."""
    if isinstance(numbers[0], Tensor):  # a controller's, on the device already
        return torch.stack(numbers).to(like.dtype)  # type: ignore[arg-type]
    return torch.tensor(numbers, dtype=like.dtype).to(like.device, non_blocking=True)


def _stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    return None if tensors[0] is None else torch.stack(tensors)  # type: ignore[arg-type]


def _stack(of_members: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stacked tensors by name; the members' own tensors become slices of them."""
    stacked = {}
    for name in of_members[0]:
        together = torch.stack([tensors[name].detach() for tensors in of_members])
        for index, tensors in enumerate(of_members):
            tensors[name].data = together[index]
        stacked[name] = together
    return stacked
