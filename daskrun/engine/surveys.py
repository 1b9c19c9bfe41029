"""The surveys of a run: looks at its data, without which the plan can't go on.

They travel as bundles of their own. The ledger knows nothing of them: it counts mini-batches, and
how many there are is what surveys find out.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.events import Bundle, BundleLost, BundleReturned
from daskrun.core.outcome import Failure, Found
from daskrun.engine.dispatch import Packed, pack_entries
from daskrun.engine.journal_records import SurveyRecord
from daskrun.script import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from daskrun.core.minibatch import Plan, Survey
    from daskrun.engine.journal_records import Record

EACH_SLOT = 2
"""Surveys a slot owes at a time: one in hand, one to go on with."""
RECALLED = 64
"""Surveys begun at a time to see whether an earlier driver had them made."""


@dataclass(frozen=True, slots=True)
class Try:
    """A survey to be made, or on its way."""

    survey: Survey
    attempt: int = 1
    node: str = ""


class Surveys:
    """Hands out the surveys of a plan, and gives it what they find.

    One is made ``tries`` times before the plan has to do without. ``note`` puts a record in the
    journal.
    """

    def __init__(self, plan: Plan, tries: int, note: Callable[[Record], None]) -> None:
        self._plan = plan
        self._tries = tries
        self._note = note
        self._out: dict[int, Try] = {}
        """By bundle number."""
        self._again: deque[Try] = deque()
        self._number = 0
        """Counts down: no bundle of the ledger has a negative number."""
        self._past: dict[str, SurveyRecord] = {}
        self._troubles: dict[int, str] = {}
        """By survey: why an earlier driver gave it up."""

    def remember(self, past: Mapping[str, SurveyRecord]) -> None:
        """Keep the records that earlier drivers of the run have journalled, by their keys."""
        self._past = dict(past)

    def know(self, index: int) -> bool:
        """Extend the plan until a mini-batch is known, by what is known; return whether it is."""
        plan = self._plan
        while plan.known <= index and not plan.complete:
            plan.extend(index + 1)
            if plan.known > index or plan.complete:
                break
            if not self.recall() and not self.recall_trouble():
                return False
        return plan.known > index

    def recall(self) -> bool:
        """Tell the plan what earlier drivers have found; return whether there was any of it."""
        surveyor = self._plan.surveyor
        if not self._past or surveyor is None or len(self._again) >= RECALLED:
            return False
        learned = False
        for survey in surveyor.begin(RECALLED):
            record = self._past.pop(json.dumps(survey.key), None)
            found = from_text(record.found) if record is not None and record.found else None
            if found is not None:
                surveyor.learn(survey.number, found)
                learned = True
            else:
                self._again.append(Try(survey))
                trouble = record.trouble if record is not None else None
                self._troubles[survey.number] = trouble or ""
        return learned

    def recall_trouble(self) -> bool:
        """Do without the next survey that an earlier driver gave up; return whether there was one.

        Only where mini-batches that have ended come after it: else it is made again, since what was
        in its way may be gone.
        """
        surveyor = self._plan.surveyor
        if surveyor is None:
            return False
        for each in self._again:
            if trouble := self._troubles.pop(each.survey.number, ""):
                self._again.remove(each)
                surveyor.give_up(each.survey.number, trouble)
                return True
        return False

    def is_out(self, number: int) -> bool:
        """Return whether the bundle of this number is a survey that is waited for."""
        return number in self._out

    def hand_out(self, slots: Mapping[str, int]) -> list[Packed]:
        """Return a survey for every slot that has room, while the plan has any to be made."""
        surveyor = self._plan.surveyor
        if surveyor is None or self._plan.complete:
            return []
        owed = dict.fromkeys(slots, 0)
        for each in self._out.values():
            if each.node in owed:
                owed[each.node] += 1
        room = {node: EACH_SLOT * count - owed[node] for node, count in slots.items()}
        room = {node: free for node, free in room.items() if free > 0}
        total = sum(room.values())
        due = [self._again.popleft() for _ in range(min(total, len(self._again)))]
        if not self._past:
            due += [Try(survey) for survey in surveyor.begin(total - len(due))]
        bundles = []
        for each in due:
            node = max(room, key=lambda name: room[name])
            room[node] -= 1
            self._number -= 1
            self._out[self._number] = replace(each, node=node)
            survey, attempt = each.survey, each.attempt
            bundle = Bundle(self._number, node, ((survey.number, attempt),), survey=True)
            bundles.append(Packed(bundle, pack_entries([(survey.descriptor, attempt)])))
        return bundles

    def returned(self, event: BundleReturned | BundleLost) -> bool:
        """Tell the plan what a survey has found; return whether it may know more now.

        DatasetError: it can't be made, and the plan can't go on without.
        """
        back = self._out.pop(event.number, None)
        surveyor = self._plan.surveyor
        if back is None or surveyor is None:
            return False
        survey, attempt = back.survey, back.attempt
        outcomes = event.outcomes if isinstance(event, BundleReturned) else ()
        if not outcomes:  # not started, or its node is gone
            self._again.append(back)
            return False
        told = outcomes[0].error
        if isinstance(told, Found):
            self._note(SurveyRecord(survey.key, found=as_text(told.value)))
            surveyor.learn(survey.number, told.value)
            return True
        if attempt < self._tries:
            self._again.append(Try(survey, attempt + 1))
            return False
        trouble = told.message if isinstance(told, Failure) else "it can't be read"
        self._note(SurveyRecord(survey.key, trouble=trouble))
        surveyor.give_up(survey.number, trouble)
        return True


def as_text(found: Any) -> str:
    """Return what a survey found, builtins, as text that JSON can hold."""
    return base64.b64encode(wire.encode(found)).decode("ascii")


def from_text(text: str) -> Any:
    """Return what :func:`as_text` was given; None for anything else, which runs no code here."""
    try:
        return wire.decode(base64.b64decode(text))
    except Exception:  # noqa: BLE001  (what others have written there fails in its own ways)
        return None
