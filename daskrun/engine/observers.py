"""The observers of a run: told what happens, and left out where they fail."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import current_thread, main_thread
from traceback import format_exception_only
from typing import TYPE_CHECKING

from daskrun.core.events import (
    BundleReturned,
    NodeLost,
    NodePreparing,
    NodeReady,
    Note,
    Observer,
    RunEnded,
)
from daskrun.core.logs import get_logger
from daskrun.core.plugins import entry_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib.metadata import EntryPoint

    from daskrun.core.events import Event
    from daskrun.core.ledger import Ledger

    MakesObserver = Observer | Callable[[], Observer]

logger = get_logger(__name__)
GROUP = "daskrun.observers"
"""Entry points, each a class or function that makes an observer."""
JOIN_AFTER = 2.0
"""Seconds after which these are looked up, unless an outcome is back before: it takes 20 ms."""
PROGRESS_INTERVAL = 0.25
MOST_TOLD = 10
"""Notes of nodes that a report has: a thousand processes may all fail alike."""


class Audience:
    """The observers of a run: those given, or made by what is given, and the entry points'."""

    def __init__(self, observers: Iterable[MakesObserver], run_id: str) -> None:
        self._run_id = run_id
        self._observers: list[Observer] = []
        self._left_out: list[Observer] = []
        self._failures: dict[str, str] = {}
        """By observer, of each the first."""
        self._next = 0.0
        self._preparing: dict[str, str] = {}
        """By node that can't take bundles yet, what it does."""
        self._told: dict[str, None] = {}
        """Notes that the report has too."""
        self._join_at = time.monotonic() + JOIN_AFTER
        self._missed: list[Event] | None = []
        """What those of the entry points have missed; None once they are there."""
        for each in observers:
            self._add(each)

    @property
    def warnings(self) -> list[str]:
        """Notes of that kind, which observers failed, what is incomplete of what others show."""
        incomplete: list[str] = []
        for each in self._observers:
            with self._guarded(type(each).__qualname__):
                incomplete += [str(each.warning)] if each.warning else []
        told = list(self._told)[:MOST_TOLD]
        if (more := len(self._told) - len(told)) > 0:
            told.append(f"{more:,} more of these are in sys/happenings.txt")
        return [*told, *incomplete, *self._failures.values()]

    def notify(self, event: Event) -> None:
        """Tell what has happened."""
        if isinstance(event, NodePreparing):
            self._preparing[event.node] = event.text
        elif isinstance(event, NodeReady | NodeLost):
            self._preparing.pop(event.node, None)
        elif isinstance(event, Note) and event.warns:
            self._told[event.text] = None
        if self._missed is not None:
            if isinstance(event, BundleReturned | RunEnded):
                self._join()
            else:
                self._missed.append(event)
        for observer in list(self._observers):
            self._tell(observer, observer.notify, event)

    def show(self, ledger: Ledger, *, in_any_case: bool = False) -> None:
        """Show how far the run is, a few times a second."""
        now = time.monotonic()
        if in_any_case or now >= self._next:
            self._next = now + PROGRESS_INTERVAL
            if now > self._join_at:
                self._join()
            preparing = next(iter(self._preparing.values()), "")
            progress = replace(ledger.progress(now), preparing=preparing)
            for observer in list(self._observers):
                self._tell(observer, observer.progress, progress)

    def waits_for_nothing(self) -> None:
        """Show from now on that no node prepares anything, or takes long to end."""
        self._preparing.clear()

    def close(self) -> None:
        """Close every observer, also one that was left out."""
        for observer in [*self._observers, *self._left_out]:
            self._tell(observer, observer.close)

    def _join(self) -> None:
        """Make the observers of the entry points, and tell them what they have missed."""
        missed, self._missed = self._missed, None
        if missed is None:
            return
        with self._guarded(GROUP):
            for name, point in entry_points(GROUP).items():
                for observer in self._add(partial(_load_and_make, point), f"{GROUP}: {name}"):
                    for event in missed:
                        self._tell(observer, observer.notify, event)

    def _add(self, given: MakesObserver, name: str = "") -> list[Observer]:
        """Take in an observer, or make it; return it, unless that failed."""
        made: list[Observer] = []
        with self._guarded(name or getattr(given, "__qualname__", repr(given))):
            made.append(given if isinstance(given, Observer) else given())
        self._observers += made
        return made

    def _tell(self, observer: Observer, call: Callable[..., object], *told: object) -> None:
        """Call an observer; one that fails is left out."""
        with self._guarded(type(observer).__qualname__) as failed:
            call(*told)
        if failed and observer in self._observers:
            self._observers.remove(observer)
            self._left_out.append(observer)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[list[BaseException]]:
        """Log what code that is not the run's raises; it is in the list that this yields."""
        failed: list[BaseException] = []
        try:
            yield failed
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                raise  # the user's own
            failed.append(error)
            what = format_exception_only(error)[-1].strip()
            text = f"observer {name} failed and was left out: {what}"
            logger.exception("run %s: %s", self._run_id, text)
            self._failures.setdefault(name, text)


def _load_and_make(point: EntryPoint) -> Observer:
    made: Observer = point.load()()
    return made
