"""Signals that are for the driver, in processes that the user's code runs in."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

_USUAL: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
_masks = threading.local()


def outlive_them() -> None:
    """Go on when one of them comes: the driver decides, and its end ends this process.

    What is started from here has their usual effects again, unlike with ``SIG_IGN``, which stays
    over ``exec``: ``Popen.terminate()`` and ``Pool.terminate()`` send SIGTERM and wait.
    """
    for number in _USUAL:
        signal.signal(number, _go_on)
        signal.siginterrupt(number, False)
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_as_usual)


def _go_on(*_: object) -> None:
    pass


def _block() -> None:
    """Hold back what comes for a copy while this handler is still its own: it would be lost."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _USUAL)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _as_usual() -> None:
    for number, usual in _USUAL.items():
        if signal.getsignal(number) is _go_on:  # else the script has its own
            signal.signal(number, usual)
    _unblock()
