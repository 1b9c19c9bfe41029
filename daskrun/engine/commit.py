"""The journal's records of bundles that came back: written, and told again to a next driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.outcome import Failure, Outcome, ProcessInfo
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from daskrun.core.events import BundleReturned

ERROR_CAP = 1000
"""Characters of a failed attempt's message in the journal; the whole is in the logs."""
TEXT_CAP = 16 * 1024
"""Characters of its traceback, which the first error of each place has in the journal."""
MOST_TEXTS = 1000


class Recorder:
    """Makes the records of bundles."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def record(self, event: BundleReturned, digests: Mapping[int, str]) -> dict[str, Any]:
        """Return the journal's record of a bundle.

        ``outcomes`` are ``[index, attempt, status, items, results, offset, length, head, crc,
        digest]``; offsets are in ``part``. ``errors`` tells of each that failed.
        """
        process = event.process
        failures = {o.index: o.failure for o in event.outcomes if o.failure is not None}
        errors = {str(index): self._error(failure) for index, failure in failures.items()}
        return {
            "kind": "bundle",
            "number": event.number,
            "process": [process.node, process.name, process.pid] if process is not None else None,
            "part": process.part if process is not None else "",
            "outcomes": [[*o[:9], digests.get(o.index, "")] for o in event.outcomes],
            **({"errors": errors} if errors else {}),
        }

    def _error(self, failure: Failure) -> dict[str, str]:
        found = {name: getattr(failure, name)[:ERROR_CAP] for name in ("message", "kind", "where")}
        key = found["kind"] or found["message"], found["where"]
        if key not in self._told and len(self._told) < MOST_TEXTS:
            self._told.add(key)
            found["text"] = failure.text[:TEXT_CAP]
        return {name: text for name, text in found.items() if text}


def told_again(path: Path) -> Iterator[tuple[int, Outcome, ProcessInfo | None, str]]:
    """Yield what a journal has of outcomes, in order.

    Yields
    ------
    tuple
        How many drivers had resumed the run by then; the outcome, its times left out; who made it;
        the digest of its mini-batch's descriptor.
    """
    resumed = 0
    for entry in Journal.read(path, "bundle", "resumed"):
        if entry["kind"] == "resumed":
            resumed += 1
            continue
        made_by = entry["process"]
        process = None
        if made_by is not None:
            node, name, pid = made_by
            process = ProcessInfo(node, name, pid, 0.0, entry["part"])
        errors = entry.get("errors", {})
        for *fields, digest in entry["outcomes"]:
            error = errors.get(str(fields[0]))
            failure = None if error is None else Failure.from_plain(error)
            outcome = Outcome._make([*fields, 0.0, 0.0, 0.0, failure])
            yield resumed, outcome, process, digest
