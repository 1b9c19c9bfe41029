"""``failed_items.txt`` and ``failed_items.jsonl``: what has failed for good, item by item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from daskrun.core.minibatch import FilePaths
from daskrun.core.outcome import Failure, ItemFailure, Status
from daskrun.monitor.attempts import item_paths
from daskrun.shown.printable import UNDECODED, one_line
from daskrun.storage.folders import open_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome

LISTED, TOLD = "failed_items.txt", "failed_items.jsonl"


class FailedItems:
    """Lists the items whose mini-batch used up its tries, and those ``run()`` said have failed.

    Of files the path, of a table the piece of the file and what the script called the row. The text
    has a line for each whatever its name holds; ``failed_items.jsonl`` has the name as it is, with
    reason and attempts. Both are there only if something failed.
    """

    def __init__(self, logs: Path, plan: Plan, tries: int) -> None:
        self._logs = logs
        self._plan = plan
        self._tries = tries
        self._before: dict[int, Outcome] = {}
        """Successes that are run again for the sake of items that had failed: the new tries may
        fail, and then these stand."""

    @property
    def file(self) -> Path:
        """The file of text."""
        return self._logs / LISTED

    def add(self, outcomes: Iterable[Outcome], final: bool = False) -> None:
        """List what has failed with these attempts; ``final``: no other try follows any."""
        found = [each for outcome in outcomes for each in self._of(outcome, final)]
        if not found:
            return
        with open_kept(self.file, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{one_line(str(each['item']), UNDECODED)}\n" for each in found)
        with open_kept(self._logs / TOLD, "a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(each)}\n" for each in found)

    def begin_again(
        self, failed: Collection[int], again: Collection[int], past: Callable[[], Iterable[Outcome]]
    ) -> None:
        """List anew what earlier drivers have left failed: some of it is tried again now.

        ``failed`` are the mini-batches that have used up their tries, ``again`` those that run
        again though they had succeeded; ``past`` gives the attempts that were journalled.
        """
        for name in (LISTED, TOLD):  # a line may be torn
            (self._logs / name).unlink(missing_ok=True)
        wanted, last = set(failed), {}
        for number, outcome in enumerate(past()):
            if outcome.index in wanted or outcome.items_failed is not None:
                last[outcome.index] = number
            elif not outcome.status:  # it has succeeded with all
                last.pop(outcome.index, None)
        numbers = set(last.values())
        for number, outcome in enumerate(past()):
            if number not in numbers:
                continue
            if outcome.index in again:
                self._before[outcome.index] = outcome
            else:
                self.add([outcome], final=True)

    def _of(self, outcome: Outcome, final: bool) -> Iterator[dict[str, object]]:
        """Yield the failed items of an attempt; none of one that is followed by another."""
        if outcome.status and outcome.attempt < self._tries and not final:
            return
        if outcome.status and outcome.index in self._before:
            outcome = self._before[outcome.index]
        told = {"mini_batch": outcome.index, "attempts": outcome.attempt}
        if outcome.status:
            failure = outcome.failure or Failure("")
            reason = failure.message or Status(outcome.status).category
            for path in item_paths(self._plan, outcome.index):
                yield {"item": path, **told, "reason": reason, "where": failure.where}
        elif (given := outcome.items_failed) is not None:
            paths = item_paths(self._plan, outcome.index)
            files = isinstance(self._plan[outcome.index].load, FilePaths)
            for each in map(ItemFailure._make, given.told):
                known = files and 0 <= each.place < len(paths)
                item = paths[each.place] if known else f"{', '.join(paths)}: {each.item}"
                yield {"item": item, **told, "reason": each.message, "where": each.where}
