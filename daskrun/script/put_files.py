"""The process that puts files behind the URLs of outputs for a script process that is dead."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from daskrun.output.parts.uploads import OutputFiles
from daskrun.script.messages import FilesPut, Signal
from daskrun.script.wire import pack, told_first, write_all
from daskrun.storage.error_hints import store_remedy

if TYPE_CHECKING:
    from daskrun.script.process_spec import ScriptOutput

BEAT = 1.0
"""Seconds between two words that something goes on."""


def main() -> None:
    """Put what is in the folders that the keeper tells, and say how that went."""
    memory, out = map(int, sys.argv[-2:])
    places: tuple[ScriptOutput, ...] = told_first(memory, out)
    trouble, said = "", 0.0

    def pulse() -> None:
        nonlocal said
        if time.monotonic() > said + BEAT:
            said = time.monotonic()
            write_all(out, pack(Signal.BEAT))

    for each in places:
        try:
            OutputFiles(each.folder, each.url, each.options or {}).sync(pulse)
        except FileNotFoundError:
            continue  # the script has removed the folder: what writes to it next is told
        except OSError as error:
            trouble = trouble or store_remedy(error)
    write_all(out, pack(FilesPut(trouble)))
