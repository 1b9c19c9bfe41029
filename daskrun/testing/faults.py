"""``Faults``: what is to go wrong in which mini-batch, and the entry script that does it."""

from __future__ import annotations

import difflib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import SettingsError
from daskrun.output.sinks.settings_file import SETTINGS_FILE
from daskrun.testing.inside import INIT, OF_INIT, OF_RUN, OK, read_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.testing.inside import Table

SCRIPT = '''"""{name}, with faults; made by daskrun.testing, which writes it anew each time.

{mark}, which no other has: what an earlier one made is never taken for what this one would.
"""

from pathlib import Path

from daskrun.testing.inside import Inside

_inside = Inside(
    script={script},
    notes={notes!r},
    faults={faults!r},
    init={init!r},
)


def init():
    _inside.init()


def run(mini_batch, mini_batch_context):
    return _inside.run(mini_batch, mini_batch_context)


def shutdown():
    _inside.shutdown()
'''


class Faults:
    """What is to go wrong, for a test of an entry script and of what a run makes of it.

    ============== =================================================================================
    fault          what happens when ``run()`` is called
    ============== =================================================================================
    raise          it raises a ``RuntimeError``
    short          it returns one result too few
    none           it returns None
    unencodable    its last row can't be made a text; ``summary_only`` does not notice
    unpicklable    it raises an exception that can't be pickled
    huge_message   it raises an exception whose message has ten million characters
    memory_error   it asks for more memory than there is: a ``MemoryError``
    eat_memory     it takes more and more memory, until ``process_memory_limit``
    hang           it sleeps for ever, in Python
    hang_in_c      it sleeps for ever in C code that keeps the GIL: no Python thread runs
    stop           its process stops itself (SIGSTOP)
    kill           its process kills itself (SIGKILL)
    segfault       its process reads address 0
    exit           its process calls ``os._exit(3)``
    disk_full      its rows are refused by the disk, which ends the run: Failed, to be resumed;
                   ``summary_only`` does not notice
    ============== =================================================================================

    ``ok`` stands for a call without a fault. ``init()`` can have those that are not about rows.
    With ``compute_target="inline"`` those that would hit this process raise an error instead.

    Parameters
    ----------
    faults
        By mini-batch (its index, from 0): a name, for every call of ``run()`` with it, or a list:
        one for each call in turn, and none in those that follow.
    init
        By process, from 1 in the order in which they call ``init()``, replacements included; or one
        name, for every process.

    Raises
    ------
    SettingsError
        There is no such fault; all problems at once.

    Examples
    --------
    >>> faults = Faults({3: ["raise", "segfault"], 7: "hang"}, init={1: "exit"})
    >>> faults.calls(), faults.inits()
    (Counter(), 0)
    """

    def __init__(
        self,
        faults: Mapping[int, str | Sequence[str]] | None = None,
        *,
        init: Mapping[int, str] | str | None = None,
    ) -> None:
        problems: list[str] = []
        self._faults: Table = {}
        for index, names in (faults or {}).items():
            _check_number("faults", index, 0, "a mini-batch's index", problems)
            for name in [names] if isinstance(names, str) else names:
                _check_name(f"faults[{index!r}]", name, OF_RUN, problems)
            self._faults[index] = names if isinstance(names, str) else tuple(names)
        self._init: dict[int, str] | str = ""
        if isinstance(init, str):
            _check_name("init", init, OF_INIT, problems)
            self._init = init
        elif init is not None:
            self._init = dict(init)
            for number, name in init.items():
                _check_number("init", number, 1, "a process's number", problems)
                _check_name(f"init[{number!r}]", name, OF_INIT, problems)
        if problems:
            raise SettingsError("Faults", problems)
        self._notes: Path | None = None

    def around(
        self, script: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
    ) -> str:
        """Write an entry script that is ``script`` with these faults, and return its path.

        Calls are counted from here on; those of an earlier script are forgotten, and no run of it
        is reused. A second run of the same script is one that is reused where the step allows it.

        Parameters
        ----------
        script
            The entry script. It is left as it is, and read when a process starts.
        folder
            Where ``<script>_with_faults.py`` and the file of calls are written; nodes must reach
            it. None: beside the script.

        Raises
        ------
        SettingsError
            There is no such script.
        """
        path = Path(script).resolve()
        if not path.is_file():
            problem = f"script={str(script)!r} is no file. Write the path of the entry script."
            raise SettingsError("Faults.around", [problem])
        place = path.parent if folder is None else Path(folder).resolve()
        place.mkdir(parents=True, exist_ok=True)
        made = place / f"{path.stem}_with_faults.py"
        beside = path.parent == place  # then it is found in a copy of the folder as well
        shown = f"Path(__file__).with_name({path.name!r})" if beside else f"Path({str(path)!r})"
        settings = path.parent / SETTINGS_FILE
        if not beside and settings.exists():
            shutil.copyfile(settings, place / SETTINGS_FILE)
        self._notes = made.with_suffix(".calls")
        self._notes.write_bytes(b"")
        made.write_text(
            SCRIPT.format(
                name=path.name,
                mark=os.urandom(8).hex(),
                script=shown,
                notes=str(self._notes),
                faults=self._faults,
                init=self._init,
            ),
            encoding="utf-8",
        )
        return str(made)

    def calls(self) -> Counter[int]:
        """Return how often ``run()`` was entered with each mini-batch, also where it never left."""
        return Counter(index for index in self._noted() if index != INIT)

    def inits(self) -> int:
        """Return how often ``init()`` was entered: how many processes got that far."""
        return self._noted().count(INIT)

    def _noted(self) -> list[int]:
        return [] if self._notes is None else read_notes(self._notes)


def _check_name(where: str, name: object, known: Sequence[str], problems: list[str]) -> None:
    if name in (*known, OK):
        return
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Write {near[0]!r}. " if near else ""
    problems.append(f"{where}={name!r} is not a fault. {hint}There are {', '.join(known)}, {OK}.")


def _check_number(where: str, number: object, least: int, kind: str, problems: list[str]) -> None:
    if type(number) is not int or number < least:
        problems.append(f"{where}: {number!r} is not {kind}. Write {least} or more.")
