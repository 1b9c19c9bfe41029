"""Results of a mini-batch apart from the items that ``run()`` says have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.outcome import ItemFailure, ItemsFailed
from daskrun.script.failed import Failed
from daskrun.script.process.entry import HIDDEN, error_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.script.process_spec import ScriptFile

MOST_TOLD = 1000
"""Items of one mini-batch that are named; all are counted."""
CAP = 1000
"""Characters kept of an item's name, and of its error."""


def divided(
    result: Any, mini_batch: Sequence[Any], script: ScriptFile
) -> tuple[Any, ItemsFailed | None]:
    """Return what ``run()`` returned without :class:`Failed`, and those."""
    if not isinstance(result, list | tuple):
        return result, None
    failed = [each for each in result if isinstance(each, Failed)]
    if not failed:
        return result, None
    kept = [each for each in result if not isinstance(each, Failed)]
    places = {}
    if isinstance(mini_batch, list):
        places = {item: place for place, item in enumerate(mini_batch)}
    told = [_told(each, places, script) for each in failed[:MOST_TOLD]]
    return kept, ItemsFailed(len(failed), tuple(told))


def _told(each: Failed, places: dict[str, int], script: ScriptFile) -> tuple[object, ...]:
    item = each.item
    place = places.get(item, -1) if isinstance(item, str) else -1
    if isinstance(each.error, str):
        message, kind, where = each.error if script.data_in_errors else HIDDEN, "", ""
    else:
        failure = error_of(each.error, script)
        message, kind, where = failure.message, failure.kind, failure.where
    return tuple(ItemFailure(place, str(item)[:CAP], message[:CAP], kind[:CAP], where[:CAP]))
