"""Runs a command line of a job in ``/bin/sh``: a script of its own, standard library only.

The first argument is the folder with the command's code, ``""`` for none; the others are the line,
in pieces, so that paths of the node stand in it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LINE = "JOB_COMMAND_LINE"


def main(code: str, *line: str) -> int:
    """Run the line in the current folder, with the code copied there; return its exit code."""
    if code:
        shutil.copytree(code, Path.cwd(), dirs_exist_ok=True)
    own = str(Path(sys.executable).parent)  # so that `python` is the one that runs this
    variables = {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', '')}"}
    variables[LINE] = "".join(line)  # others see a command line, and no variables
    shell = ["/bin/sh", "-c", f'eval "unset {LINE}; ${LINE}"']
    return subprocess.run(shell, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
