"""A network of yours on one batch of your images, before any sweep: what it is taken for, or what is wrong, in a line.

python3 -m vae_sweep.check model._target_=my_vae.MyVAE
python3 -m vae_sweep.check model._target_=my_vae.MyVAE data=image_folder data.root=PICTURES loss.recon=bernoulli

Says the shape of the latents and the model.latent_dim that they are, the parameters, what the outputs are read as, and
the loss of the first batch at each part. Nothing is written.
"""

import argparse
import sys
from collections.abc import Sequence

from vae_sweep.commands import Parser, door
from vae_sweep.conf_folder import CONF
from vae_sweep.sweep.jobs import job_of
from vae_sweep.sweep.one_job import config_of
from vae_sweep.sweep.overrides import check_overrides
from vae_sweep.sweep.refusal import refused_in_one_line
from vae_sweep.sweep.settings import check_member, settle
from vae_sweep.sweep.typed import as_typed


def lines(words: Sequence[str]) -> list[str]:
    """What is to be said of the member that these words are. Raises SettingsError or DataError."""
    typed = as_typed(words)
    if not any(word.startswith("model=") for word in typed):
        typed = ["model=own", *typed]
    check_overrides(typed, CONF, multirun=False)
    config = job_of(config_of(typed)).config
    check_member(config)
    from vae_sweep.data import load
    from vae_sweep.training.looking import looked_at  # torch

    data = load(config["data"])
    return looked_at(settle(config, data.shape), data, typed)


def parser() -> argparse.ArgumentParser:
    described, _, rest = (__doc__ or "").partition("\n")
    found = Parser("check", described, rest)
    found.add_argument("settings", nargs="+", metavar="key=value", help="model._target_ and its parameters, data, loss")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    with door():
        words = parser().parse_args(arguments).settings
        with refused_in_one_line():
            print("\n".join(lines(words)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
