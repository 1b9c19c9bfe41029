"""The three thresholds of what may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.shown.counted import many

if TYPE_CHECKING:
    from daskrun.core.settings import RunSettings
    from daskrun.core.tally import Tally


def exceeded(settings: RunSettings, tally: Tally, total: int | None) -> str:
    """Return which threshold more has failed than, ``""`` for none.

    ``total`` is the number of mini-batches once all have been handed out; None before.
    """
    items, failed = tally.items - tally.items_succeeded, tally.failed
    most = settings.error_threshold
    if 0 <= most < items:
        return f"{many(items, 'item')} failed, error_threshold={most} allows {most}"
    allowed = settings.allowed_failed_count
    if allowed is not None and 0 <= allowed < failed:
        over = f"{many(failed, 'mini-batch', 'es')} failed, "
        return f"{over}allowed_failed_count={allowed} allows {allowed}"
    percent = settings.allowed_failed_percent
    if percent is not None and total is not None:
        share = 100 * failed / max(1, total)
        if share > percent:
            over = f"{share:.3g} % of the mini-batches failed, allowed_failed_percent="
            return f"{over}{percent:g} allows {percent:g} %"
    return ""
