"""Runs made longer, and runs that end by themselves: the numbers of runs that had known it from the start."""

from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from marks import slow
from rich.console import Console

from vae_sweep.data import load as load_data
from vae_sweep.engine.this_process import ThisProcess
from vae_sweep.runs.files import read_json, read_rows
from vae_sweep.runs.manifest import SweepError
from vae_sweep.runs.reading import load_sweep
from vae_sweep.runs.schema import BEST
from vae_sweep.schedules.learning_rate import level_steps
from vae_sweep.sweep.run_sweep import Job, run_sweep
from vae_sweep.training.build import build
from vae_sweep.training.checkpoints import LAST, LEVEL, load_checkpoint
from vae_sweep.training.lengths import is_at_rest

SMALLEST = (
    "data=arrays", "model=mlp", "model.hidden=[8]", "model.latent_dim=2", "data.batch_size=8", "trainer.precision=32",
    "trainer.accelerator=cpu", "trainer.evaluate=false", "logger.wandb=disabled", "trainer.log_every_n_steps=7",
)  # fmt: skip


@pytest.fixture
def sweep(compose, images, tmp_path):
    """sweep("name", [overrides of a member], ...) -> (folder, what was printed)"""

    def sweep(name, *members):
        text = StringIO()
        common = [
            *SMALLEST,
            f"data.path={images}",
            f"data.cache_dir={tmp_path}/cache",
            f"output_dir={tmp_path}/outputs",
        ]
        asked = [Job(compose(*common, f"sweep={name}", *one), tuple(one)) for one in members]
        outcome = run_sweep(asked, ThisProcess(), ["run"], console=Console(file=text, width=200))
        assert {result["status"] for result in outcome.results} == {"done"}
        return outcome.folder, text.getvalue()

    return sweep


def numbers(run):
    """(rows without the clock, tensors, Adam's) of a run."""
    rows = [{k: v for k, v in row.items() if k != "time_s"} for row in read_rows(run.folder / "metrics.jsonl")]
    checkpoint = load_checkpoint(run.folder / LAST)
    adam = checkpoint["optimizer_states"][0]["state"]
    weights = dict(checkpoint["state_dict"])
    assert (run.folder / BEST).exists() == ("best" in checkpoint)
    if "best" in checkpoint:
        best = load_checkpoint(run.folder / BEST)
        assert best["step"] == checkpoint["best"]["step"]
        weights |= {f"best.{name}": tensor for name, tensor in best["state_dict"].items()}
    return rows, weights, {f"{i}.{k}": v for i, of in adam.items() for k, v in of.items()}


def assert_same(one, other):
    (rows, weights, adam), (other_rows, other_weights, other_adam) = numbers(one), numbers(other)
    assert rows == other_rows
    assert all(torch.equal(tensor, other_weights[name]) for name, tensor in weights.items())
    assert all(torch.equal(tensor, other_adam[name]) for name, tensor in adam.items())


@pytest.mark.parametrize(
    ("lr_schedule", "packed"),
    [("constant", True), *slow(("wsd", False), ("plateau", False))],
)
def test_a_sweep_made_longer_is_the_long_one_bit_for_bit(sweep, lr_schedule, packed):
    short, long = ("30", "60")
    members = [["loss.kl_weight=1"], ["loss.kl_weight=0.1", "seed=1"]] if packed else [["loss.kl_weight=0.1"]]
    own = [f"optimizer.lr_schedule={lr_schedule}", f"launcher.pack={8 if packed else 'off'}", "trainer.keep=best"]
    own += ["trainer.ema=0.9"]
    if lr_schedule == "plateau":  # rises as long in both
        short, long = "2501", "2600"
        own += ["data.batch_size=2", "trainer.log_every_n_steps=500", "trainer.val_every_n_epochs=100"]
    folder, _ = sweep("parts", *([*one, *own, f"trainer.max_steps={short}"] for one in members))
    ids = [run.id for run in load_sweep(folder).runs]
    folder, said = sweep("parts", *([*one, *own, f"trainer.max_steps={long}"] for one in members))
    start = min(level_steps(lr_schedule, int(short)), int(short) - 1)
    assert f"on from step {start:,}" in said
    whole, _ = sweep("whole", *([*one, *own, f"trainer.max_steps={long}"] for one in members))
    parts = load_sweep(folder).runs
    assert [run.id for run in parts] == ids
    assert [run.config["trainer"]["max_steps"] for run in parts] == [int(long)] * len(members)
    for one, other in zip(load_sweep(whole).runs, parts, strict=True):
        assert_same(one, other)
    _, said = sweep("parts", *([*one, *own, f"trainer.max_steps={long}"] for one in members))
    assert "0 to train" in said
    _, said = sweep("parts", *([*one, *own, f"trainer.max_steps={short}"] for one in members))
    assert "0 to train" in said


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (["optimizer.lr_schedule=wsd", "kl_schedule=linear"], "kl_schedule=linear hangs on the length"),
        *slow(
            (["optimizer.lr_schedule=constant", "kl_schedule=control_vae", "kl_schedule.target=2"], ""),
            (["optimizer.lr_schedule=cosine"], "optimizer.lr_schedule=cosine hangs on the length"),
            (["optimizer.lr_schedule=wsd", "kl_schedule=linear", "kl_schedule.warmup_steps=9"], ""),
        ),
    ],
)
def test_what_hangs_on_the_length_begins_again_and_says_so(sweep, own, why):
    sweep("s", [*own, "trainer.max_steps=20"])
    folder, said = sweep("s", [*own, "trainer.max_steps=30"])
    assert (why or "1 run goes on from step") in said
    whole, _ = sweep("whole", [*own, "trainer.max_steps=30"])
    assert_same(load_sweep(whole).runs[0], load_sweep(folder).runs[0])


def test_several_lengths_at_once_are_several_members(sweep):
    both = [["trainer.max_steps=5"], ["trainer.max_steps=9"]]
    folder, _ = sweep("s", *both)
    assert [run.result["steps"] for run in load_sweep(folder).runs] == [5, 9]
    folder, said = sweep("s", *both)
    assert "0 to train" in said
    folder, _ = sweep("s", ["trainer.max_steps=12"])  # which of the two would go on?
    assert [run.result["steps"] for run in load_sweep(folder).runs] == [5, 9, 12]
    sweep("t", ["trainer.max_steps=5"])
    sweep("t", ["trainer.max_steps=9"])
    with pytest.raises(SweepError, match="the run of 5 steps has gone on to another length"):
        sweep("t", *both)


def test_a_member_made_longer_alone_leaves_its_pack(sweep):
    own = ["optimizer.lr_schedule=constant", "launcher.pack=8"]
    members = [[*own, "loss.kl_weight=1"], [*own, "loss.kl_weight=0.1"]]
    folder, _ = sweep("s", *([*one, "trainer.max_steps=10"] for one in members))
    before = read_json(folder / "sweep.json")["plan"]["packs"]
    folder, _ = sweep("s", [*members[1], "trainer.max_steps=20"])
    assert [len(pack) for pack in before] == [2]
    assert [len(pack) for pack in read_json(folder / "sweep.json")["plan"]["packs"]] == [1, 1]
    assert [run.result["steps"] for run in load_sweep(folder).runs] == [10, 20]


@pytest.mark.slow
def test_a_run_without_a_checkpoint_of_its_level_goes_on_from_its_end_if_it_may(sweep):
    """As in older folders."""
    for lr_schedule, said_ in (("constant", "on from step 20"), ("wsd", "begins again: no checkpoint was kept")):
        own = [f"optimizer.lr_schedule={lr_schedule}"]
        folder, _ = sweep(lr_schedule, [*own, "trainer.max_steps=20"])
        (load_sweep(folder).runs[0].folder / LEVEL).unlink()
        folder, said = sweep(lr_schedule, [*own, "trainer.max_steps=30"])
        assert said_ in said
        whole, _ = sweep(f"{lr_schedule}-whole", [*own, "trainer.max_steps=30"])
        (_, weights, adam), (_, others, _) = (numbers(load_sweep(one).runs[0]) for one in (folder, whole))
        assert adam
        assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())


# --- runs that end by themselves -------------------------------------------------------------------------------------

UNTIL = ("trainer.until=converged", "optimizer.lr_schedule=wsd", "trainer.keep=best", "trainer.ema=0.9")


@pytest.mark.slow
def test_a_run_that_ends_by_itself_is_one_that_was_told_its_length(sweep, monkeypatch):
    """When it ends is the verdict's; that nothing else differs is tested here."""
    monkeypatch.setattr("vae_sweep.training.pack.is_at_rest", lambda member, *_: member.step >= 40)
    folder, _ = sweep("by-itself", [*UNTIL, "trainer.max_steps=200"])
    [run] = load_sweep(folder).runs
    rest = run.result["converged_at"]
    assert 40 <= rest < 60
    length = run.result["steps"]
    assert (run.result["total_steps"], level_steps("wsd", length)) == (length, rest)
    told, _ = sweep("told", [*UNTIL[1:], f"trainer.max_steps={length}"])
    assert_same(load_sweep(told).runs[0], run)
    _, said = sweep("by-itself", [*UNTIL, "trainer.max_steps=300"])
    assert "0 to train" in said  # it had converged
    folder, said = sweep("by-itself", [*UNTIL[1:], "trainer.max_steps=300"])
    assert f"goes on from step {rest}" in said
    whole, _ = sweep("whole", [*UNTIL[1:], "trainer.max_steps=300"])
    assert_same(load_sweep(whole).runs[0], load_sweep(folder).runs[0])


def test_a_run_that_never_rests_ends_at_its_limit(sweep, monkeypatch):
    monkeypatch.setattr("vae_sweep.training.pack.is_at_rest", lambda *_: False)
    folder, _ = sweep("limited", [*UNTIL, "trainer.max_steps=30"])
    told, _ = sweep("told", [*UNTIL[1:], "trainer.max_steps=30"])
    assert_same(load_sweep(told).runs[0], load_sweep(folder).runs[0])
    assert "converged_at" not in load_sweep(folder).runs[0].result


@pytest.mark.parametrize(("linear", "done"), [(0.99, True), (0.98, False), (None, True)])
def test_a_run_behind_the_linear_vae_is_not_at_rest(compose, images, linear, done):
    """Its held-out rows rest at a saddle; the closed form knows that more can be had on the training images."""
    beta = 0.005  # so small that no gradient is asked
    config = compose("data=arrays", f"data.path={images}", "model=linear", "model.latent_dim=2", "trainer.precision=32")
    data = load_data(config["data"])
    member = build(config, data.shape, len(data.train))
    member.step = 400
    rows = [
        {"step": step, f"{split}/sse": 1 - 10 * beta, f"{split}/kl": 10.0, "kl_weight": beta}
        for step in range(10, 401, 10)
        for split in ("train", "val")
    ]
    file = SimpleNamespace(entry={"beta": beta}, written=lambda: rows)
    curve = {"latent_dim": 2, "kl_weight": [beta / 2, 2 * beta], "rate": [10.0, 10.0]}
    curve["distortion"] = [(linear or 0) - 10 * beta] * 2
    assert is_at_rest(member, file, data, {} if linear is None else {"linear": [curve]}) == done
