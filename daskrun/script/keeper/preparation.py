"""``Preparation``: a child of the keeper whose answer script processes wait for."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from daskrun.script.messages import Brought, Preparing, PythonFound, Unprepared

if TYPE_CHECKING:
    from daskrun.script.keeper.child import Child

FIRST_WORD, LONGEST_SILENCE = 1.0, 30.0
"""Seconds until it is first told how far it is; then twice as long each time, up to this."""


class Preparation(ABC):
    """A child whose answer script processes wait for.

    After ``limit`` seconds without progress it is given up.
    """

    def __init__(self, child: Child, limit: float) -> None:
        self.child = child
        self.limit = limit
        self.began = self.progressed = time.monotonic()
        self._next_word, self._pause = self.began + FIRST_WORD, FIRST_WORD

    def messages(self, now: float) -> list[object]:
        """Return what the node is to be told; the last is the answer, if there is one."""
        found, open_ = self.child.read()
        told = [each for message in found for each in self.heard(message, now)]
        if told and isinstance(told[-1], PythonFound | Brought | Unprepared):
            return told
        if not open_:
            return [*told, Unprepared(self.why_ended(self.child.wait()))]
        if now > self.progressed + self.limit:
            return [*told, Unprepared(self.why_late())]
        if now >= self._next_word:
            self._pause = min(2 * self._pause, LONGEST_SILENCE)
            self._next_word = now + self._pause
            told.append(Preparing(self.state(now)))
        return told

    @abstractmethod
    def heard(self, message: object, now: float) -> list[object]:
        """Take in what the child says, and return what the node is to be told of it."""

    @abstractmethod
    def state(self, now: float) -> str:
        """Return how far it is, for the user."""

    @abstractmethod
    def why_ended(self, code: int) -> str:
        """Return what the user is told of a child that ended without an answer."""

    @abstractmethod
    def why_late(self) -> str:
        """Return what the user is told of a child that took too long."""

    def end(self) -> None:
        """End the child."""
        self.child.end()
