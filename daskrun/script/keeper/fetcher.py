"""The fetcher, as the keeper sees it: told what is wanted, started again if it dies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daskrun.core.minibatch import Descriptor
from daskrun.script.keeper.child import Child, log_of
from daskrun.script.messages import DropBundle, RunBundle, ServeFetches, WantBundle
from daskrun.script.wire import decode_trusted

if TYPE_CHECKING:
    from daskrun.script.node_spec import NodeSpec

RESTART_DELAY = 0.1
"""Seconds before a fetcher that died again is started again, doubled for each death."""
LONGEST_RESTART_DELAY = 30.0


class Fetcher:
    """The process that brings the remote files of one node's bundles."""

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._wanted: dict[int, WantBundle] = {}
        self._deaths = 0
        self._next_start = 0.0
        self._start()

    def _start(self) -> None:
        spec = self._spec
        told = ServeFetches(spec.folder, spec.process.inputs, spec.fetch_limit)
        log = log_of(spec, "fetcher.txt")
        self._child = Child(spec, "fetching.fetcher", log, told, talks=False)
        for message in self._wanted.values():
            self._child.tell(message)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def want(self, bundle: RunBundle) -> None:
        """Ask for the files of a bundle."""
        found = (Descriptor.decode(encoded) for encoded, _ in decode_trusted(bundle.payload))
        wanted = [each for each in found if self._spec.inputs[each.input].remote]
        message = self._wanted[bundle.number] = WantBundle(bundle.number, wanted)
        self._child.tell(message)

    def drop(self, number: int) -> None:
        """Ask for the removal of what is left of a bundle."""
        if self._wanted.pop(number, None) is not None:
            self._child.tell(DropBundle(number))

    def keep_alive(self, now: float) -> str:
        """Start it again if it has died; it fetches what is still wanted; return what to say.

        One that keeps dying is started less and less often; ``load_timeout`` ends the wait for it.
        """
        code = self._child.exit_code()
        if code is None or now < self._next_start:
            return ""
        self._deaths += 1
        self._next_start = now + min(RESTART_DELAY * 2**self._deaths, LONGEST_RESTART_DELAY)
        log = self._child.log
        os.close(self._child.pipe)
        self._start()
        return f"the fetcher ended with code {code} and was started again; its log is {log}"
