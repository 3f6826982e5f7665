"""Writes sweep folders as a real sweep would, from closed forms and in milliseconds: the test bed of the report.

The "network" is the linear VAE at its optimum (Lucas et al. 2019): fitted by PCA to drawn images, so that rate,
distortion, active units and the pictures themselves are exact for every weight; only the curves' decay towards that
optimum and the seeds' jitter are invented.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Json = dict[str, Any]


def draw_images(count: int, size: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Small abstract paintings, (count, size, size, channels) in [0, 1]: a ramp, a disc and a bar in random colours."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    images = np.empty((count, size, size, channels))
    for image in images:
        low, high, disc, bar = rng.uniform(0.05, 0.95, (4, channels))
        angle, radius, width = rng.uniform(0, np.pi), rng.uniform(0.12, 0.3), rng.uniform(0.05, 0.12)
        ramp = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
        image[:] = low * (1 - ramp) + high * ramp
        centre = rng.uniform(0.2, 0.8, 2)
        image[np.hypot(x - centre[0], y - centre[1]) < radius] = disc
        image[np.abs(x - rng.uniform(0.1, 0.9)) < width] = bar
    return images


@dataclass
class Spectrum:
    """PCA of the training images: the whole of a linear VAE's world."""

    train: np.ndarray  # (N, n)
    val: np.ndarray  # (M, n)
    shape: tuple[int, int, int]
    mean: np.ndarray = field(init=False)  # (n,)
    basis: np.ndarray = field(init=False)  # (n, r) eigenvectors, largest first
    eigenvalues: np.ndarray = field(init=False)  # (r,) of the covariance, 1/N
    moments: dict[str, tuple[np.ndarray, float]] = field(
        init=False
    )  # split -> E c_j^2 (r,), E ||x outside the basis||^2

    def __post_init__(self) -> None:
        self.mean = self.train.mean(0)
        _, s, vt = np.linalg.svd(self.train - self.mean, full_matrices=False)
        self.eigenvalues, self.basis = s**2 / len(self.train), vt.T
        self.moments = {}
        for split, flat in (("train", self.train), ("val", self.val)):
            inside = (((flat - self.mean) @ self.basis) ** 2).mean(0)
            self.moments[split] = (inside, float(((flat - self.mean) ** 2).sum(1).mean() - inside.sum()))

    @property
    def total_variance(self) -> float:
        return float(self.eigenvalues.sum())


@dataclass
class LinearVae:
    """Optimum of the linear beta-VAE; s2 = beta / 2 is the implied pixel variance; beta 0 is the autoencoder."""

    spectrum: Spectrum
    latent_dim: int
    kl_weight: float

    def __post_init__(self) -> None:
        s2, values = self.kl_weight / 2, self.spectrum.eigenvalues[: self.latent_dim]
        self.active = values > s2
        self.shrink = np.where(self.active, 1 - s2 / values, 0.0)  # Burda's activity A_j, and E[z^2 of the mean]
        self.z_variance = 1 - self.shrink
        self.scale = np.sqrt(np.where(self.active, values - s2, 0.0))  # ||w_j||
        self.kl_per_unit = np.where(self.active, 0.5 * np.log(np.maximum(values / max(s2, 1e-12), 1.0)), 0.0)

    def encode(self, flat: np.ndarray) -> np.ndarray:
        """(N, n) -> posterior means (N, d)."""
        code = (flat - self.spectrum.mean) @ self.spectrum.basis[:, : self.latent_dim]
        return code * np.where(self.scale > 0, self.shrink / np.maximum(self.scale, 1e-12), 0.0)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """(..., d) -> (..., n)."""
        return self.spectrum.mean + (z * self.scale) @ self.spectrum.basis[:, : self.latent_dim].T

    def sample(self, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return z + rng.standard_normal(z.shape) * np.sqrt(self.z_variance)

    def metrics(self, split: str) -> Json:
        """Rate and distortions per image of a split, exact in expectation over the noise."""
        moments, outside = self.spectrum.moments[split]
        inside, rest = moments[: self.latent_dim], moments[self.latent_dim :].sum() + outside
        n = self.spectrum.train.shape[1]
        sse_mean = float((inside * (1 - self.shrink) ** 2).sum() + rest)
        sse = sse_mean + float((self.scale**2 * self.z_variance).sum())
        gain = np.where(self.active, self.shrink / np.maximum(self.scale, 1e-12), 0.0)
        extra = 0.5 * (gain**2 * inside + self.z_variance - 1)  # zero on the training set
        rate = float((self.kl_per_unit + np.where(self.active, extra, 0)).sum())
        return {
            "kl": rate, "sse": sse, "sse_mean": sse_mean, "recon": sse, "mse": sse / n, "mse_mean": sse_mean / n,
            "psnr": -10 * np.log10(sse / n), "psnr_mean": -10 * np.log10(sse_mean / n),
            "ssim": float(np.clip(1 - sse / self.spectrum.total_variance, 0, 1)),
            "ssim_mean": float(np.clip(1 - sse_mean / self.spectrum.total_variance, 0, 1)),
            "sigma_calibrated": float(np.sqrt(sse / n)),
        }  # fmt: skip


def _bytes(flat: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(..., n) floats -> (..., H, W, C) uint8."""
    return np.clip(np.round(flat.reshape(*flat.shape[:-1], *shape) * 255), 0, 255).astype(np.uint8)


def _json(path: Path, value: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, default=float))


def _multiplier(schedule: str, progress: float) -> float:
    if schedule == "linear":
        return min(1.0, progress / 0.25)
    if schedule == "cyclical":
        return min(1.0, (progress * 4 % 1) / 0.5) if progress < 1 else 1.0
    return 1.0


def forecast(spectrum: Spectrum, latent_dims: tuple[int, ...]) -> Json:
    weights = np.geomspace(1e-3, 4 * spectrum.eigenvalues[0], 60)
    curves = []
    for d in latent_dims:
        models = [LinearVae(spectrum, d, float(w)) for w in weights]
        measured = [model.metrics("train") for model in models]
        curves.append(
            {"latent_dim": d, "kl_weight": weights.tolist(), "rate": [m["kl"] for m in measured],
             "distortion": [m["sse"] for m in measured], "distortion_mean": [m["sse_mean"] for m in measured],
             "active_units": [int(model.active.sum()) for model in models]}
        )  # fmt: skip
    return {
        "n": spectrum.train.shape[1], "images": len(spectrum.train), "total_variance": spectrum.total_variance,
        "eigenvalues": spectrum.eigenvalues[:512].tolist(), "collapse_threshold": 2 * float(spectrum.eigenvalues[0]),
        "collapse_threshold_bernoulli": None, "linear": curves,
    }  # fmt: skip


def _rows(
    final: dict[str, Json], config: Json, start: float, steps: int, stop: int, rng: np.random.Generator
) -> list[Json]:
    """Curves that decay from the mean image to `final`; the KL rises from 0."""
    weight, schedule = config["loss"]["kl_weight"], config["kl_schedule"]["_target_"].rsplit(".", 1)[-1]
    autoencoder = config["objective"] == "autoencoder"
    rows = []
    for step in range(0, stop + 1, max(1, steps // 40)):
        progress = step / steps
        force = weight * _multiplier(schedule, progress)
        for split in ("train", "val") if step % max(1, steps // 8) == 0 else ("train",):
            noise = 1 + 0.02 * rng.standard_normal()
            decay = np.exp(-14 * progress)
            sse = (final[split]["sse"] * (1 - decay) + start * decay) * noise
            row: Json = {"step": step, "epoch": 10 * progress, "time_s": 12 * progress + 0.5}
            row |= {f"{split}/recon": sse, f"{split}/sse": sse, f"{split}/loss": sse}
            row |= {f"{split}/mse": sse / final[split]["n"], f"{split}/psnr": -10 * np.log10(sse / final[split]["n"])}
            if not autoencoder:
                kl = final[split]["kl"] * (1 - decay) * (2 - noise)
                row |= {"kl_weight": force, f"{split}/kl": kl, f"{split}/loss": sse + force * kl}
            rows.append(row)
    return rows


def _arrays(
    model: LinearVae, held_out: np.ndarray, autoencoder: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    spectrum, d, shape = model.spectrum, model.latent_dim, model.spectrum.shape
    mean = model.encode(held_out)
    latents = model.encode(spectrum.train[:200])
    arrays = {
        "originals": _bytes(held_out, shape), "mean_image": _bytes(spectrum.mean, shape),
        "recon_mean": _bytes(model.decode(mean), shape),
        "latent_mean": latents.astype(np.float32), "activity": latents.var(0).astype(np.float32),
    }  # fmt: skip
    pairs = np.stack([mean[:2], mean[2:4]], 1)  # (P, 2, d)
    path = np.linspace(0, 1, 8)[None, :, None]
    drawn = mean.std(0) * rng.standard_normal((64, d)) + mean.mean(0)
    arrays |= {"fitted_samples": _bytes(model.decode(drawn), shape), "code_std": latents.std(0).astype(np.float32)}
    arrays["interpolations"] = _bytes(model.decode(pairs[:, :1] * (1 - path) + pairs[:, 1:] * path), shape)
    spread = mean.std(0) * rng.standard_normal((64, d)) + mean.mean(0)
    arrays["fitted_samples"] = _bytes(model.decode(spread), shape)  # of a Gaussian with the codes' own scale
    if autoencoder:
        return arrays
    units = np.argsort(-model.kl_per_unit, kind="stable")[: min(4, d)]
    values = np.linspace(-3, 3, 7)
    z = np.tile(mean[0], (len(units), len(values), 1))
    for row, unit in enumerate(units):
        z[row, :, unit] = values
    return arrays | {
        "recon_sampled": _bytes(model.decode(model.sample(mean, rng)), shape),
        "latent_std": np.broadcast_to(np.sqrt(model.z_variance), latents.shape).astype(np.float32),
        "kl_per_unit": model.kl_per_unit.astype(np.float32),
        "prior_samples": _bytes(model.decode(rng.standard_normal((64, d))), shape),
        "traversals": _bytes(model.decode(z), shape), "traversal_units": units, "traversal_values": values,
        "traversal_start": mean[0, units],
    }  # fmt: skip


def _evaluation(model: LinearVae, measured: dict[str, Json], config: Json, rng: np.random.Generator) -> Json:
    """evaluation.json: the exact metrics, and what a converged run measures of its gradients and its prior."""
    d, weight = model.latent_dim, model.kl_weight
    splits: Json = {}
    for split, values in measured.items():
        out = {k: v for k, v in values.items() if k != "n"}
        if config["objective"] == "autoencoder":
            splits[split] = {k: v for k, v in out.items() if k not in ("kl", "sse", "mse", "psnr", "ssim")} | {
                k: out[f"{k}_mean"] for k in ("sse", "mse", "psnr", "ssim")
            }
            splits[split] |= {"recon": out["sse_mean"]}
            continue
        n, variance, rate, sse = values["n"], values["mse"], values["kl"], values["sse"]
        out["elbo"] = -(sse / weight + n / 2 * np.log(np.pi * weight)) - rate
        out["elbo_calibrated"] = -(n / 2) * (np.log(2 * np.pi * variance) + 1) - rate
        out["elbo_beta1"] = -(sse + n / 2 * np.log(np.pi)) - rate
        out |= {
            "nll_1": -out["elbo"],
            "nll_10": -out["elbo"] - 0.1,
            "nll_100": -out["elbo"] - 0.2,
            "nll_se": 0.8,
            "ess": 40.0,
        }
        out |= {
            "active_units": int(model.active.sum()),
            "log_n": float(np.log(200)),
            "implied_sigma": float(np.sqrt(weight / 2)),
        }
        out |= {"mi_leave_in": min(rate, np.log(200)), "mi_leave_one_out": min(rate, np.log(200) + 1)}
        out |= {"tc_leave_in": 0.1, "tc_leave_one_out": 0.05, "dwkl_leave_in": 0.2, "dwkl_leave_one_out": 0.1}
        out |= {"mmd2_null_low": -2e-3, "mmd2_null_high": 2e-3, "mmd2": 1e-3 + 4e-3 * (weight < 0.05)}
        out |= {"moment_second": 1.0, "moment_mean": 0.001, "hole_cycle_error": 0.3, "hole_cycle_error_codes": 0.2}
        out |= {"grad_norm_recon": weight * (2.0 + rate / 20), "grad_norm_kl": 2.0 + rate / 20, "grad_cosine": -0.98}
        out |= {"beta_hat": weight * (1 + 0.02 * rng.standard_normal())}
        other = "val" if split == "train" else "train"
        if d:
            splits[split] = {key: value for key, value in out.items() if not key.startswith(_ONLY_OF[other])}
    samples = _samples(weight, config["objective"] == "autoencoder")
    main = samples["distances"]["random_conv"]["cubic"]
    splits["val"] |= {f"distance_{pair}": row["value"] for pair, row in main.items()}
    splits["val"] |= {"code_std": 1.0, "code_correlation": 0.05, "sampler_components": 1.0, "sampler_novelty": 1.1}
    splits["val"] |= {"sampler_left_out_nats": 0.2}
    return {"schema": 1, "step": config["trainer"]["max_steps"], "samples": samples, **splits}


def _samples(weight: float, autoencoder: bool) -> Json:
    """Blur that grows with the weight, holes that grow as it falls, by every way of looking."""
    blur, holes = 0.3 * weight**0.5, 0 if autoencoder else 0.08 / weight**0.5
    values = {"blur": blur, "fitted": 1.1 * blur}
    if not autoencoder:
        values |= {"holes": holes, "prior": blur + holes}
    rows = {pair: {"value": v, "low": 0.9 * v, "high": 1.1 * v} for pair, v in values.items()}
    for pair in rows:
        rows[pair] |= {"null_high": 0.01, "p": 0.005} if pair != "blur" else {}
    ways = {f: {"cubic": rows, "inverse": rows} for f in ("random_conv", "random_filters", "pooled_pixels")}
    sampler = {"components": 1, "shrinkage": 1.0, "codes": 200, "novelty": 1.1}
    sampler |= {"left_out_nats": 0.2, "left_out_se": 0.1}
    return {"images": 60, "distances": ways, "sampler": sampler}


# What a real evaluation measures on one split alone.
_ONLY_OF = {"train": ("grad_", "beta_hat", "moment_"), "val": ("nll_", "ess", "hole_")}


def _config(weight: float, d: int, schedule: str, seed: int, objective: str, steps: int, size: int) -> Json:
    return {
        "objective": objective,
        "data": {"_target_": "vae_sweep.data.paintings", "image_size": size, "val_fraction": 0.2, "batch_size": 64},
        "model": {"_target_": "vae_sweep.models.linear", "latent_dim": d, "posterior": "diagonal"},
        "loss": {"recon": "sse", "kl_weight": weight, "reduction": "sum", "divergence": "kl"},
        "kl_schedule": {"_target_": f"vae_sweep.schedules.{schedule}"},
        "optimizer": {"lr": 1e-3, "lr_schedule": "cosine", "grad_clip": None},
        "trainer": {"max_epochs": None, "max_steps": steps, "devices": 1},
        "seed": seed,
    }


def write_sweep(
    folder: Path,
    *,
    weights: tuple[float, ...] = (1.0, 0.5, 0.1),
    latent_dims: tuple[int, ...] = (16,),
    schedules: tuple[str, ...] = ("constant",),
    seeds: tuple[int, ...] = (0,),
    autoencoder: bool = True,
    multi_rate: float | None = None,
    failed: tuple[int, ...] = (),
    running: tuple[int, ...] = (),
    without_evaluation: tuple[int, ...] = (),
    without_result: tuple[int, ...] = (),
    torn: tuple[int, ...] = (),
    undertrained: tuple[int, ...] = (),
    name: str | None = None,
    image_size: int = 24,
    channels: int = 3,
    images: int = 8,
    steps: int = 400,
    error_message: str = "loss is not finite at step 120",
) -> Path:
    """One sweep folder; `failed`, `running`, ... list member numbers. Returns `folder`.

    multi_rate: adds a model of all weights whose objective is that fraction above the separate runs'.
    """
    rng = np.random.default_rng(0)
    shape = (image_size, image_size, channels)
    drawn = draw_images(260, image_size, channels, rng).reshape(260, -1)
    spectrum = Spectrum(drawn[:200], drawn[200:], shape)
    n = drawn.shape[1]
    sweep = name or folder.name

    grid = [("vae", w, d, s, seed) for seed in seeds for d in latent_dims for s in schedules for w in weights]
    if autoencoder:
        grid += [
            ("autoencoder", weights[0] if weights else 1.0, d, "constant", seed) for seed in seeds for d in latent_dims
        ]
    if multi_rate is not None:
        grid.append(("vae", weights[0], latent_dims[0], schedules[0], seeds[0]))
    members = []
    for number, (objective, weight, d, schedule, seed) in enumerate(grid):
        config = _config(weight, d, schedule, seed, objective, steps, image_size)
        one_model = multi_rate is not None and number == len(grid) - 1
        config["model"] |= {"multi_rate": one_model, "kl_weight_range": [0.01, 10.0]}
        known = (objective, weight, d, schedule, seed, *["all weights"] * one_model)
        identity = f"{zlib.crc32(repr(known).encode()):08x}"
        slug = "autoencoder" if objective == "autoencoder" else f"kl_weight={weight:g}"
        member = {"id": identity, "number": number, "folder": f"{number:03d}-{slug}-{identity}", "config": config}
        member["overrides"] = [f"objective={objective}", f"loss.kl_weight={weight:g}", f"model.latent_dim={d}"]
        members.append(member)
    if multi_rate is not None:
        _write_curve(folder / members[-1]["folder"], spectrum, latent_dims[0], weights, 1 + multi_rate, images)

    for member in members:
        number, config = member["number"], member["config"]
        if number in without_result:
            continue
        _write_run(folder / member["folder"], member, spectrum, steps, images, number in failed, number in running,
                   number in without_evaluation, number in torn, number in undertrained, error_message)  # fmt: skip
    swept = [key for key, values in (("loss.kl_weight", weights), ("model.latent_dim", latent_dims),
             ("kl_schedule._target_", schedules), ("seed", seeds)) if len(values) > 1]  # fmt: skip
    _json(folder / "sweep.json", {
        "schema": 1, "sweep": sweep, "created": "2025-01-02T03:04:05+00:00", "cwd": "/home/user/project",
        "command": ["python", "-m", "vae_sweep.run", "-m", "loss.kl_weight=" + ",".join(f"{w:g}" for w in weights)],
        "versions": {"vae_sweep": "0.1.0", "torch": "2.0"}, "git_commit": "0123456789abcdef",
        "hardware": {"cpu": "2 cores"},
        "data": {"name": "paintings", "fingerprint": "feedc0de", "images": 260, "train": 200, "val": 60,
                 "shape": [channels, image_size, image_size]},
        "members": members, "swept": swept + (["objective"] if autoencoder else []),
        "plan": {"slots": ["cpu"], "packs": [[m["id"] for m in members]]},
        "datasets": {"feedc0de": {"forecast": {"asked": {}, "train": forecast(spectrum, latent_dims) | {"n": n}}}},
    })  # fmt: skip
    return folder


def _write_curve(folder: Path, spectrum: Spectrum, d: int, weights: tuple[float, ...], factor: float,
                 images: int) -> None:  # fmt: skip
    curve: Json = {"schema": 1, "step": 400, "images": None, "train": [], "val": []}
    rng, shape, held_out = np.random.default_rng(1), spectrum.shape, spectrum.val[:images]
    draws, noise = rng.standard_normal((8, d)), np.random.default_rng(2)
    at = sorted({*np.geomspace(0.01, 10, 16).tolist(), *weights})
    models = [LinearVae(spectrum, d, weight) for weight in at]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "curve.npz", kl_weights=np.array(at),
        recon_mean=np.stack([_bytes(m.decode(m.encode(held_out)), shape) for m in models]),
        recon_sampled=np.stack([_bytes(m.decode(m.sample(m.encode(held_out), noise)), shape) for m in models]),
        prior_samples=np.stack([_bytes(m.decode(draws), shape) for m in models]),
    )  # fmt: skip
    for weight in at:
        for split in ("train", "val"):
            exact = LinearVae(spectrum, d, weight).metrics(split)
            sse, kl = exact["sse"] * factor, exact["kl"] * factor
            row = {"kl_weight": weight, "recon": sse, "sse": sse, "kl": kl, "loss": sse + weight * kl}
            own = {name: exact[name] for name in ("mse", "sse_mean", "psnr_mean")}
            curve[split].append(row | own | {"active_units": int(LinearVae(spectrum, d, weight).active.sum())})
    _json(folder / "curve.json", curve)


def _write_progress(folder: Path, model: LinearVae, held_out: np.ndarray, stop: int, steps: int) -> None:
    """From the mean image towards the reconstructions, as far as the run has come."""
    at = [step for step in range(steps // 8, steps + 1, steps // 8) if step <= stop]
    spectrum, made = model.spectrum, model.decode(model.encode(held_out))
    ways = [spectrum.mean + (made - spectrum.mean) * (1 - np.exp(-5 * step / steps)) for step in at]
    np.savez(
        folder / "progress.npz", steps=np.array(at), originals=_bytes(held_out, spectrum.shape),
        recon_mean=_bytes(np.stack(ways), spectrum.shape),
    )  # fmt: skip


def _write_run(folder: Path, member: Json, spectrum: Spectrum, steps: int, images: int, failed: bool, running: bool,
               unevaluated: bool, torn: bool, undertrained: bool, error_message: str) -> None:  # fmt: skip
    config, number = member["config"], member["number"]
    rng = np.random.default_rng([config["seed"], number])
    autoencoder = config["objective"] == "autoencoder"
    model = LinearVae(spectrum, config["model"]["latent_dim"], 0.0 if autoencoder else config["loss"]["kl_weight"])
    jitter = 1 + 0.004 * rng.standard_normal() + (0.35 if undertrained else 0.0)
    n = spectrum.train.shape[1]
    measured = {}
    for split in ("train", "val"):
        exact = model.metrics(split)
        measured[split] = (
            exact | {k: exact[k] * jitter for k in ("sse", "sse_mean", "recon", "mse", "mse_mean")} | {"n": n}
        )
    stop = steps // 3 if failed else steps // 2 if running else steps
    rows = _rows(measured, config, spectrum.total_variance, steps, stop, rng)
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(json.dumps(row) for row in rows) + "\n"
    (folder / "metrics.jsonl").write_text(lines[:-25] if torn else lines)
    status = "failed" if failed else "running" if running else "done"
    last = {k: v for row in rows for k, v in row.items() if "/" in k}
    error = {"type": "FloatingPointError", "message": error_message,
             "traceback": f"Traceback (most recent call last):\n  train.py, line 10\n{error_message}"}  # fmt: skip
    _json(folder / "result.json", {
        **{k: member[k] for k in ("id", "number", "folder", "overrides", "config")}, "schema": 1, "status": status,
        "metrics": {} if failed else last, "versions": {"torch": "2.0"}, "data_fingerprint": "feedc0de", "wall_s": 12.5,
        "steps": stop, "total_steps": steps, "error": error if failed else None, "started": "2025-01-02T03:04:05+00:00",
        "ended": None if running else "2025-01-02T03:05:05+00:00", "hostname": "host", "device": "cpu",
    })  # fmt: skip
    if not (failed or unevaluated):
        _write_progress(folder, model, spectrum.val[: min(images, 8)], stop, steps)
    if failed or running or unevaluated:
        return
    _json(folder / "evaluation.json", _evaluation(model, measured, config, rng))
    arrays = _arrays(model, spectrum.val[:images], autoencoder, rng)
    np.savez(folder / "evaluation.npz", **arrays)
    (folder / "images").mkdir(exist_ok=True)
    grid = np.concatenate([np.concatenate(list(arrays[k]), 1) for k in ("originals", "recon_mean")], 0)
    Image.fromarray(grid.squeeze()).save(folder / "images" / "reconstructions.png")
