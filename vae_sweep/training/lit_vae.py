"""One member as a LightningModule: the two terms apart, the KL weight in force, rows of metrics.

Everything it does is a function of its step and of explicit state that its checkpoint holds, so that a continued run
gives the numbers of an uninterrupted one, bit for bit.
"""

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor, nn

from vae_sweep.data.batches import binarized, generator
from vae_sweep.data.split import EVALUATION_SEED
from vae_sweep.models.objective import Objective, Terms, Weight
from vae_sweep.schedules.learning_rate import length_at_rest, multiplier
from vae_sweep.schedules.weight import WeightInForce, in_force, is_at_target
from vae_sweep.training.averaging import Average
from vae_sweep.training.lit_steps import LitSteps
from vae_sweep.training.running_means import RunningMeans


class Diverged(ArithmeticError):
    """The loss of a member is not finite."""

    cause_of_failure = "diverged"


class RowLogger(Protocol):
    """What Lightning's loggers offer, and ours."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...


class Best(TypedDict):
    """val: the row of the validation after `step`; state_dict: weights and buffers of then, on the CPU."""

    step: int
    val: dict[str, float]
    state_dict: dict[str, Tensor]


@dataclass(frozen=True)
class OptimizerSettings:
    """make: the class of the optimiser; options: its own. grad_clip: largest norm of the gradient.

    weight_decay: of Adam apart from the gradient, as AdamW (Loshchilov & Hutter 2019); of others as they have it.

    lr_schedule: see schedules/learning_rate.py.
    """

    lr: float = 1e-3
    lr_schedule: str = "cosine"
    grad_clip: float | None = None
    weight_decay: float = 0.0
    make: type[torch.optim.Optimizer] = torch.optim.Adam
    options: Mapping[str, Any] = field(default_factory=dict)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Raises ValueError for a weight decay that it does not have."""
        taken = inspect.signature(self.make).parameters
        options: dict[str, Any] = {"lr": self.lr, **self.options}
        if "weight_decay" in taken:
            options["weight_decay"] = self.weight_decay
        elif self.weight_decay:
            raise ValueError(f"optimizer.weight_decay={self.weight_decay}: {self.make.__name__} has none")
        if self.make is torch.optim.Adam:
            options["decoupled_weight_decay"] = True
        if "fused" in taken and self.make.__module__.startswith("torch.optim"):
            options["fused"] = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
        return self.make(parameters, **options)

    def lr_at(self, step: int, total_steps: int) -> float:
        return self.lr * multiplier(self.lr_schedule, step, total_steps)


class LitVAE(LitSteps):
    """Trains `objective` at `kl_weight` times `kl_schedule(step)`, or at the weight of a controller.

    kl_schedule: a function step -> multiplier in [0, 1], which ends at 1; or a controller, a weight in force
    (schedules/weight.py). Writes rows `train/` and `val/` of recon, kl, loss, sse, mse, psnr (means over images,
    unweighted, kl in nats) with the `kl_weight` in force to `row_loggers`, or else to the Trainer's loggers. A
    multi-rate model trains on all weights of its range at once; its rows `train/` are means over them.
    images: size of the training split, for the epoch in the rows. until_rest: total_steps is a limit; somebody calls
    `ends_at_rest` before. keep_best: the weights of the lowest `val/loss` are kept in `best`, of the validations since
    the KL weight has come to its target for good. ema: decay of an average of the weights, at which rows `val/` then
    are; 0: there is none. Raises ValueError if the best is asked for of an objective that changes throughout.
    """

    def __init__(
        self,
        objective: Objective,
        kl_weight: float = 1.0,
        kl_schedule: Callable[[int], float] | WeightInForce = lambda step: 1.0,
        optimizer: OptimizerSettings = OptimizerSettings(),
        total_steps: int = 1000,
        seed: int = 0,
        images: int | None = None,
        binarize: bool = False,
        log_every_n_steps: int = 10,
        row_loggers: Sequence[RowLogger] | None = None,
        until_rest: bool = False,
        keep_best: bool = False,
        ema: float = 0,
    ):
        super().__init__()
        self.objective = objective
        # Under this name a controller, a module with buffers, lies in the checkpoints.
        self.kl_schedule = in_force(kl_weight, kl_schedule, total_steps)
        self.optimizer_settings = optimizer
        self.total_steps = total_steps
        self.rest: int | None = None  # the step at which it was found at rest, where it ends by that
        self.seed = seed
        self.images = images
        self.binarize = binarize
        self.log_every_n_steps = log_every_n_steps
        self.row_loggers = row_loggers
        self.until_rest = until_rest
        self.keep_best = keep_best
        if keep_best and not self._one_objective:
            raise ValueError("trainer.keep=best: the objective changes throughout the run; expected last")
        self.best: Best | None = None
        self.average = Average(objective, ema) if ema else None
        self._optimizer: torch.optim.Optimizer | None = None
        self.optimizer_state: dict[str, Any] | None = None  # of a checkpoint, for when it is made
        self.step = 0
        self.seen = 0  # images since the beginning
        self.means = RunningMeans()
        self.val_means = RunningMeans()
        self.last_val: dict[str, float] = {}
        self.train_mse = math.nan  # of the last row

    # ---- training

    def train_on(self, batch: Tensor) -> None:
        x = self.draw(batch)
        self.objective.divergence.advance(self.step)
        loss, terms = self.objective(x, self.noise(x), self.weights_for(x), self.weight_noise(x))
        self.manual_backward(loss)
        self.update()
        loss, terms = self._of_all_processes(loss.detach(), {name: term.detach() for name, term in terms.items()})
        self.kl_schedule.update(terms)
        self.objective.observe(terms)
        self.means.add(loss, terms, x[0].numel())
        self.count(len(terms["sse"]))

    def draw(self, x: Tensor) -> Tensor:
        """x (B, C, H, W), or x' ~ Bernoulli(x) where the data are binarised dynamically."""
        return binarized(x, generator(x.device, "binarize", self.seed, self.step)) if self.binarize else x

    def noise(self, x: Tensor) -> Tensor | None:
        """Standard normal (B, d) of this step; None for an autoencoder.

        Drawn for the whole batch and then shared out, so that it does not depend on the number of processes.
        """
        if self.objective.deterministic:
            return None
        rank, world = self.world
        shape = (x.shape[0] * world, self.objective.vae.latent_dim)
        randomness = generator(x.device, "noise", self.seed, self.step)
        return torch.randn(shape, generator=randomness, device=x.device, dtype=x.dtype)[rank::world]

    def weight_noise(self, x: Tensor) -> Tensor | None:
        """Standard normal (noise_dim,) for Bayesian weights, one draw for all processes; None for ordinary ones."""
        if self.objective.weight_kl_weight is None:
            return None
        randomness = generator(x.device, "weights", self.seed, self.step)
        return torch.randn(self.objective.vae.noise_dim, generator=randomness, device=x.device, dtype=x.dtype)

    def weights_for(self, x: Tensor) -> Weight:
        """The KL weight in force for images x: of a multi-rate model (B,), drawn anew at every step."""
        if not self.objective.multi_rate:
            return self.kl_schedule.at(self.step)
        rank, world = self.world
        randomness = generator(x.device, "kl weights", self.seed, self.step)
        uniform = torch.rand(x.shape[0] * world, generator=randomness, device=x.device, dtype=x.dtype)
        return self.objective.vae.draw(uniform)[rank::world]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self._optimizer = self.optimizer_settings.optimizer(parameters)
        if self.optimizer_state is not None:
            self._optimizer.load_state_dict(self.optimizer_state)
        if self.average is not None:
            self.average.follow(self.objective)
        return self._optimizer

    def update(self) -> None:
        """One step of the optimiser with the gradients at hand."""
        assert self._optimizer is not None, "configure_optimizers comes first"
        settings = self.optimizer_settings
        if settings.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters(), settings.grad_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.lr_at(self.step, self.total_steps)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.step)

    def _of_all_processes(self, loss: Tensor, terms: Terms) -> tuple[Tensor, Terms]:
        """Mean loss (), and terms of the images of all processes."""
        if self.world[1] == 1:
            return loss, terms
        gathered = self.all_gather(terms)
        return self.all_gather(loss).mean(), {name: term.flatten() for name, term in gathered.items()}  # type: ignore[union-attr]

    def count(self, images: int) -> None:
        """One step is done; write a row where one is due. Raises Diverged if its loss is not finite."""
        self.step += 1
        self.seen += images
        self.leave_best()
        if self.row_due:
            self.write_train_row(self.means.take())

    def leave_best(self) -> None:
        """Once the KL weight has left its target again, what was best at it is not what the run ends as."""
        if self.best is not None and not is_at_target(self.kl_schedule, self.step):
            self.best = None

    @property
    def row_due(self) -> bool:
        return self.step % self.log_every_n_steps == 0 or self.step == self.total_steps

    @property
    def world(self) -> tuple[int, int]:
        """(rank, processes)"""
        return (self.global_rank, self.trainer.world_size) if self._trainer is not None else (0, 1)

    def ends_at_rest(self) -> None:
        """From this step on the learning rate falls, as long as it would in a run that had known its length."""
        self.rest = self.step
        self.total_steps = min(self.total_steps, length_at_rest(self.optimizer_settings.lr_schedule, self.step))
        if self._optimizer is not None:
            self.optimizer_state = self._optimizer.state_dict()  # for the loop that goes on

    # ---- validation: at the target weight and the averaged weights, with the same noise for every run

    def on_validation_epoch_start(self) -> None:
        self.val_means.take()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        x, noise = self.validation_inputs(batch, batch_idx)
        with self.as_judged():
            loss, terms = self.objective(x, noise, self.settled_weight)
        self.val_means.add(loss, terms, x[0].numel())

    def as_judged(self) -> AbstractContextManager[None]:
        """The objective at the weights that are validated and kept: their average, where there is one."""
        return nullcontext() if self.average is None else self.average.in_force()

    def validation_inputs(self, x: Tensor, batch_idx: int) -> tuple[Tensor, Tensor | None]:
        """(images, noise) of a batch of the validation split: the same for every run."""
        if self.binarize:
            x = binarized(x, generator(x.device, "binarize", EVALUATION_SEED, batch_idx))
        if self.objective.deterministic:
            return x, None
        randomness = generator(x.device, "noise", EVALUATION_SEED, batch_idx)
        shape = (x.shape[0], self.objective.vae.latent_dim)
        return x, torch.randn(shape, generator=randomness, device=x.device, dtype=x.dtype)

    @property
    def settled_weight(self) -> Weight:
        """The target weight; a controller has none, so the one in force. Bayesian weights stand at their means."""
        target = self.kl_schedule.target
        return self.kl_schedule.at(self.step) if target is None else target

    def on_validation_epoch_end(self) -> None:
        self.write_val_row(self.val_means.take(), self.val_means.pixels)
        self.log_dict(self.last_val, logger=False)  # for callbacks that watch a metric

    # ---- rows

    def _negative_elbo(self, means: dict[str, float], pixels: int) -> float:
        """In nats: squared errors at the pixel noise of the last training row, before one at the noise that fits."""
        if self.objective.likelihood.is_nll:
            return means["recon"] + means["kl"]
        noise = max(self.train_mse if self.train_mse > 0 else means["mse"], sys.float_info.min)
        return 0.5 * (means["sse"] / noise + pixels * math.log(2 * math.pi * noise)) + means["kl"]

    def write_train_row(self, means: dict[str, float]) -> None:
        self.train_mse = means["mse"]
        self._write({f"train/{name}": value for name, value in means.items()})
        if not math.isfinite(means["loss"]):
            raise Diverged(f"train/loss is {means['loss']} at step {self.step}")

    def write_val_row(self, means: dict[str, float], pixels: int) -> None:
        """means: over images of `pixels` values."""
        # Without one objective for the whole run, losses of two steps are compared by what they all bound.
        if not self._one_objective:
            means = means | {"loss": self._negative_elbo(means, pixels)}
        self.last_val = {f"val/{name}": value for name, value in means.items()}
        self._write(self.last_val)
        if self.keep_best and is_at_target(self.kl_schedule, self.step):
            self._compare()

    @property
    def _one_objective(self) -> bool:
        return self.kl_schedule.target is not None and self.objective.divergence.traits.steady

    def _compare(self) -> None:
        """Keep these weights if they are better than any before; of equals the first."""
        loss = self.last_val["val/loss"]
        if math.isfinite(loss) and (self.best is None or loss < self.best["val"]["val/loss"]):
            weights = {name: value.detach().to("cpu", copy=True) for name, value in self.state_dict().items()}
            self.best = {"step": self.step, "val": self.last_val, "state_dict": weights}

    def _write(self, means: dict[str, float]) -> None:
        row: dict[str, float] = {}
        if self.images:
            row["epoch"] = self.seen / self.images
        trained_on_many = self.objective.multi_rate and "train/loss" in means
        if not self.objective.deterministic and not trained_on_many:
            row["kl_weight"] = float(self.kl_schedule.at(self.step))
        for logger in self.loggers if self.row_loggers is None else self.row_loggers:
            logger.log_metrics(row | means, self.step)

    # ---- state, for a checkpoint

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on and that neither the config nor the step number tells.

        Weights and buffers (with the running sigma, a controller's and the averaged weights), the optimiser's moments,
        steps and images seen, the sums behind the next row, the last validation and the last training error, its
        length, where it has found that itself, and its best validation with the weights of then, where they are kept.
        Random numbers are functions of (seed, step), a schedule and the order of the images too: none of them has a
        state.
        """
        assert self._optimizer is not None, "configure_optimizers comes first"
        return {
            "state_dict": self.state_dict(),
            "optimizer_states": [self._optimizer.state_dict()],
            "progress": {
                "step": self.step,
                "seen": self.seen,
                "means": self.means.state(),
                "last_val": self.last_val,
                "train_mse": self.train_mse,
                "total_steps": self.total_steps,
                "rest": self.rest,
            },
            **({"best": self.best} if self.keep_best else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` stands; the optimiser takes over its state when it is made."""
        self.restore_weights(state)
        self.optimizer_state = state["optimizer_states"][0]
        progress = state["progress"]
        self.step, self.seen = progress["step"], progress["seen"]
        if self.until_rest and progress.get("rest") is not None:
            self.total_steps, self.rest = progress["total_steps"], progress["rest"]
        self.last_val, self.train_mse = progress["last_val"], progress["train_mse"]
        self.means.restore(progress["means"])
        self.best = state.get("best") if self.keep_best else None

    def take_kept(self) -> int:
        """Have the weights that the member is judged by, when training is over. Returns the step that they are of."""
        if self.best is not None:
            self.load_state_dict(self.best["state_dict"])
        if self.average is not None:
            self.average.take_over(self.objective)
        return self.step if self.best is None else self.best["step"]

    def restore_weights(self, state: Mapping[str, Any]) -> None:
        """Weights and buffers alone, in the precision that they were trained in."""
        if any(tensor.dtype == torch.float64 for tensor in state["state_dict"].values()):
            self.double()
        self.load_state_dict(state["state_dict"])
