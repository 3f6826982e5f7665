"""What a member is known by."""

from vae_sweep.runs.members import config_that_matters, member_id, slug, swept_keys, total_steps


def test_id_depends_on_what_matters_only(compose) -> None:
    base = member_id(compose(), "data")
    assert member_id(compose("logger.wandb=disabled", "launcher.jobs=1", "output_dir=x", "sweep=y"), "data") == base
    assert member_id(compose("data.cache_dir=elsewhere"), "data") == base
    changed = [
        "loss.kl_weight=0.5",
        "seed=1",
        "model=mlp",
        "optimizer.lr=1",
        "trainer.max_epochs=3",
        "data.batch_size=2",
    ]
    ids = {member_id(compose(override), "data") for override in changed}
    assert len(ids) == len(changed)
    assert base not in ids
    assert member_id(compose(), "other data") != base


def test_autoencoders_of_several_weights_are_one_member(compose) -> None:
    grid = [compose(f"objective={o}", f"loss.kl_weight={w}") for o in ("vae", "autoencoder") for w in (1, 0.5, 0.1)]
    assert len({member_id(config, "data") for config in grid}) == 4
    assert swept_keys(grid) == ["objective", "loss.kl_weight"]


def test_slug_names_what_matters(compose) -> None:
    overrides = ["loss.kl_weight=0.5", "model.latent_dim=16", "objective=vae", "logger.wandb=offline"]
    assert slug(overrides, compose(*overrides)) == "kl_weight=0.5,latent_dim=16,vae"
    overrides = ["loss.kl_weight=0.5", "objective=autoencoder"]
    assert slug(overrides, compose(*overrides)) == "autoencoder"
    assert slug(["seed=1"], compose("seed=1")) == "seed=1"
    assert slug([], compose()) == "default"
    hostile = slug(["model._target_=a/b<script>" + "x" * 300], compose())
    assert set(hostile).isdisjoint("/<>")
    assert len(hostile) <= 60


def test_total_steps_counts_images_not_batches(compose) -> None:
    assert total_steps(compose("trainer.max_epochs=3", "data.batch_size=64"), 1000) == 47  # 3000 / 64
    assert total_steps(compose("trainer.max_epochs=3", "trainer.max_steps=5"), 1000) == 5


def test_what_matters_leaves_the_config_untouched(compose) -> None:
    config = compose("objective=autoencoder")
    assert "kl_schedule" not in config_that_matters(config)
    assert "kl_weight" in config["loss"]
