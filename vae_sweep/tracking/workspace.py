"""A sweep laid out in W&B: a saved view of its runs alone, by their weight, pictures first, then the trade-off.

Made by the package wandb-workspaces. The same sweep has the same view: laid out again, it is replaced.
"""

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from vae_sweep.environment import install
from vae_sweep.tracking import content

PICTURES = 6  # held-out images shown at once
CURVES = ("val/recon", "val/kl", "train/recon", "train/kl", "kl_weight")
AT_THE_END = ("val/psnr_mean", "val/sse", "val/kl", "val/active_units")
COLUMNS = ("summary:val/psnr_mean", "summary:val/kl", "summary:verdict", "summary:headline")  # the last: of the answer


class NotInstalled(ImportError):
    """wandb-workspaces is an extra."""


def packages() -> tuple[Any, Any]:
    """(workspaces, panels) of wandb-workspaces. Raises NotInstalled."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its own, of pydantic's older ways
            from wandb_workspaces import workspaces
            from wandb_workspaces.reports import v2 as panels
    except ImportError as error:
        raise NotInstalled(f"--workspace needs wandb-workspaces: {install('workspace')}") from error
    return workspaces, panels


def lay_out(manifest: Mapping[str, Any], entity: str, project: str) -> str:
    """Save the view of a sweep; returns its address. Raises NotInstalled, and what wandb raises without a server."""
    made = workspace(manifest, entity, project)
    made.save()
    address: str = made.url
    return address


def workspace(manifest: Mapping[str, Any], entity: str, project: str) -> Any:
    """The view as wandb-workspaces has it, not saved yet. Raises NotInstalled."""
    ws, panels = packages()
    weight, step = "loss.kl_weight", "step"
    sections = [
        ws.Section("Held-out images", [_media(panels, f"held_out/{n:02d}") for n in range(PICTURES)], is_open=True),
        ws.Section(
            "Trade-off",
            [
                panels.ScatterPlot(title="error against nats", x=panels.SummaryMetric("val/kl"), y="val/sse"),
                *(
                    panels.ScatterPlot(title=f"{key} by KL weight", x=panels.Config(weight), y=key, log_x=True)
                    for key in AT_THE_END
                ),
            ],
            is_open=True,
        ),
        ws.Section(
            "Training",
            [
                _media(panels, "training/held_out"),
                *(panels.LinePlot(title=key, x=step, y=[key]) for key in CURVES),
            ],
        ),
        ws.Section(
            "Samples and latents",
            [_media(panels, key) for key in ("prior/samples", "latents/interpolations", "latents/traversals")],
        ),
    ]
    made = ws.Workspace(
        name="vae-sweep: " + re.sub(r"[^\w .,:()-]", "_", manifest["sweep"]),
        entity=entity,
        project=project,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=step, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=f'Metric("Group") == "{_escaped(manifest["sweep"])}"',
            order=[ws.Ordering(ws.Config(_config(weight)), ascending=False)],
            pinned_columns=_columns(manifest.get("swept") or []),
        ),
        auto_generate_panels=False,
    )
    # A name of the sweep's own, so that the server replaces the view that it has.
    made._internal_name = f"nw-{hashlib.sha256(content.answer_id(manifest).encode()).hexdigest()[:11]}-v"
    return made


def _media(panels: Any, key: str) -> Any:
    return panels.MediaBrowser(title=key, media_keys=[key], num_columns=4)


def _escaped(text: str) -> str:
    """Inside quotes of a filter, which is read as Python after its signs of comparison have been rewritten."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in text)


def _columns(swept: Sequence[str]) -> list[str]:
    return [*(f"config:{_config(key)}" for key in swept), *COLUMNS]


def _config(key: str) -> str:
    """A key of the config as W&B's table has it: "loss.value.kl_weight"."""
    first, *rest = key.split(".")
    return ".".join([first, "value", *rest])
