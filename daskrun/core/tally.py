"""Counts of a run, and its distinct errors each once."""

from __future__ import annotations

from dataclasses import replace

from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup

MOST_GROUPS = 1000
"""Distinct errors kept; what comes after is counted as one group of others."""
ERROR_CAP = 64 * 1024
"""Characters of an error's text kept."""


class Tally:
    """What the ledger has counted. Only the last attempt of a mini-batch counts its items."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.items = 0
        self.items_succeeded = 0
        self.attempts = 0
        self.retried = 0
        self.warnings: list[str] = []
        self._warned: set[str] = set()
        self._groups: dict[tuple[str, str], ErrorGroup] = {}

    def success(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        """Count a mini-batch that is done; what it has too few results for is an error."""
        self.attempts += 1
        self.succeeded += 1
        self.items += outcome.items
        if outcome.results == outcome.items:
            self.items_succeeded += outcome.items
            return
        self.items_succeeded += outcome.succeeded_items
        if outcome.results > outcome.items:
            self._warn(
                "more results than items",
                f"run() returned more results than the mini-batch has items (mini-batch "
                f"{outcome.index}: {outcome.results} for {outcome.items}); all were written.",
            )
        else:
            self.short(outcome, process)

    def short(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        """Note a mini-batch with fewer results than items."""
        results = f"{outcome.results} result{'' if outcome.results == 1 else 's'}"
        message = (
            f"run() returned {results} for {outcome.items} items: an item without a result counts "
            "as failed and is not retried"
        )
        failure = Failure(message, kind="fewer results than items")
        label = f"{process.node}/{process.name}" if process is not None else ""
        self._group(failure, outcome.index, outcome.attempt, label, Status.SUCCEEDED)

    def failure(self, outcome: Outcome, process: ProcessInfo | None, *, final: bool) -> None:
        """Count an attempt that failed; its items too if it was the last."""
        self.attempts += 1
        if final:
            self.failed += 1
            self.items += outcome.items
        else:
            self.retried += 1
        label = f"{process.node}/{process.name}" if process is not None else ""
        failure = outcome.failure or Failure("")
        self._group(failure, outcome.index, outcome.attempt, label, outcome.status)

    def give_up(self, items: int) -> None:
        """Count a mini-batch, whose last failure is counted already, as failed for good."""
        self.retried -= 1
        self.failed += 1
        self.items += items

    def init_failure(self, failure: Failure, process: ProcessInfo) -> None:
        """Note that ``init()`` failed."""
        self._group(failure, -1, 1, f"{process.node}/{process.name}", Status.RAISED)

    def first_error(self) -> str:
        """Return the first error: what, where, in which mini-batch; ``""`` when there was none."""
        groups = self.groups()
        if not groups:
            return ""
        first = groups[0]
        where = f" ({first.where})" if first.where else ""
        place = (
            "init()" if first.index < 0 else f"mini-batch {first.index}, attempt {first.attempt}"
        )
        return f"{first.message}{where} in {place} on {first.process or 'no process'}"

    def groups(self) -> tuple[ErrorGroup, ...]:
        """Return each distinct error once, the first first."""
        return tuple(self._groups.values())

    def _group(self, failure: Failure, index: int, attempt: int, process: str, status: int) -> None:
        message = (failure.message or Status(status).category)[:ERROR_CAP]
        key = (failure.kind or message, failure.where)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = ("other errors", "")
            message = f"other errors, beyond the first {MOST_GROUPS} distinct ones"
        group = self._groups.get(key)
        if group is None:
            text, ended = failure.text[:ERROR_CAP], failure.ended
            self._groups[key] = ErrorGroup(
                message, key[1], 1, index, attempt, process, text, status, ended
            )
        else:
            self._groups[key] = replace(group, count=group.count + 1)

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self.warnings.append(text)
