"""The journal's record of a bundle that came back: what resume needs to know, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskrun.core.events import BundleReturned

ERROR_CAP = 1000
"""Characters of a failed attempt's message in the journal; the whole is in the logs."""


def record(event: BundleReturned, digests: dict[int, str]) -> dict[str, Any]:
    """Give the journal's record of a bundle.

    ``outcomes`` are ``[index, attempt, status, items, results, offset, length, head, crc,
    digest]``; offsets are in ``part``. ``errors`` has the message of each that failed.
    """
    process = event.process
    errors = {
        str(o.index): str(o.error.get("message", ""))[:ERROR_CAP]
        for o in event.outcomes
        if o.error is not None
    }
    return {
        "kind": "bundle",
        "number": event.number,
        "process": [process.node, process.name, process.pid] if process is not None else None,
        "part": process.part if process is not None else "",
        "outcomes": [[*o[:9], digests.get(o.index, "")] for o in event.outcomes],
        **({"errors": errors} if errors else {}),
    }
