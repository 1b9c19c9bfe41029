"""What of that which comes back was asked for, and counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daskrun.core.events import BundleReturned
from daskrun.core.logs import get_logger
from daskrun.storage.metric_files import MetricFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from daskrun.core.events import Event
    from daskrun.core.ledger import Ledger

logger = get_logger(__name__)


def checked(
    events: Iterable[Event], ledger: Ledger, is_survey: Callable[[int], bool]
) -> Iterator[Event]:
    """Leave out outcomes that nobody asked for: each mini-batch counts once.

    Of one that is in two bundles the first outcome does, also where both come at once.
    """
    first, pairs = set[int](), ledger.bundles_out.pairs
    for event in events:
        if not isinstance(event, BundleReturned) or is_survey(event.number):
            yield event
            continue
        bundle = ledger.bundle(event.number)
        owed = dict(bundle.entries) if bundle is not None else {}
        kept = []
        for outcome in event.outcomes:
            index = outcome.index
            if owed.pop(index, None) == outcome.attempt and index not in first:
                kept.append(outcome)
                if index in pairs:
                    first.add(index)
        if left := len(event.outcomes) - len(kept):
            logger.debug("bundle %d: %d outcomes that nobody waits for", event.number, left)
            event = replace(event, outcomes=tuple(kept))
        yield event


def count_metrics_of(event: BundleReturned, ledger: Ledger, run_folder: Path) -> None:
    """Have only what the first run logged of each mini-batch that two processes have."""
    at, pairs = event.process, ledger.bundles_out.pairs
    if not pairs or at is None:
        return
    for outcome in event.outcomes:
        if outcome.index in pairs:
            process = f"{at.node}/{at.name}"
            MetricFolder(run_folder).only(outcome.index, outcome.attempt, process, at.pid)
