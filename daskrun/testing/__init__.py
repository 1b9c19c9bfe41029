"""Your entry script tested: on one mini-batch, with faults, and whether every row is accounted for.

:func:`run_script` calls it on a mini-batch of yours, in this process, without a run.
:class:`Faults` makes an entry script that behaves as yours does, but for the faults it is told to
have; :func:`account` holds a run's journal, output and report against each other. Also here:
``KILL_AT`` and ``POINTS``, the environment variable that has a driver's process killed at one of
the steps of its commit, and the names of those steps.

Each name is loaded when it is first used: a script process needs only what faults are made of.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.engine.checkpoints import KILL_AT, POINTS
    from daskrun.testing.accounting import Account, account
    from daskrun.testing.alone import ScriptResult, run_script
    from daskrun.testing.faults import Faults

__all__ = [
    "KILL_AT",
    "POINTS",
    "Account",
    "Faults",
    "ScriptResult",
    "account",
    "run_script",
]

_HOME = {
    "KILL_AT": "engine.checkpoints",
    "POINTS": "engine.checkpoints",
    "Account": "testing.accounting",
    "Faults": "testing.faults",
    "ScriptResult": "testing.alone",
    "account": "testing.accounting",
    "run_script": "testing.alone",
}


def __getattr__(name: str) -> object:
    """Load an exported name from its file."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"daskrun.{_HOME[name]}"), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
