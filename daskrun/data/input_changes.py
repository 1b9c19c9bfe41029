"""Input files that change while a run reads them: found, and named.

Local ones are looked at beside the run's end, and tables where a read comes short; remote ones when
they have been brought. Script processes load this.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.data.listed_plan import ListedPlan
    from daskrun.data.paths import PathTable

MOST_LOOKS = 200_000
"""Files that are looked at, spread evenly where there are more: about 0.7 s on a local disk."""
SHOWN = 3
"""Files that are named."""


def changed_files(plan: ListedPlan, most: int = MOST_LOOKS) -> str:
    """Return which local files are not any more what they were when the plan was made.

    Remote files are not asked for again: :func:`check_brought` has looked at them. Returns a
    warning; empty where nothing has changed.
    """
    local = [
        (source.root, table)
        for source, table in zip(plan.inputs, plan.tables, strict=True)
        if not source.remote
    ]
    files = sum(len(table) for _, table in local)
    step = max(1, -(-files // most))
    changes = [change for root, table in local for change in _changes(root, table, step)]
    if not changes:
        return ""
    looked = f" ({files // step:,} of {files:,} were looked at)" if step > 1 else ""
    count = f"{len(changes):,} input file{'s were' if len(changes) > 1 else ' was'}"
    more = f" and {len(changes) - SHOWN:,} more" if len(changes) > SHOWN else ""
    return (
        f"{count} changed while the run went on{looked}: {', '.join(changes[:SHOWN])}{more}. "
        "Rows of such a file may be of either version."
    )


def cut_short(shown: str, had: int, has: int) -> str:
    """Return what to say of a local file that was cut short while it was read."""
    return (
        f"{shown} had {had:,} bytes when it was opened and has {has:,} now: it was cut short while "
        "it was read. Submit the run again when nothing writes to it."
    )


def check_brought(root: str, names: Sequence[str], paths: Sequence[str], listed: int) -> None:
    """Check that the remote files of a mini-batch are as large as when the plan was made.

    ``listed``: bytes they had together, -1 where a store does not say. A plan keeps no more of
    each, so that of several files the first are named, with the sizes they have now.
    """
    if listed < 0:
        return
    sizes = [os.stat(path).st_size for path in paths]  # noqa: PTH116  (as in _changes)
    if (found := sum(sizes)) == listed:
        return
    from daskrun.data.remote_files import join_url

    several = len(names) > 1
    files = [
        repr(shown_url(join_url(root, name))) + (f" (now {size:,} bytes)" if several else "")
        for name, size in zip(names[:SHOWN], sizes, strict=False)
    ]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    raise DatasetError(
        f"{'one of the input files' if several else 'the input file'} {', '.join(files)}{more} was "
        f"changed after the run was submitted: {listed:,} bytes were listed, {found:,} were "
        "brought. Submit the run again."
    )


def _changes(root: str, table: PathTable, step: int) -> Iterator[str]:
    base = root if not root or root.endswith("/") else f"{root}/"
    rows = table.rows() if step == 1 else _every(table, step)
    for name, size, time in rows:
        if size < 0:
            continue  # no file: a query, or what can't say how large it is
        path = base + name
        try:
            found = os.stat(path)  # noqa: PTH116  (a third of the time of Path.stat)
        except OSError:
            yield f"{path!r} can't be found any more"
            continue
        if found.st_size != size:
            yield f"{path!r} had {size:,} bytes and has {found.st_size:,}"
        elif time >= 0 and found.st_mtime_ns != time:
            yield f"{path!r} was written again"


def _every(table: PathTable, step: int) -> Iterator[tuple[str, int, int]]:
    for at in range(0, len(table), step):
        yield table[at], table.sizes[at], table.times[at]
