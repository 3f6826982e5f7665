"""Which Python does the work. In a checkout the libraries lie in .venv, where `make setup` puts them; whoever types
`python3 -m vae_sweep.run` there with another Python is handed over to that one, with nothing to activate.

Every Python 3 must be able to read this file: no new syntax, nothing imported that is not its own.
"""

import importlib.util
import os
import shutil
import sys

CALLED_AS = "VAE_SWEEP_CALLED_AS"  # what was typed: the Python, or the path of a console script. See commands.py.
_LIBRARIES = ("hydra", "omegaconf", "yaml", "numpy", "PIL", "rich", "jinja2", "torch", "pytorch_lightning")
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MAKEFILE = os.path.join(_ROOT, "Makefile")
_OWN = os.path.join(_ROOT, ".venv", "bin", "python")


def end_quietly():
    # type: () -> None
    """Ctrl-C while a command still imports is one line, as it is later (commands.py). Not in anybody else's process."""
    if sys.argv[:1] != ["-m"] and not os.path.basename((sys.argv or [""])[0]).startswith("vae-sweep"):
        return
    shown = sys.excepthook

    def hook(kind, error, traceback):  # type: ignore[no-untyped-def]
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
        else:
            shown(kind, error, traceback)

    sys.excepthook = hook


def hand_over():
    # type: () -> None
    """If this process is `python -m vae_sweep...` and lacks a library: become the checkout's Python, or exit with one
    line that says what is missing. Anybody else's process, such as a notebook, is left as it is."""
    if sys.argv[:1] != ["-m"]:  # what Python writes there while it looks for the module to run
        return
    typed = list(getattr(sys, "orig_argv", []))
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    own = os.access(_OWN, os.X_OK)
    if missing and own and typed and CALLED_AS not in os.environ:
        name = os.path.basename(typed[0])
        os.environ[CALLED_AS] = name if shutil.which(name) else typed[0]
        os.execv(_OWN, [_OWN] + typed[1:])
    if missing:
        cure = "`pip install` of this package brings them"
        if own and not typed:  # before 3.10, Python does not tell which module it was to run
            cure = "type {} instead".format(os.path.relpath(_OWN))
        elif os.path.exists(_MAKEFILE):
            cure = "`make setup` puts them into .venv"
        raise SystemExit("error: {} has no {}; {}".format(sys.executable, ", ".join(missing), cure))
    os.environ.setdefault(CALLED_AS, typed[0] if typed else sys.executable)


def install(extra):
    # type: (str) -> str
    """What to type for an extra: in a checkout's own environment `make`, which keeps to the tested versions."""
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(_ROOT, ".venv")):
        return "pip install 'vae-sweep[{}]'".format(extra)
    there = "" if os.path.realpath(os.getcwd()) == os.path.realpath(_ROOT) else "-C {} ".format(os.path.relpath(_ROOT))
    return "make {}extras EXTRAS={}".format(there, extra)


def import_path():
    # type: () -> str
    """Where this process finds modules, as PYTHONPATH of its children: they find a network beside a script, too."""
    said = os.environ.get("PYTHONPATH")
    return os.pathsep.join(([said] if said else []) + [entry or os.getcwd() for entry in sys.path])
