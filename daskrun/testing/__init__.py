"""Your entry script tested: on one mini-batch, with faults, and whether every row is accounted for.

:func:`run_script` calls it on a mini-batch of yours, in this process, without a run.
:class:`Faults` makes an entry script that behaves as yours does, but for the faults it is told to
have; :func:`account` holds a run's journal, output and report against each other. Also here:
``KILL_AT`` and ``POINTS``, the environment variable that has a driver's process killed at one of
the steps of its commit, and the names of those steps. :class:`FakeDispatcher` ends every bundle at
once. Suites that an observer, a sink or a dispatcher of yours inherits are in
:mod:`daskrun.testing.contracts`.

Each name is loaded when it is first used: a script process needs only what faults are made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.plugins import lazy

if TYPE_CHECKING:
    from daskrun.engine.history import KILL_AT, POINTS
    from daskrun.testing.accounting import Account, account
    from daskrun.testing.alone import ScriptResult, run_script
    from daskrun.testing.dispatcher import FakeDispatcher
    from daskrun.testing.faults import Faults

__all__ = [
    "KILL_AT",
    "POINTS",
    "Account",
    "FakeDispatcher",
    "Faults",
    "ScriptResult",
    "account",
    "run_script",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "KILL_AT": "daskrun.engine.history",
        "POINTS": "daskrun.engine.history",
        "Account": "daskrun.testing.accounting",
        "FakeDispatcher": "daskrun.testing.dispatcher",
        "Faults": "daskrun.testing.faults",
        "ScriptResult": "daskrun.testing.alone",
        "account": "daskrun.testing.accounting",
        "run_script": "daskrun.testing.alone",
    },
)
