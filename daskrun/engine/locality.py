"""Which hosts are near which mini-batches, from what the user has said of files."""

from __future__ import annotations

import re
import socket
from collections import Counter
from contextlib import suppress
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from daskrun.core.homes import Homes
from daskrun.core.minibatch import FilePaths
from daskrun.core.plugins import load
from daskrun.errors import SettingsError
from daskrun.storage.urls import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from daskrun.core.minibatch import Plan

MAGIC = re.compile(r"[*?\[]")


class Locality:
    """What the setting ``locality`` says of the mini-batches of a plan.

    A mini-batch is near the hosts that have most of its files. Paths and URLs are as the listing
    has them; a path may also be relative to its input's root.

    """

    def __init__(self, told: Mapping[str, Sequence[str]] | str | None, plan: Plan) -> None:
        self._told = told
        self._plan = plan
        self._names: dict[str, frozenset[str]] = {}
        """By host as it was told, what the addresses of its workers may hold."""
        self.homes = None if told is None else Homes()
        self._hosts_of: Callable[[str, str], Iterable[str]] | None = None

    def know(self) -> None:
        """Look at what of the plan is known and wasn't looked at.

        Raises DaskrunError where the function can't be imported, or returns something else.
        """
        if self.homes is not None:
            if self._hosts_of is None:
                told = self._told
                own = self._asked(told) if isinstance(told, str) else self._by_patterns(told)
                self._hosts_of = own
            for index in range(len(self.homes), self._plan.known):
                self.homes.add(name for host in self._near(index) for name in self._names_of(host))

    @property
    def unused(self) -> str:
        """What was told in vain; ``""`` where every host that files are near to had a node."""
        seen = self.homes.seen if self.homes is not None else set()
        hosts = [host for host, names in self._names.items() if seen.isdisjoint(names)]
        if not hosts:
            return ""
        named = ", ".join(map(repr, hosts[:5])) + (" …" if len(hosts) > 5 else "")
        there = ", ".join(sorted(each for each in seen if "://" in each)[:5])
        return f"locality: no node was on {named}; nodes were on {there or 'none'}"

    def _near(self, index: int) -> list[str]:
        """Return the hosts that have the most files of a mini-batch."""
        mini_batch = self._plan[index]
        root, what = self._plan.inputs[mini_batch.input].root.rstrip("/"), mini_batch.load
        names = what.names if isinstance(what, FilePaths) else [each[0] for each in what.pieces]
        assert self._hosts_of is not None
        counts: Counter[str] = Counter()
        for name in names:
            counts.update({*self._hosts_of(f"{root}/{name}", name)})
        most = max(counts.values(), default=0)
        return [host for host, count in counts.items() if count == most]

    def _names_of(self, host: str) -> frozenset[str]:
        """Return a host as it was told, and its addresses: workers tell theirs in numbers."""
        if host not in self._names:
            found = {host}
            if "://" not in host and not host.replace(".", "").replace(":", "").isdigit():
                with suppress(OSError, UnicodeError):  # workers may tell it all the same
                    found.update(socket.gethostbyname_ex(host)[2])
            self._names[host] = frozenset(found)
        return self._names[host]

    def _by_patterns(
        self, told: Mapping[str, Sequence[str]] | None
    ) -> Callable[[str, str], Iterable[str]]:
        patterns = {host: _compiled(paths) for host, paths in (told or {}).items() if paths}
        for host in patterns:
            self._names_of(host)

        def hosts(path: str, name: str) -> Iterable[str]:
            return [h for h, each in patterns.items() if each.match(path) or each.match(name)]

        return hosts

    def _asked(self, reference: str) -> Callable[[str, str], Iterable[str]]:
        function: Any = load(reference)

        def problem(path: str, what: str, remedy: str) -> SettingsError:
            text = f"locality={reference!r}, called with {shown_url(path)!r}, {what}.{remedy}"
            return SettingsError("locality", [text])

        def hosts(path: str, _: str) -> Iterable[str]:
            try:
                found = function(path)
                texts = [found] if isinstance(found, str) else list(found or ())
            except Exception as error:
                raise problem(path, f"failed: {type(error).__name__}: {error}", "") from error
            if isinstance(found, str) or not all(isinstance(each, str) for each in texts):
                raise problem(path, f"returned {found!r}", " Return a list of hosts, or [].")
            return texts

        return hosts


def _compiled(paths: Sequence[str]) -> re.Pattern[str]:
    """Return what matches files: by a pattern, by their own path, or by that of a folder."""
    found = (
        translate(each) if MAGIC.search(each) else rf"(?s:{re.escape(each.rstrip('/'))}(/.*)?)\Z"
        for each in paths
    )
    return re.compile("|".join(found))
