"""Run the blocks of a page in this folder: ``python run_page.py PAGE``.

Exits with 1 at the first fault.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from pages import blocks, matches

if TYPE_CHECKING:
    from pages import Block

CELL = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
"""As in a notebook, ``await`` may stand in a block."""


class Reader:
    """Somebody who does what a page says, block after block."""

    def __init__(self, page: Path) -> None:
        self._page = page
        session = ModuleType("__main__")  # functions of a session are looked up in it
        sys.modules["__main__"] = session
        self._namespace = vars(session)
        self._printed = ""

    def read(self, block: Block) -> None:
        """Do what a block shows."""
        if block.kind == "file":
            Path(block.name).parent.mkdir(parents=True, exist_ok=True)
            Path(block.name).write_text(block.text, encoding="utf-8")
        elif block.kind == "output":
            if not matches(block.text, self._printed):
                raise AssertionError(f"shown:\n{block.text}\nprinted:\n{self._printed}")
        elif block.kind in ("not run", "command"):
            if block.language == "python":
                compile(block.text, str(self._page), "exec", flags=CELL)
        elif block.language == "sh":
            self._shell(block)
        elif block.language == "python":
            self._python(block)

    def _shell(self, block: Block) -> None:
        command = ["bash", "-euo", "pipefail", "-c", block.text]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=100, env={**os.environ, "PATH": path}
        )
        self._printed = done.stdout
        if done.returncode:
            raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")

    def _python(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(self._page), "exec", flags=CELL)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                found = eval(code, self._namespace)
                if inspect.iscoroutine(found):
                    asyncio.run(found)
            except Exception as error:
                if type(error).__name__ != block.name:
                    raise
                printed.write(f"{type(error).__name__}: {error}\n")
            else:
                if block.kind == "raises":
                    raise AssertionError(f"no {block.name}")
        self._printed = printed.getvalue()


def main(page: str) -> int:
    """Read a page from its first block to its last; return 1 where it isn't true."""
    reader = Reader(Path(page))
    for block in blocks(Path(page)):
        try:
            reader.read(block)
        except BaseException:
            traceback.print_exc()
            print(f"{page}: the block that begins at line {block.line + 1}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
