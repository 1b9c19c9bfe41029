"""Other users of this machine: their numbers, and what they do, in processes of theirs."""

from __future__ import annotations

import os
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MALLORY, VICTIM = 61_001, 61_002
needs_users = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be two users: run this test as root"
)


def as_user(number: int, call: Callable[..., Any], *values: Any) -> Any:
    """Do something in a process of another user; what it returns or raises comes back."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
            answer: tuple[Any, str] = (call(*values), "")
        except BaseException as error:
            answer = (None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        os.write(theirs, pickle.dumps(answer))
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    value, error = pickle.loads(told)
    if error:
        raise AssertionError(error)
    return value
