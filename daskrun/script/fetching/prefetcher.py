"""What the fetcher has brought, is bringing and will bring: its order, its bound, its threads."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError
from daskrun.script.fetching.transfers import Order, Transfer, transfers_of
from daskrun.script.fetching.waiting import labels
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daskrun.core.minibatch import Descriptor, PlanInput
    from daskrun.data.remote_files import RemoteFolder

THREADS = 8
"""Files on their way at a time: enough to hide round trips of tens of milliseconds."""
TRIES = 3
BACK_OFF = 0.2
"""Seconds before the second try; four times as long before the third."""
_NO_RETRY = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError)
_FIRST_GUESS = 1 << 20
"""Bytes a file of unknown size counts as until one has been fetched."""
_SHORTEST_LOOK = 0.01
"""Seconds between two looks for room given back, while there is none; more where a look is slow."""
_MOST_TEXT = 4096


class Prefetcher:
    """Brings the files of mini-batches, bundle by bundle in turn, within a bound of bytes on disk.

    A bundle that has nothing here gets its next mini-batch whatever the bound, so that none waits
    for room that only it could give back.

    ``folder`` is node-local; up to ``limit`` bytes are here or on their way; a file is given up
    after ``stall_timeout`` seconds without a byte; ``cache`` is for files that are read in parts.
    """

    def __init__(
        self,
        folder: str,
        inputs: Sequence[PlanInput],
        limit: int,
        stall_timeout: float,
        cache: str = "",
    ) -> None:
        self._cache = cache
        self._folder = folder
        self._inputs = inputs
        self._limit = limit
        self._stall_timeout = stall_timeout
        self._changed = threading.Condition()
        self._pending: dict[int, deque[Descriptor]] = {}
        self._held: dict[int, dict[int, Order]] = {}
        self._bytes = 0
        self._files: deque[Transfer] = deque()
        self._active: set[Transfer] = set()
        self._roots: dict[int, RemoteFolder] = {}
        self._opening = threading.Lock()
        self._stopping = False
        self._looking = False
        self._next_look = 0.0
        self._seen_files = self._seen_bytes = 0
        for _ in range(THREADS):
            self._start_thread()

    def want(self, bundle: int, wanted: Iterable[Descriptor]) -> None:
        """Bring the files of a bundle's mini-batches, in their order."""
        with self._changed:
            self._pending[bundle] = deque(wanted)
            self._held.setdefault(bundle, {})
            self._changed.notify_all()

    def drop(self, bundle: int) -> None:
        """Forget a bundle and remove what is here of it."""
        with self._changed:
            self._pending.pop(bundle, None)
            held = self._held.pop(bundle, {}).values()
            for order in held:
                order.dropped = True
            self._files = deque(t for t in self._files if not t.order.dropped)
        # A thread that is fetching a file of it removes what it makes after this.
        shutil.rmtree(f"{self._folder}/{bundle}", ignore_errors=True)
        with self._changed:  # only now is there room
            self._bytes -= sum(order.nbytes for order in held)
            self._changed.notify_all()

    def stop(self, patience: float) -> None:
        """Begin no more files, and wait some seconds for those under way."""
        deadline = time.monotonic() + patience
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            while self._active and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def end_stalls(self) -> None:
        """Give up files that have not grown for too long; their threads are replaced.

        A part of a table is written when it is here: only ``load_timeout`` ends the wait for it.
        """
        now = time.monotonic()
        with self._changed:
            active = list(self._active)
        for transfer in active:
            size = _size(transfer.path)
            if size != transfer.size:
                transfer.size, transfer.since = size, now
            elif transfer.part is None and now - transfer.since > self._stall_timeout:
                with self._changed:
                    if transfer not in self._active:
                        continue
                    transfer.given_up = True
                self._start_thread()
                waited = f"no byte of it arrived for {self._stall_timeout:g} s"
                self._finish(transfer, self._message(transfer, waited))

    # -- threads ----------------------------------------------------------------------------

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name="daskrun-fetch", daemon=True).start()

    def _work(self) -> None:
        """Serve; a thread that can't go on ends the process, which its keeper starts again."""
        try:
            self._serve()
        except BaseException:  # noqa: BLE001  (a thread less is noticed by nobody)
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _serve(self) -> None:
        while (transfer := self._next()) is not None:
            error = self._fetch(transfer)
            if transfer.given_up:
                self._clean(transfer.order)
                return
            self._finish(transfer, error)

    def _next(self) -> Transfer | None:
        """Wait for a file to fetch; None when the fetcher stops."""
        with self._changed:
            while not self._stopping:
                while not self._files and self._admit():
                    pass
                if self._files:
                    transfer = self._files.popleft()
                    transfer.since = time.monotonic()
                    self._active.add(transfer)
                    self._changed.notify()  # there may be more to begin, or nobody who looks
                    return transfer
                self._wait()
        return None

    def _wait(self) -> None:
        """Wait for a change. Room is given back without a word: one thread looks for it."""
        look = bool(self._pending) and not self._looking
        if not look:
            self._changed.wait()
            return
        self._looking = True
        self._changed.wait(max(_SHORTEST_LOOK, self._next_look - time.monotonic()))
        self._looking = False
        self._look_for_room()

    def _fetch(self, transfer: Transfer) -> str:
        """Fetch a file, with tries; return what is wrong, or nothing."""
        order = transfer.order
        tried = 0
        while not (order.dropped or order.error or transfer.given_up):
            tried += 1
            try:
                Path(transfer.path).parent.mkdir(parents=True, exist_ok=True)
                self._bring(transfer)
            except Exception as error:  # noqa: BLE001  (each file system has errors of its own)
                if tried == TRIES or isinstance(error, _NO_RETRY):
                    times = f" (tried {tried} times)" if tried > 1 else ""
                    return self._message(transfer, f"{type(error).__name__}: {error}{times}")
                time.sleep(BACK_OFF * 4 ** (tried - 1))
            else:
                return ""
        return ""

    def _bring(self, transfer: Transfer) -> None:
        number = transfer.order.input
        root = self._root(number)
        if transfer.part is None:
            root.fetch(transfer.name, transfer.path)
            return
        from daskrun.data.tabular.formats.node_cache import NodeCache
        from daskrun.data.tabular.loading.local_fetch import bring

        table, cache = self._inputs[number].table or {}, NodeCache(self._cache)
        bring(root, table, transfer.part, transfer.path, cache)

    def _root(self, number: int) -> RemoteFolder:
        from daskrun.data.remote_files import RemoteFolder

        with self._opening:
            if number not in self._roots:
                source = self._inputs[number]
                self._roots[number] = RemoteFolder(source.root, source.storage_options)
            return self._roots[number]

    def _message(self, transfer: Transfer, what: str) -> str:
        from daskrun.data.remote_files import join_url

        source = self._inputs[transfer.order.input]
        url = join_url(source.root, transfer.name)
        why = without_secrets(what, secrets_of(url, source.storage_options))
        text = f"the input file {shown_url(url)!r} can't be fetched: {why}"
        return text[:_MOST_TEXT]

    # -- order and bound; the lock is held --------------------------------------------------

    def _admit(self) -> bool:
        """Begin the next mini-batch for which there is room, of the bundle whose turn it is."""
        for bundle, wanted in list(self._pending.items()):
            if not wanted:
                del self._pending[bundle]
                continue
            each = wanted[0]
            expected = each.nbytes if each.nbytes >= 0 else self._guess(len(labels(each.load)))
            if self._held[bundle] and self._bytes + expected > self._limit:
                continue
            wanted.popleft()
            self._pending[bundle] = self._pending.pop(bundle)  # to the end of the round
            home = f"{self._folder}/{bundle}/{each.index}"
            if not _is_over(home):
                self._begin(Order(bundle, each.index, each.input, each.load, expected, home))
            return True
        return False

    def _guess(self, files: int) -> int:
        each = self._seen_bytes // self._seen_files if self._seen_files else _FIRST_GUESS
        return each * files

    def _begin(self, order: Order) -> None:
        self._held[order.bundle][order.index] = order
        self._bytes += order.nbytes
        try:
            transfers = transfers_of(order)
        except DatasetError as error:
            order.error = str(error)[:_MOST_TEXT]
            transfers = []
        order.left = len(transfers)
        self._files.extend(transfers)
        if not transfers:
            self._settle(order)

    def _look_for_room(self) -> None:
        """Find what script processes have released, at most every so often."""
        began = time.monotonic()
        if began < self._next_look:
            return
        for bundle, held in self._held.items():
            if not any(order.ready for order in held.values()):
                continue
            try:
                here = set(os.listdir(f"{self._folder}/{bundle}"))  # noqa: PTH208
            except FileNotFoundError:
                here = set()
            for order in list(held.values()):
                if order.ready and str(order.index) not in here:
                    self._let_go(order)
        ended = time.monotonic()
        self._next_look = ended + max(_SHORTEST_LOOK, 10 * (ended - began))

    def _let_go(self, order: Order) -> None:
        if self._held.get(order.bundle, {}).pop(order.index, None) is not None:
            self._bytes -= order.nbytes
            self._changed.notify_all()

    # -- ends -------------------------------------------------------------------------------

    def _finish(self, transfer: Transfer, error: str) -> None:
        """Count a file as here or given up; the last of a mini-batch settles it."""
        order = transfer.order
        size = 0 if error else max(0, _size(transfer.path))
        with self._changed:
            self._active.discard(transfer)
            order.left -= 1
            order.error = order.error or error
            order.found += size
            self._seen_files += not error
            self._seen_bytes += size
            if not order.left and not order.dropped:
                self._settle(order)
            self._changed.notify_all()
        self._clean(order)

    def _settle(self, order: Order) -> None:
        """Show a mini-batch to the script process: its files, or why there are none."""
        partial = Path(f"{order.home}.partial")
        if not order.error:
            try:
                partial.mkdir(parents=True, exist_ok=True)  # a mini-batch may have no file
                partial.rename(order.home)
            except OSError as error:
                text = f"its files can't be kept on this node: {type(error).__name__}: {error}"
                order.error = text[:_MOST_TEXT]
        if order.error:
            _write_whole(f"{order.home}.error", {"message": order.error})
            shutil.rmtree(partial, ignore_errors=True)
            self._let_go(order)
            return
        order.ready = True
        self._bytes += order.found - order.nbytes
        order.nbytes = order.found
        if os.access(f"{order.home}.done", os.F_OK):  # released before it came
            shutil.rmtree(order.home, ignore_errors=True)
            self._let_go(order)

    def _clean(self, order: Order) -> None:
        """Remove what was made for a bundle after it had been dropped."""
        if order.dropped:
            shutil.rmtree(f"{self._folder}/{order.bundle}", ignore_errors=True)


def _is_over(home: str) -> bool:
    """Return whether a fetcher before this one, which died, has served a mini-batch already."""
    return any(os.access(home + end, os.F_OK) for end in ("", ".done", ".error"))


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def _write_whole(path: str, content: dict[str, str]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    aside = Path(f"{path}.partial")
    aside.write_text(json.dumps(content))
    aside.rename(path)
