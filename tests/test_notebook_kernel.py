"""A notebook in a real Jupyter kernel: pictures in its cells."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from synthetic_sweep import write_sweep

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the kernel's own libraries


def test_figures_show_themselves_and_tables_too(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s")
    cells = [
        f"import vae_sweep; runs = vae_sweep.load({str(folder)!r})",
        "runs[['loss.kl_weight', 'val/kl']]",
        "runs.plot_rate_distortion()",
        "runs[runs.status == 'done'].plot_reconstructions()",
        "runs.report(figures=False, height=500)",
        "[name for name in dir(vae_sweep) if not name.startswith('_')]",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = [cell.outputs[0].data if cell.outputs else {} for cell in book.cells]
    assert "text/html" in shown[1]
    for picture in shown[2:4]:
        assert len(picture["image/png"]) > 10_000
    assert shown[4]["text/html"].startswith("<iframe srcdoc=")
    assert shown[5]["text/plain"] == "['load', 'load_model', 'sweep']"
