"""Every bad setting is refused by its name, before anything is trained or written."""

from pathlib import Path

import pytest

from vae_sweep.runs.nested import flatten
from vae_sweep.sweep.overrides import check_overrides
from vae_sweep.sweep.settings import CHECKS, SettingsError, check_member, check_members

CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.kl_weight=-1", "loss.kl_weight=-1: expected a number >= 0"),
        ("loss.kl_weight=abc", "loss.kl_weight=abc: expected a number"),
        ("loss.kl_weight=inf", "loss.kl_weight=inf: expected a number"),
        ("loss.kl_weight=0", "objective=autoencoder is that run"),
        ("loss.recon=mse", "loss.recon=mse: expected one of sse"),
        ("objective=autoencoders", "did you mean 'autoencoder'"),
        ("model.latent_dim=0", "model.latent_dim=0: expected one of auto or a whole number >= 1"),
        ("model.latent_dim=2.5", "model.latent_dim=2.5: expected one of auto or a whole number"),
        ("model.posterior=diag", "model.posterior=diag: expected one of diagonal"),
        ("data.batch_size=0", "data.batch_size=0"),
        ("data.val_fraction=1", "data.val_fraction=1"),
        ("optimizer.lr=0", "optimizer.lr=0: expected a number > 0"),
        ("optimizer.grad_clip=-1", "or null"),
        ("trainer.max_epochs=-3", "trainer.max_epochs=-3"),
        ("trainer.max_steps=1.5", "trainer.max_steps=1.5"),
        ("trainer.precision=fp8", "trainer.precision=fp8"),
        ("trainer.devices=3", "data.batch_size=16: not divisible by trainer.devices=3"),
        ("launcher.pack=-1", "launcher.pack=-1: expected one of auto, off"),
        ("seed=-1", "seed=-1"),
        ("sweep=a/b", "sweep=a/b: expected a name without slashes"),
        ("retry=all", "retry=all"),
        ("trainer.evaluate=perhaps", "trainer.evaluate=perhaps: expected true or false"),
    ],
)
def test_value_out_of_range_is_named(compose, override: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        check_member(compose(override))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_defaults_pass_and_off_is_a_word(compose) -> None:
    check_member(compose())
    check_member(compose("launcher.pack=off"))
    check_member(compose("launcher.pack=4", "trainer.precision=64", "sweep=7"))


def test_member_is_named_among_several(compose) -> None:
    with pytest.raises(SettingsError, match=r"loss.kl_weight=-1.*\(member 2 of 3\)"):
        check_members([compose(), compose("loss.kl_weight=-1"), compose()])


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("loss.kl_wieght=1", "loss.kl_weight"),
        ("los.kl_weight=1", "loss.kl_weight"),
        ("kl_weight=1", "loss.kl_weight"),
        ("latent_dim=3", "model.latent_dim"),
        ("model=cnv", "conv"),
        ("data=painting", "paintings"),
        ("kl_schedule=linaer", "linear"),
        ("trainer.max_epoch=3", "trainer.max_epochs"),
    ],
)
def test_unknown_key_is_answered_with_the_nearest(override: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=nearest):
        check_overrides([override], CONF)


def test_known_keys_groups_and_hydras_own_pass() -> None:
    fine = [
        "loss.kl_weight=1,0.5",
        "model=conv,mlp",
        "hydra.verbose=true",
        "+new=1",
        "~seed",
        "model.latent_dim=range(1,9)",
    ]
    check_overrides([*fine, "hydra/launcher=basic", "model._target_=my.Net", "data=paintings"], CONF)


def test_every_check_belongs_to_a_key(compose) -> None:
    models = ("conv", "resnet", "mlp", "linear", "own")
    steered = (["kl_schedule=geco", "kl_schedule.goal=1"], ["kl_schedule=control_vae", "kl_schedule.target=1"])
    composed = [*([f"model={model}"] for model in models), *steered, ["model=own", "model._target_=a.B"]]
    composed += [["optimizer=rmsprop"], ["optimizer=sgd"], ["kl_schedule=cyclical"]]
    keys = {key for overrides in composed for key in flatten(compose(*overrides))}
    assert set(CHECKS) <= keys
