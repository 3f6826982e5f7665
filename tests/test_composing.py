"""Jobs composed by kinds are those that Hydra composes one by one."""

import itertools
import re
from functools import partial

import pytest
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import HydraContext, RunMode
from hydra_plugins.vae_sweep_launcher import compose
from marks import slow
from omegaconf import OmegaConf

from vae_sweep.run import CONF
from vae_sweep.sweep.composing import composed
from vae_sweep.sweep.jobs import job_of

OmegaConf.register_new_resolver("scratch", lambda: "s", replace=True)


@pytest.fixture(scope="module")
def context():
    loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))
    config = loader.load_configuration("config", ["sweep=s"], RunMode.MULTIRUN)
    config.hydra.job.config_name = "config"
    return config, HydraContext(loader, Callbacks())


SWEEPS = {
    "numbers": ["loss.kl_weight=1,2.5,1e-3,.5,-0,1_000,+3", "seed=7"],
    "words": ["loss.recon=sse,gaussian,'a b','1','null',null,true,\"x: y\"", "sweep='é'"],
    "lists": ["model=mlp", "model.hidden=[8,8],[4],[]"],
    "groups": ["model=conv,mlp", "kl_schedule=linear", "loss.kl_weight=1,2", "objective=vae"],
    "new keys": ["+model.kind=a,b", "++loss.kl_weight=1,2", "+model.deep.er=1"],
    "dictionaries": ["loss.kl_weight=2,3", "loss={kl_weight: 5}"],
    "deletions": ["~loss.scale", "loss.kl_weight=2,3"],
    "interpolations": ["loss.scale=${loss.kl_weight}", "loss.kl_weight=2,3"],
    "hydra's own": ["hydra.job.name=a,b", "loss.kl_weight=2,3"],
    "twice": ["loss.kl_weight=2,3", "loss.kl_weight=4"],
}
QUICK = ("groups", "interpolations", "twice")


def jobs_of_a_sweep(words):
    """Every combination, as Hydra's sweeper makes them; lists and quoted words hold no commas here but their own."""
    lists = []
    for word in words:
        key, _, values = word.partition("=")
        parts = re.findall(r"\[[^\]]*\]|\$?\{[^}]*\}|[^,\[{$]+", values) or [""]
        lists.append([f"{key}={part}" if values else key for part in parts])
    return [list(job) for job in itertools.product(*lists)]


@pytest.mark.parametrize("name", [*QUICK, *slow(*(name for name in SWEEPS if name not in QUICK))])
def test_jobs_are_those_that_hydra_composes(context, name):
    config, hydra = context
    asked = jobs_of_a_sweep(SWEEPS[name])
    assert len(asked) > 1
    one_by_one = partial(compose, config, hydra)
    groups = {"data", "model", "kl_schedule", "experiment"}
    found = list(composed(asked, 3, one_by_one, groups.__contains__))
    for number, (overrides, job) in enumerate(zip(asked, found, strict=True), start=3):
        wanted = job_of(one_by_one(overrides, number))
        assert repr(job.config) == repr(wanted.config)  # the types too: 1 is not 1.0
        assert job.overrides == wanted.overrides
        assert set(job.hydra_files) == set(wanted.hydra_files)
        for file, text in wanted.hydra_files.items():
            assert OmegaConf.create(job.hydra_files[file]) == OmegaConf.create(text), file


def test_a_kind_is_composed_once(context):
    config, hydra = context
    numbers = []

    def counted(overrides, number):
        numbers.append(number)
        return compose(config, hydra, overrides, number)

    asked = [[f"loss.kl_weight={w}", f"model={model}", f"seed={s}"] for w in (1, 2) for model in ("conv", "mlp")
             for s in range(5)]  # fmt: skip
    assert len(list(composed(asked, 0, counted, {"model"}.__contains__))) == 20
    assert numbers == [0, 5]
