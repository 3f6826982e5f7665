"""Memory: of a slot, of a member more in its pack, and of a folder of 200,000 images.

python3 -m benchmarks.memory

Anonymous memory is what cannot be given back to files: the pages of the decoded images are shared by all processes and
belong to the page cache. A page that forked workers share with their server is counted once. Peaks are the largest sums
over the sweep and all its processes, looked at ten times a second. Linux only: the numbers come from /proc.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.figures import Table, parser, publish
from benchmarks.members import SMALL, paintings, small_paintings


def measure(quick: bool) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="vae-sweep-") as scratch:
        folder = Path(scratch)
        rows = [_slots(1, "default", [], folder), _slots(2, "default", [], folder)]
        rows += [_slots(1, "small", _small(folder), folder), _slots(2, "small", _small(folder), folder)]
        rows += [_packed(members, folder) for members in ((1, 2) if quick else (1, 8, 16))]
        rows.append(streamed(200 if quick else 200_000, folder))
    return [Table("Memory", rows, ["*anonymous*: peak of the sweep and all its processes together."])]


def streamed(count: int, scratch: Path) -> dict[str, str | float]:
    """A folder of small JPEGs, decoded with a cold cache and trained on for some steps."""
    folder = scratch / "many"
    many_files(folder, count)
    words = ["data=image_folder", f"data.root={folder}", "data.image_size=32", "trainer.val_every_n_epochs=1e6"]
    return {"what": f"{count:,} images of a folder, decoded and trained on"} | peak(
        [*words, f"data.cache_dir={scratch / 'many-cache'}"], scratch
    )


def many_files(folder: Path, count: int, per_folder: int = 2000) -> None:
    """Paintings of 48x48 with a number written into their pixels, so that no two are equal; about 2 kB each."""
    images = paintings().images
    for number in range(count):
        if number % per_folder == 0:
            part = folder / f"{number // per_folder:03d}"
            part.mkdir(parents=True)
        pixels = np.asarray(Image.fromarray(images[number % len(images)]).resize((48, 48)))
        shift = np.array([number // len(images) % 7, number // len(images) // 7 % 48, 0])
        pixels = np.roll(pixels, shift[1], axis=1) // 8 * 8 + shift[0].astype(np.uint8)
        Image.fromarray(pixels.astype(np.uint8)).save(part / f"{number:06d}.jpg", quality=80)


def _small(folder: Path) -> list[str]:
    return ["data=arrays", small_paintings(folder), *SMALL]


def _slots(slots: int, name: str, overrides: Sequence[str], scratch: Path) -> dict[str, str | float]:
    weights = ",".join(["1", "0.1"][:slots])
    what = f"{slots} {'slot' if slots == 1 else 'slots'}, {name} network"
    return {"what": what} | peak([*overrides, f"loss.kl_weight={weights}", "launcher.pack=off"], scratch, slots)


def _packed(members: int, scratch: Path) -> dict[str, str | float]:
    weights = ",".join(f"{weight:.4g}" for weight in np.geomspace(0.01, 10, members))
    words = [*_small(scratch), f"loss.kl_weight={weights}", f"launcher.pack={members}"]
    return {"what": f"pack of {members}, small network"} | peak(words, scratch)


def peak(overrides: Sequence[str], scratch: Path, slots: int = 1) -> dict[str, float]:
    """Megabytes, at their peak, of a sweep."""
    command = [sys.executable, "-m", "vae_sweep.run", "-m", f"launcher.jobs={slots}", "trainer.max_steps=100"]
    command += overrides
    command += ["logger.wandb=disabled", "trainer.accelerator=cpu", f"output_dir={scratch}", f"sweep={time.time_ns()}"]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    whole, worker = 0.0, 0.0
    while sweep.poll() is None:
        whole = max(whole, sum(anonymous(pid) for pid in (sweep.pid, *children(sweep.pid))))
        worker = max(worker, *(resident(pid) for pid in workers_of(sweep.pid)), 0.0)
        time.sleep(0.1)
    if sweep.returncode:
        raise RuntimeError(sweep.communicate()[1][-2000:])
    return {"anonymous (MB)": whole / 1e6, "worker, resident (MB)": worker / 1e6}


# ---- what Linux says of processes


def anonymous(pid: int) -> float:
    """Bytes, of shared pages its share; 0 of a process that has ended."""
    return _field(pid, "smaps_rollup", "Pss_Anon")


def resident(pid: int) -> float:
    return _field(pid, "status", "VmRSS")


def _field(pid: int, file: str, field: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(1024 * float(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def children(pid: int) -> Iterator[int]:
    """Ids of all processes that descend from one."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        below = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return
    for child in below:
        yield child
        yield from children(child)


def workers_of(pid: int) -> list[int]:
    """Ids of the workers that train, below the process of a sweep: what its fork server has forked."""
    family = [child for child in children(pid) if _is_of_fork_server(child)]
    return family[1:]  # the first is the server itself


def _is_of_fork_server(pid: int) -> bool:
    try:
        return b"vae_sweep.engine.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main(argv: Sequence[str] | None = None) -> None:
    asked = parser(__doc__).parse_args(argv)
    publish(measure(asked.quick), asked.json)


if __name__ == "__main__":
    main()
