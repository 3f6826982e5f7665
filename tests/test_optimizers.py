"""Optimisers by name and by dotted path: continued bit for bit, in packs as alone."""

import pytest
import torch
from marks import slow
from test_train import equal, rows, trained_apart_and_together, weights

from vae_sweep.runs.members import member_id
from vae_sweep.runs.reading import load_sweep
from vae_sweep.training.build import optimizer_settings
from vae_sweep.training.train import train_pack

NETWORK = ["model.channels=2", "model.latent_grid=1", "model.linear_path=false", "trainer.max_steps=12"]
KINDS = {
    "adam": [],
    "adamw": ["optimizer=adamw"],
    "rmsprop": ["optimizer=rmsprop", "optimizer.centered=true"],
    "sgd": ["optimizer=sgd", "optimizer.nesterov=true", "optimizer.lr=1e-4"],
    "another of torch": ["optimizer._target_=torch.optim.NAdam"],
    "one of somebody's": ["optimizer._target_=test_optimizers.Signs", "+optimizer.memory=0.8"],
}


class Signs(torch.optim.Optimizer):
    """Steps along the sign of a running mean of gradients. It has no weight decay."""

    def __init__(self, params, lr=1e-3, memory=0.9):
        super().__init__(params, {"lr": lr, "memory": memory})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1 - group["memory"])
                parameter.add_(mean.sign(), alpha=-group["lr"])


@pytest.mark.parametrize("kind", ["rmsprop", "one of somebody's", *slow("adam", "adamw", "sgd", "another of torch")])
def test_a_continued_run_is_the_uninterrupted_one_bit_for_bit(small_sweep, kind):
    whole, ids = small_sweep([*NETWORK, *KINDS[kind]], name="whole")
    train_pack(whole, ids)
    parts, _ = small_sweep([*NETWORK, *KINDS[kind]], name="parts")
    polled = iter(range(1, 1000))
    assert train_pack(parts, ids, should_stop=lambda: next(polled) >= 5)[0]["status"] == "interrupted"
    train_pack(parts, ids)
    one, other = (load_sweep(folder).runs[0].folder for folder in (whole, parts))
    assert rows(one) == rows(other)
    assert equal(weights(one), weights(other))


@pytest.mark.parametrize("kind", ["one of somebody's", *slow("adamw", "rmsprop", "sgd", "another of torch")])
def test_a_pack_has_the_numbers_of_separate_runs(small_sweep, kind):
    common = [*NETWORK, *KINDS[kind], "trainer.precision=64", "trainer.val_every_n_epochs=100"]
    for alone, packed in trained_apart_and_together(small_sweep, common, [["loss.kl_weight=1"], ["seed=1"]]):
        torch.testing.assert_close(weights(packed), weights(alone), rtol=1e-9, atol=1e-9)


def test_the_first_step_is_what_the_optimiser_s_formula_says():
    """Of each from the same gradient: SGD by lr g, RMSprop by lr g / (sqrt(0.01) |g|), AdamW by lr sign(g) + decay."""
    gradient = torch.tensor([3.0, -0.5])
    expected = {
        "SGD": 1 - 0.1 * gradient,
        "RMSprop": 1 - 0.1 * gradient / (0.1 * gradient.abs()),
        "AdamW": 1 - 0.1 * 0.2 - 0.1 * gradient.sign(),
        "Adam": 1 - 0.1 * 0.2 - 0.1 * gradient.sign(),  # its weight decay is AdamW's
    }
    for name, value in expected.items():
        decay = 0.2 if name.startswith("Adam") else 0.0
        settings = optimizer_settings({"_target_": f"torch.optim.{name}", "lr": 0.1, "weight_decay": decay})
        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.grad = gradient.clone()
        settings.optimizer([parameter]).step()
        torch.testing.assert_close(parameter.detach(), value, rtol=1e-4, atol=1e-4)


def test_adam_by_its_name_is_the_member_that_it_has_always_been(compose):
    named = compose("data=arrays", "data.path=x.npy")
    before = {**named, "optimizer": {k: v for k, v in named["optimizer"].items() if k != "_target_"}}
    assert member_id(named, "f") == member_id(before, "f")
    other = compose("data=arrays", "data.path=x.npy", "optimizer=adamw", "optimizer.weight_decay=0")
    assert member_id(other, "f") != member_id(named, "f")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"_target_": "torch.nn.Linear"}, "expected a class made of torch.optim.Optimizer"),
        ({"_target_": "torch.optim.LBFGS"}, "looks at a batch several times"),
        ({"_target_": "torch.optim.SGD", "centred": True}, "optimizer.centred: torch.optim.SGD has no parameter"),
    ],
)
def test_what_cannot_train_is_refused_by_its_key(section, said):
    with pytest.raises(ValueError, match=said):
        optimizer_settings({"lr": 0.1, **section})


def test_a_weight_decay_that_an_optimiser_lacks_is_refused():
    settings = optimizer_settings({"_target_": "test_optimizers.Signs", "lr": 0.1, "weight_decay": 0.1})
    with pytest.raises(ValueError, match=r"optimizer.weight_decay=0.1: Signs has none"):
        settings.optimizer([torch.nn.Parameter(torch.ones(2))])
