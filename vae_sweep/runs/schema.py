"""What the files of a sweep hold, as types. Plain JSON: no class stands between a file and its reader.

sweep.json     Manifest: members (Entry), data sets with their forecasts (DataSet), the frozen plan (Plan)
result.json    Result: a member's entry, how far it came, and how it ended
events         what a worker tells while it trains (engine/worker.py has the protocol)

`schema` is raised when a reader of the older form would go wrong. Folders that merely lack a key are brought up to date
as they are read (older.py).
"""

from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

SCHEMA = 1
LEVEL = Path("checkpoints/level.ckpt")  # of the last step whose numbers do not hang on the run's length
BEST = Path("checkpoints/best.ckpt")  # of the best validation, where trainer.keep=best

Config = dict[
    str, Any
]  # a member's resolved configuration, as Hydra composed it; withheld.py says what is not resolved
Status = Literal["queued", "running", "done", "failed", "interrupted"]
# Why a member failed: its own exception or crash; numbers that are not finite; a signal from outside; nobody knows,
# since the cluster ended its job; or the disk takes no more. The last three are no fault of the member, and the same
# command takes it up again (outcomes.py).
Cause = Literal["exception", "diverged", "killed", "lost", "disk"]


class Entry(TypedDict):
    """A member in the manifest.

    id: 8 hex digits, the hash of the configuration that matters and of the images. overrides: as they were typed.
    beta: weight of distortion + beta KL, null where the configuration does not fix it (theory/beta.py). says: what the
    classes of other packages that it uses say of themselves (traits.py).
    """

    id: str
    number: int
    folder: str
    overrides: list[str]
    data_fingerprint: str
    beta: float | None
    config: Config
    says: NotRequired[dict[str, dict[str, Any]]]


class Error(TypedDict):
    """type: of the exception, or the signal; traceback: or the last words of a process that died."""

    type: str
    message: str
    traceback: str


class Result(TypedDict):
    """A member's result.json, from the moment that it begins. metrics: final ones, `train/` and `val/`."""

    schema: int
    id: str
    number: int
    folder: str
    overrides: list[str]
    data_fingerprint: str
    beta: float | None
    config: Config
    status: Status
    cause: Cause | None  # of a failure, else null
    error: Error | None
    metrics: dict[str, Any]
    steps: int
    total_steps: int
    converged_at: NotRequired[int]  # the step at which trainer.until=converged found it at rest
    wall_s: float
    started: str | None  # UTC, ISO 8601
    ended: str | None
    hostname: str
    versions: dict[str, str]
    device: str | None
    rows_crc32: NotRequired[str | None]  # of metrics.jsonl as it was when the run ended


class Evaluation(TypedDict):
    """evaluation.json: metrics of both splits by their names (evaluation/member.py)."""

    schema: int
    step: int
    beta: float | None
    train: dict[str, Any]
    val: dict[str, Any]


class Curve(TypedDict):
    """curve.json of a multi-rate run: a row for every weight."""

    step: int
    train: list[dict[str, Any]]
    val: list[dict[str, Any]]


class Forecast(TypedDict):
    """What the images of one split say before any training (theory/forecast.py has its keys)."""

    asked: dict[str, list[float]]  # latent sizes and betas that it was made for
    train: dict[str, Any]


class DataSet(TypedDict):
    """shape: of an image, (C, H, W); images, train, val: how many."""

    name: str
    fingerprint: str
    images: int
    train: int
    val: int
    shape: list[int]
    forecast: NotRequired[Forecast]


class Plan(TypedDict):
    """Frozen when it is made, so that a continued sweep repeats its numbers: threads change the order of sums.

    packs: ids of the members trained together; threads: of each pack's process, in the same order.
    """

    slots: list[str]
    packs: list[list[str]]
    threads: list[int]


class Manifest(TypedDict):
    """sweep.json. data: the data set of the first member, described; datasets: all, by fingerprint."""

    schema: int
    sweep: str
    created: str
    command: list[str]
    cwd: str
    versions: dict[str, str]
    git_commit: str | None
    hardware: dict[str, Any]
    data: dict[str, Any]
    datasets: dict[str, DataSet]
    members: list[Entry]
    swept: list[str]
    plan: Plan


# --- events ----------------------------------------------------------------------------------------------------------


class Started(TypedDict):
    """A pack was handed to slots."""

    event: Literal["started"]
    ids: list[str]
    slots: list[str]


class Running(TypedDict):
    """A member begins, or continues, at `step`."""

    event: Literal["running"]
    id: str
    step: int
    total_steps: int


class Step(TypedDict):
    """A row was written; the numbers are those of the row, without their `train/`."""

    event: Literal["step"]
    id: str
    step: int | None
    total_steps: int
    kl_weight: float | None
    loss: float | None
    recon: float | None
    kl: float | None
    psnr: float | None


class Evaluating(TypedDict):
    """A member has made its last step and is being measured."""

    event: Literal["evaluating"]
    id: str


class Ended(TypedDict):
    """A member has ended, well or not: one for every member, whatever happens."""

    event: Literal["result"]
    id: str
    status: Status
    cause: NotRequired[Cause | None]
    error: Error | None
    metrics: NotRequired[dict[str, Any]]


class Note(TypedDict):
    """A line for the person who watches."""

    event: Literal["note"]
    text: str


class Split(TypedDict):
    """Out of memory: the pack goes on as several, one after the other."""

    event: Literal["split"]
    pack: int
    into: list[list[str]]


class Stopping(TypedDict):
    """Somebody asked to stop; checkpoints are being written. grace_s: None where nothing is killed for being late."""

    event: Literal["stopping"]
    signal: str
    grace_s: float | None


class Tick(TypedDict):
    """Nothing has happened: a table may be redrawn."""

    event: Literal["tick"]


class PackBegan(TypedDict):
    """A worker has read its order."""

    event: Literal["began"]
    pack: int


class PackEnded(TypedDict):
    """A worker is free again. last: it ends now, since an exception may have left it unwell."""

    event: Literal["ended"]
    pack: int
    last: bool


Event = Started | Running | Step | Evaluating | Ended | Note | Split | Stopping | Tick | PackBegan | PackEnded
