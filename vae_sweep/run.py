"""`python3 -m vae_sweep.run`: one run, or with -m a sweep. Hydra's door; torch waits until something is trained."""

import argparse
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory, gettempdir

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vae_sweep import __version__
from vae_sweep.commands import command, door
from vae_sweep.conf_folder import CONF
from vae_sweep.sweep.overrides import check_overrides, read_conf
from vae_sweep.sweep.refusal import refused_in_one_line
from vae_sweep.sweep.typed import as_typed
from vae_sweep.text import inert, lines

# The launcher plugin takes the place of Hydra's own entry of that name, on purpose.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/basic' is validated against ConfigStore schema")

_FULL_ERROR = "HYDRA_FULL_ERROR"


def single(config: DictConfig) -> dict[str, float]:
    """Train one member in this process. Returns its metrics. Exits with 1 if it failed, 130 or 143 if stopped."""
    from vae_sweep.engine.this_process import ThisProcess
    from vae_sweep.sweep.jobs import job_of
    from vae_sweep.sweep.run_sweep import run_sweep

    with refused_in_one_line():
        outcome = run_sweep([job_of(_with_hydra(config))], ThisProcess(), command=sys.argv)
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    return outcome.results[0]["metrics"]


def _with_hydra(config: DictConfig) -> DictConfig:
    """The task's config with the `hydra` node that Hydra took off."""
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = HydraConfig.get()
    return whole


def _speak() -> None:
    """What the package has to say (images decoded, files left out) goes to standard error, as plain lines."""
    logger = logging.getLogger("vae_sweep")
    handler = logging.StreamHandler()
    handler.format = lambda record: lines(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def main() -> None:
    with door():
        if "--version" in sys.argv[1:]:
            print(f"vae-sweep {__version__}")
            return
        sys.argv[1:] = as_typed(sys.argv[1:])
        args = _arguments()
        _speak()
        with refused_in_one_line():
            if not (args.shell_completion or args.hydra_help):
                check_overrides(args.overrides, CONF, args.multirun)
        with TemporaryDirectory(prefix="vae-sweep-") as scratch, _hydras_errors_in_one_line(args):
            OmegaConf.register_new_resolver("scratch", lambda: scratch, replace=True)
            OmegaConf.register_new_resolver("command", command, replace=True)  # for the text of --help
            OmegaConf.register_new_resolver("options", _options, replace=True)
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(single)()


def _options(group: str) -> str:
    """Of a group, in the second column of --help."""
    lines = textwrap.wrap(" | ".join(read_conf(CONF).groups[group]), 85)
    return f"\n{' ' * 28}".join(lines)


def _arguments() -> argparse.Namespace:
    """Hydra's own command line, read beforehand: what it would answer with a page or a traceback is said in a line."""
    parser = get_args_parser()

    def refuse(message: str) -> None:
        raise SystemExit(f"error: {inert(message)}; --help lists what there is")

    parser.error = refuse  # type: ignore[assignment]
    args = parser.parse_args()
    modes = {
        "--run": args.run, "-m": args.multirun, "--cfg": args.cfg, "--info": args.info is not None,
        "--shell-completion": args.shell_completion,
    }  # fmt: skip
    if len(given := [mode for mode, is_given in modes.items() if is_given]) > 1:
        refuse(f"{' and '.join(given)} exclude each other")
    if args.resolve and not (args.cfg or args.help):
        refuse("--resolve goes with --cfg or --help")
    if args.shell_completion and not args.overrides:
        refuse("-sc: expected install=bash, uninstall=bash or query=bash")
    return args


@contextmanager
def _hydras_errors_in_one_line(args: argparse.Namespace) -> Iterator[None]:
    """What Hydra cannot compose, in one line. With HYDRA_FULL_ERROR=1 as Hydra shows it, with its traceback."""
    wanted = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"  # have it raised, not printed
    refused: tuple[type[Exception], ...] = (HydraException, OmegaConfBaseException)
    if args.shell_completion:
        refused += (ValueError,)  # no such shell
    try:
        yield
    except refused as error:
        if wanted == "1":
            raise
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SystemExit(f"error: {inert(said[0]) if said else type(error).__name__}") from None
    except OSError as error:  # Hydra's notes are written before anything of ours
        from vae_sweep.runs.files import takes_no_more

        if not takes_no_more(error):
            raise
        raise SystemExit(f"error: {inert(error.filename or gettempdir())}: {error.strerror}") from None
    finally:
        if wanted is None:
            os.environ.pop(_FULL_ERROR, None)


if __name__ == "__main__":
    main()
