import pytest

from vae_sweep.models.networks import conv, linear
from vae_sweep.training import device as hardware


@pytest.mark.parametrize(
    ("network", "cpu", "cuda"),
    [
        (conv((3, 64, 64), 128), "bf16-mixed", "bf16-mixed"),
        (conv((3, 64, 64), 2), "bf16-mixed", "bf16-mixed"),  # a sweep over the latent size is of one precision
        (conv((3, 8, 8), 8), "32-true", "bf16-mixed"),
        (linear((3, 64, 64), 128), "32-true", "32-true"),
    ],
)
def test_auto_takes_bfloat16_where_convolutions_gain_by_it(monkeypatch, network, cpu, cuda):
    monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda accelerator: True)
    assert [hardware.precision("auto", device, network) for device in ("cpu", "cuda")] == [cpu, cuda]
    assert [hardware.precision(setting, "cpu", network) for setting in (32, "bf16")] == ["32-true", "bf16-mixed"]


def test_auto_stays_in_float32_where_the_processor_has_no_bfloat16(monkeypatch):
    monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda accelerator: False)
    assert hardware.precision("auto", "cpu", conv((3, 64, 64), 128)) == "32-true"
