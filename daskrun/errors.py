"""Every error daskrun raises.

::

    DaskrunError
    ├── SettingsError (ValueError)       what was asked for can't be run: all problems at once
    │   └── WrongArgumentsError (TypeError)  a call has a keyword that there is not, or lacks one
    ├── DatasetError (ValueError)        the data isn't there, or isn't what was said
    │   └── TableError                   a part of a table can't be read as its schema says
    ├── NameNotFoundError (KeyError)     no model, datastore, run, ... of that name
    ├── WorkspaceError (RuntimeError)    the workspace folder can't be used
    ├── ComputeTargetException           no such compute target, or it doesn't answer
    ├── StorageError (OSError)           a path or URL can't be read or written
    │   └── PartError                    finished rows can't be kept: no mini-batch's fault
    ├── EntryScriptError (RuntimeError)  the entry script can't be used (outside a run)
    ├── OriginalNameError (AttributeError)          a name of the original daskrun doesn't have
    ├── OriginalImportError (ModuleNotFoundError)   the same, in an import
    ├── WrongResultError (TypeError)     run() returned what can't be results
    ├── ResumeError (RuntimeError)       a run can't go on from where it ended
    ├── WaitTimeoutError (TimeoutError)  a wait is over, what was waited for goes on
    └── RunFailedError (RuntimeError)    a run ended without its result
        └── RunCanceledError             because somebody asked for it

A message names the *argument=value* as typed, says what is wrong, and what to write instead. A
class puts it together in ``_text()``; what ``str()`` gives can be written to a terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from collections.abc import Sequence


_FOREIGN = (f"{os.path.dirname(__file__)}{os.sep}", f"{os.sep}IPython{os.sep}", "<string>")  # noqa: PTH120
"""What the files begin with, or have in their paths, whose frames tell a user nothing."""
SHOWN = 10
"""Of the names there are, how many a message lists."""


MOST_PROBLEMS = 100
"""Of what is wrong with a call, how many a message tells."""


class DaskrunError(Exception):
    """Base of all errors that daskrun raises on purpose."""

    def __str__(self) -> str:
        return safe(self._text())

    @property
    def message(self) -> str:
        """What ``str()`` gives, as errors of the original have it."""
        return str(self)

    def _text(self) -> str:
        """Return the message, which may quote names of files and data as they are."""
        return super().__str__()

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the user's own lines, and the message (IPython asks)."""
        import traceback  # only where something went wrong

        frames = traceback.extract_tb(self.__traceback__)
        mine = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
        text = safe("".join(traceback.format_list(mine))).rstrip("\n")
        return [*text.splitlines(), f"{type(self).__name__}: {self}"]


class SettingsError(DaskrunError, ValueError):
    """What was asked for can't be run.

    Parameters
    ----------
    subject
        What was being checked, such as ``ParallelRunConfig``.
    problems
        One message for each thing that is wrong; all are shown at once.
    """

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        super().__init__(subject, tuple(problems))
        self.subject = subject
        self.problems = tuple(problems)

    def _text(self) -> str:
        if len(self.problems) == 1:
            alone = self.problems[0]  # of a file it begins with the file's name
            return alone if alone.startswith(f"{self.subject}:") else f"{self.subject}: {alone}"
        shown, more = self.problems[:MOST_PROBLEMS], len(self.problems) - MOST_PROBLEMS
        lines = "\n".join(f"  {n}. {text}" for n, text in enumerate(shown, 1))
        lines += f"\n  and {more:,} more" if more > 0 else ""
        return f"{self.subject} has {len(self.problems)} problems:\n{lines}"


class WrongArgumentsError(SettingsError, TypeError):
    """A call has a keyword that there is not, or lacks an argument; each is named."""


class DatasetError(DaskrunError, ValueError):
    """The data isn't there, or isn't what was declared."""


class TableError(DatasetError):
    """A part of a table can't be read as its schema says.

    Parameters
    ----------
    message
        File, line or row, column and value; what is wrong, what to write instead.
    items
        How many records the part holds, as far as that could be counted; 0 where it could not.
    ends_run
        True: what is wrong puts other parts in doubt (a cut inside a quoted field), so that a run
        must not go on as if only this part were lost.
    lasting
        True: it is what the data holds, so that another try would end the same.
    """

    def __init__(
        self, message: str, items: int = 0, *, ends_run: bool = False, lasting: bool = False
    ) -> None:
        super().__init__(message)
        self.items = items
        self.ends_run = ends_run
        self.lasting = lasting


class NameNotFoundError(DaskrunError, KeyError):
    """Nothing of that kind has that name.

    Parameters
    ----------
    kind
        Such as ``model``.
    name
        The name that was looked for.
    known
        The names there are, the likeliest first, or the versions of a name, ascending. The message
        lists ten: the first names, or the newest versions.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(kind, name, tuple(known))
        self.kind = kind
        self.name = name
        self.known = tuple(known)

    def _text(self) -> str:
        if not self.known:
            return f"no {self.kind} has the name {self.name!r}. There is no {self.kind} yet."
        stem = self.name.rpartition(":")[0]
        versions = bool(stem) and all(each.startswith(f"{stem}:") for each in self.known)
        some = self.known[-SHOWN:] if versions else self.known[:SHOWN]
        listed = ", ".join(map(repr, some))
        rest = len(self.known) - len(some)
        more = f" and {rest:,} {'older' if versions else 'more'}" if rest else ""
        return f"no {self.kind} has the name {self.name!r}. There are {listed}{more}."

    def __repr__(self) -> str:
        # The names there are may be thousands, such as those of runs.
        return f"{type(self).__name__}({str(self)!r})"


class WorkspaceError(DaskrunError, RuntimeError):
    """The workspace folder can't be used as one."""


class ComputeTargetException(DaskrunError, RuntimeError):  # noqa: N818  (the original's name)
    """There is no compute target of that name, or it can't be used."""


class StorageError(DaskrunError, OSError):
    """A path or URL can't be read or written."""

    def _text(self) -> str:
        return str(self.args[0]) if self.args else ""


class PartError(StorageError):
    """Rows that are finished can't be kept where they belong: the disk's fault, or the store's.

    No mini-batch is charged for it: the run ends, to be resumed when there is room.
    """


class EntryScriptError(DaskrunError, RuntimeError):
    """The entry script can't be used, or was run as a program and has failed.

    Parameters
    ----------
    message
        What is wrong.
    ended
        How a program ended, in words that follow its name; ``""`` where it could not be run.
    """

    def __init__(self, message: str, ended: str = "") -> None:
        super().__init__(message)
        self.ended = ended


class OriginalNameError(DaskrunError, AttributeError):
    """daskrun has no such name of the original; the message says what there is instead."""


class OriginalImportError(DaskrunError, ModuleNotFoundError):
    """daskrun has nothing of the original that could be imported by that name."""


class WrongResultError(DaskrunError, TypeError):
    """``run()`` returned something that can't be results.

    Parameters
    ----------
    type_name
        The type it returned, such as ``NoneType``.
    problem
        What in it can't be a result of the run's format; ``""`` where the type is what is wrong.
    """

    def __init__(self, type_name: str, problem: str = "") -> None:
        super().__init__(type_name, problem)
        self.type_name = type_name
        self.problem = problem

    def _text(self) -> str:
        if self.problem:
            return f"run() returned {self.problem}."
        hint = {
            "NoneType": " Is a return statement missing?",
            "str": " Write return [text] for one result.",
            "dict": " Write return list(results.items()) or a list of the values.",
            "generator": (
                " Write return list(results); it may hold Failed(item, error) for an item that "
                "failed, which can't be yielded."
            ),
            "set": " Write return sorted(results): a set has no order.",
        }.get(self.type_name, "")
        got = "None" if self.type_name == "NoneType" else f"a value of type {self.type_name}"
        return (
            f"run() returned {got}. Return a list, tuple, pandas.DataFrame, pandas.Series or "
            f"numpy.ndarray with one element for each item that succeeded.{hint}"
        )


class ResumeError(DaskrunError, RuntimeError):
    """A run can't go on from where it ended: it is done, driven, or its data has changed."""


class WaitTimeoutError(DaskrunError, TimeoutError):
    """A wait has reached its limit; what was waited for goes on."""

    def _text(self) -> str:
        return str(self.args[0]) if self.args else ""


class RunFailedError(DaskrunError, RuntimeError):
    """A run ended without its result.

    Parameters
    ----------
    run_id
        The run.
    reason
        What ended it, with the first user error and where the rest is.
    first_error
        That error's traceback, or what else is known of it; ``""`` where there is none.
    without_error
        The reason without it.
    """

    def __init__(
        self, run_id: str, reason: str, first_error: str = "", without_error: str = ""
    ) -> None:
        super().__init__(run_id, reason, first_error, without_error)
        self.run_id = run_id
        self.reason = reason
        self.first_error = first_error
        self.without_error = without_error

    def _render_traceback_(self) -> list[str]:
        # The script's own error first, and once; our call tells nothing of it.
        shown = safe(self.first_error).rstrip("\n").splitlines()
        plain = type(self)(self.run_id, self.without_error or self.reason)
        return [*shown, *([""] if shown else []), f"{type(self).__name__}: {plain}"]

    def _text(self) -> str:
        return f"run {self.run_id} failed: {self.reason}"


class RunCanceledError(RunFailedError):
    """A run was canceled before its end; what it finished is kept."""

    def _text(self) -> str:
        return f"run {self.run_id} was canceled: {self.reason}"
