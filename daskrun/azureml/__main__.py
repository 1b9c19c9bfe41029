"""``python -m daskrun.azureml script.py``: runs a script of the original's as it stands."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

USAGE = """\
usage: python -m daskrun.azureml SCRIPT [ARGUMENT ...]
       python -m daskrun.azureml -m MODULE [ARGUMENT ...]

Runs a script or module as `python` does, with azureml.core, azureml.data, azureml.pipeline and the
like standing for daskrun, as after `import daskrun.azureml`.
"""


def main(arguments: list[str]) -> int:
    """Run what the arguments say, and give an exit code for where they say nothing."""
    match arguments:
        case [option, *_] if option in ("-h", "--help"):
            sys.stdout.write(USAGE)
            return 0
        case ["-m", module, *rest]:
            sys.argv[:] = [module, *rest]
            sys.path[0] = str(Path.cwd())
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *_] if not script.startswith("-") and Path(script).exists():
            sys.argv[:] = arguments
            sys.path[0] = str(Path(script).resolve().parent)
            runpy.run_path(script, run_name="__main__")
        case [script, *_] if not script.startswith("-"):
            sys.stderr.write(f"script={script!r} is not there. Write a Python file that is.\n")
            return 2
        case _:
            sys.stderr.write(USAGE)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
