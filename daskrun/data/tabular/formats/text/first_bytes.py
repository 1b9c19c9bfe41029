"""Which files of a listing are compressed, before they are cut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from daskrun.data.remote_files import RemoteFolder
from daskrun.data.tabular.formats.text.packing import named_packed
from daskrun.data.tabular.formats.text.source import is_plain, is_wide

if TYPE_CHECKING:
    from daskrun.data.listing import Listing

EXPANSION = 20
"""How many times larger a compressed file is taken to be when it is plain, at most: tables grow to
3 to 10 times. What may be larger than a mini-batch then is looked at before it is cut."""

_THREADS, _AHEAD = 16, 64


class FirstBytes:
    """Says of the files of a listing, in its order, whether their bytes can be cut as they are.

    A file is looked at where it may be larger than a mini-batch: the name is believed of others,
    and what is read of them tells.
    """

    def __init__(self, listing: Listing, encoding: str, mini_batch_size: int) -> None:
        self._listing, self._encoding, self._most = listing, encoding, mini_batch_size
        self._folder: RemoteFolder | None = None
        self._found: dict[str, bool] = {}
        self._at = 0

    def __call__(self, name: str, size: int) -> bool:
        """Return whether a file of this size is plain."""
        if is_wide(self._encoding) or size < 0:
            return False
        if not self._matters(name, size):
            return not named_packed(name)
        if not self._listing.remote:
            try:
                return is_plain(name, next(self._listing.paths([name])), self._encoding)
            except OSError:
                return not named_packed(name)  # who reads it says what is wrong
        if name not in self._found:
            self._look_on(name)
        return self._found.pop(name)

    def _matters(self, name: str, size: int) -> bool:
        near = not self._listing.remote  # a look costs 10 us, not a request
        return size > (self._most // EXPANSION if near or named_packed(name) else self._most)

    def _look_on(self, name: str) -> None:
        """Look at this file and at those that are asked for next, at the same time."""
        table, names = self._listing.table, {name: -1}
        while self._at < len(table) and len(names) < _AHEAD:
            other, size = table[self._at], table.sizes[self._at]
            self._at += 1
            if size > 0 and self._matters(other, size):
                names[other] = size
        if self._folder is None:
            self._folder = RemoteFolder(self._listing.root, self._listing.storage_options)
        with ThreadPoolExecutor(_THREADS, "daskrun-first-bytes") as pool:
            self._found.update(zip(names, pool.map(self._plain, names.items()), strict=True))

    def _plain(self, file: tuple[str, int]) -> bool:
        assert self._folder is not None
        try:
            return is_plain(file[0], self._folder, self._encoding, file[1])
        except Exception:  # noqa: BLE001  (each of fsspec's; who reads the file says what is wrong)
            return not named_packed(file[0])
